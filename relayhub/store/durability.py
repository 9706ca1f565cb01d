"""What a commit must survive."""

from __future__ import annotations

from enum import StrEnum


class Durability(StrEnum):
    """``POWER``: whatever anybody was told survives a loss of power (see ``syncing``). ``PROCESS``: it survives ``kill -9``
    of the hub; grants, adjustments and jobs still survive a loss of power."""

    POWER = "power"
    PROCESS = "process"
