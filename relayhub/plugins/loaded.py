"""The records the host keeps of plugins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """The door a plugin came in through."""

    ENTRY_POINT = "entry point"
    DROP_IN = "drop-in"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """``origin``: where it was found, for people. ``module``: the object its hooks are on."""

    name: str
    module: object
    source: Source
    origin: str
    version: str


@dataclass(frozen=True, slots=True)
class QuarantinedPlugin:
    """A plugin that failed: it takes part in nothing. ``reason`` is one line; the traceback is in the log."""

    name: str
    origin: str
    reason: str


class PluginError(Exception):
    """Start-up cannot go on: two plugins claim the same name."""
