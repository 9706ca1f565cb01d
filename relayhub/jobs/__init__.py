"""The life of a job: accepted and paid once, polled until it ends, its results kept.

::

    new ──► queued ──► in_progress ──► succeeded
     │  ╲      │            │       ╲► failed
     │   ╲     ╰────────────┴────────► cancelled
     ▼    ╲──────────────────────────► failed
    submit_unknown ──► queued | in_progress | succeeded | failed | cancelled

A state moves forward only, by one conditional update; whoever wins the move to an end settles or releases the hold in the
same transaction. ``submit_unknown`` was sent and may have been accepted: it is looked up, and never sent again.
"""
