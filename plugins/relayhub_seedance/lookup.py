"""Finding a task whose submit had no answer: by the mark that was sent with it, else by elimination among all that the
account has from that time.

The listing is not filtered by model: Ark's filter compares endpoint ids, and an empty page would look like certainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relayhub.sdk import Found

PAGE_SIZE = 500
MAX_PAGES = 10
SKEW_S = 60.0
"""Between the upstream's clock and the hub's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """``mark``: the safety_identifier that was sent. ``body``: the submit; what a task repeats of it must be the same."""

    model: str
    mark: str | None
    body: Mapping[str, object]
    since: float
    until: float


@dataclass(slots=True)
class Search:
    """Fed with one page after the other. ``complete``: there is nothing left that could matter."""

    wanted: Wanted
    owned: frozenset[str] = frozenset()
    """Tasks of other jobs of the hub."""
    complete: bool = False
    found: str | None = None
    """By its mark: certain."""
    _candidates: set[str] = field(default_factory=set)
    _unclear: bool = False
    _read: int = 0
    _sorted: bool = True
    _oldest: float | None = None

    def feed(self, items: Sequence[object], total: int) -> None:
        for item in items:
            self._take(item if isinstance(item, dict) else {})
        self._read += len(items)
        past = self._sorted and self._oldest is not None and self._oldest < self.wanted.since - SKEW_S
        self.complete = self._read >= total or past

    @property
    def result(self) -> str | Found:
        if self.found is not None:
            return self.found
        if not self.complete or self._unclear or len(self._candidates) > 1:
            return Found.UNSURE
        return next(iter(self._candidates), Found.NO)

    def _take(self, item: Mapping[str, object]) -> None:
        id_, created = item.get("id"), item.get("created_at")
        if not isinstance(id_, str) or not isinstance(created, int | float):
            self._unclear = True
            return
        if self._oldest is not None and created > self._oldest:
            self._sorted = False
        self._oldest = created if self._oldest is None else min(self._oldest, created)
        mark = item.get("safety_identifier")
        if mark and mark == self.wanted.mark:
            self.found = id_
        elif (
            id_ not in self.owned
            and mark in (None, "", self.wanted.body.get("safety_identifier"))
            and self._fits(item, created)
        ):
            self._candidates.add(id_)

    def _fits(self, item: Mapping[str, object], created: float) -> bool:
        wanted = self.wanted
        if not wanted.since - SKEW_S <= created <= wanted.until + SKEW_S:
            return False
        return _same_model(wanted.model, item.get("model")) and all(_agree(item, wanted.body, REPEATED))


REPEATED = (
    "execution_expires_after",
    "service_tier",
    "generate_audio",
    "draft",
    "resolution",
    "duration",
    "ratio",
    "seed",
)
"""What a task says again, some of it once it has run."""
DEFAULTS: Mapping[str, object] = {"service_tier": "default", "draft": False}


def _agree(item: Mapping[str, object], body: Mapping[str, object], names: Iterable[str]) -> Iterable[bool]:
    for name in names:
        asked, told = body.get(name, DEFAULTS.get(name)), item.get(name)
        open_ended = asked in (None, -1, "adaptive") or told is None
        yield open_ended or asked == told


def _same_model(asked: str, told: object) -> bool:
    """An endpoint id stands for a model that the task names instead; a name without a date for the one with it."""
    if asked.startswith("ep-") or not isinstance(told, str):
        return True
    return asked == told or told.startswith(f"{asked}-") or asked.startswith(f"{told}-")
