"""The records the host keeps of plugins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


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
    """A plugin that failed: it takes part in nothing. ``reason`` is one line; the traceback is in the log. ``file``: its
    source, where that is known."""

    name: str
    origin: str
    reason: str
    file: Path | None = None

    def mentions(self, text: str) -> bool:
        """Whether its source has ``text`` as a string literal. Never raises: the source may be why it failed."""
        if self.file is None:
            return False
        files = sorted(self.file.parent.rglob("*.py")) if self.file.name == "__init__.py" else [self.file]
        return any(quoted in _text(file) for file in files for quoted in (f'"{text}"', f"'{text}'"))


class PluginError(Exception):
    """Start-up cannot go on: two plugins claim the same name."""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
