"""What a commit must survive."""

from __future__ import annotations

from enum import StrEnum


class Durability(StrEnum):
    """``POWER``: every commit survives a loss of power. ``PROCESS``: it survives ``kill -9`` of the hub; grants and
    adjustments still survive a loss of power."""

    POWER = "power"
    PROCESS = "process"

    @property
    def synchronous(self) -> str:
        """SQLite's word for it (in WAL mode)."""
        return "FULL" if self is Durability.POWER else "NORMAL"
