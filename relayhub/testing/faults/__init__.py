"""An upstream that misbehaves on purpose, over a raw socket, for tests of what runs behind relayhub or instead of it.

Program it by the model that a request names, run it in a thread, and compare what happened with its counters::

    upstream = FaultUpstream()
    with upstream.in_thread() as url:
        upstream.program("m", framing.short_body(b"{"))
        ...  # one call to a hub whose provider is at url
        assert upstream.counters("m").executions == 1

:mod:`.answers` has well-formed answers; :mod:`.framing`, :mod:`.sizes`, :mod:`.pace` and :mod:`.refusals` have faults;
:mod:`.doors` has addresses where no conversation comes about. Others are made of steps by :func:`does`.
"""

from relayhub.testing.faults import answers, doors, framing, pace, refusals, sizes
from relayhub.testing.faults.received import Received, model_of
from relayhub.testing.faults.steps import Close, Fault, Flood, Reset, Step, Ticks, Trickle, does
from relayhub.testing.faults.upstream import FaultCounters, FaultUpstream

__all__ = [
    "Close",
    "Fault",
    "FaultCounters",
    "FaultUpstream",
    "Flood",
    "Received",
    "Reset",
    "Step",
    "Ticks",
    "Trickle",
    "answers",
    "does",
    "doors",
    "framing",
    "model_of",
    "pace",
    "refusals",
    "sizes",
]
