"""How long the state machines run, a little in CI and as long as somebody likes by hand; and what they begin with."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings

from relayhub.store.migrate import migrate

EXAMPLES = "RELAYHUB_TEST_EXAMPLES"
"""An environment variable: how many histories each machine tries, instead of the few that CI has time for."""


def timeout_s(seconds: float) -> float:
    """Of a test; none for the long form."""
    return 0 if EXAMPLES in os.environ else seconds


def machine_settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=int(os.environ.get(EXAMPLES, examples)),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def empty_database(path: Path) -> None:
    """A fresh one, without the time that migrating it takes."""
    path.write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        path.touch()
        migrate(path, 0.0)
        return path.read_bytes()
