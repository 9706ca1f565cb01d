"""The management side, ``/api/admin``: for people who are signed in and for programs with an admin key. Relay keys open
nothing here, and no page of another origin may call it."""
