"""Python's garbage collector in a process that serves for a long time."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 20_000
"""Made and not yet freed, before the collector looks at them: a few megabytes. Python's default is 700."""


def spare_the_collector() -> None:
    """To be called once the process serves. What start-up has made stays until the end, so it need not be looked at again;
    calls leave few cycles behind, so the rest may be looked at less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
