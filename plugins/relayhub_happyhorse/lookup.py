"""Finding a task whose submit had no answer. DashScope has no place for a mark, so it goes by elimination: among all
that the account has from that time, by model, and, once a task has ended well, by the prompt that it repeats.

The listing is not filtered: it is in the upstream's time zone, which is nowhere written, and an empty page would look
like certainty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relayhub.sdk import JobState
from relayhub_happyhorse.answers import STATES, status_of

PAGE_SIZE = 100
MAX_PAGES = 12
MAX_LOOKS = 12
"""How many candidates are looked at one by one. An operation of a wire may have 32 requests in all."""
SKEW_S = 60.0
"""Between the upstream's clock and the hub's."""
DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


class Verdict(StrEnum):
    """``OPEN``: its end will tell more, so it is waited for. ``FITS`` is said of what ended badly too: whoever it belongs
    to, nothing was delivered and nothing is charged."""

    OPEN = "open"
    OTHER = "other"
    FITS = "fits"


@dataclass(slots=True)
class Search:
    """Fed with one page after the other. ``complete``: there is nothing left that could matter; ``unclear``: there was
    something that cannot be read."""

    model: str
    since: float
    until: float
    owned: frozenset[str] = frozenset()
    """Tasks of other jobs of the hub."""
    complete: bool = False
    unclear: bool = False
    candidates: dict[str, float] = field(default_factory=dict)
    """Ids, and when they were made."""
    _seen: set[str] = field(default_factory=set)
    _sorted: bool = True
    _oldest: float | None = None

    def feed(self, items: Sequence[object], total: int) -> None:
        for item in items:
            self._take(item if isinstance(item, dict) else {})
        past = self._sorted and self._oldest is not None and self._oldest < self.since - SKEW_S
        # By distinct ids: while pages are read new tasks push others on to the next page, where they come again.
        self.complete = len(self._seen) >= total or past

    def _take(self, item: Mapping[str, object]) -> None:
        id_, made = item.get("task_id"), item.get("gmt_create")
        if not isinstance(id_, str) or isinstance(made, bool) or not isinstance(made, int | float):
            self.unclear = True
            return
        if id_ in self._seen:
            return
        self._seen.add(id_)
        created = made / 1000
        self._sorted = self._sorted and (self._oldest is None or created <= self._oldest)
        self._oldest = created if self._oldest is None else min(self._oldest, created)
        in_time = self.since - SKEW_S <= created <= self.until + SKEW_S
        if in_time and id_ not in self.owned and _same_model(self.model, item.get("model_name")):
            self.candidates[id_] = created


def verdict(output: Mapping[str, object], prompt: str) -> Verdict:
    """What a candidate's task says of itself. Raises ``UpstreamError``."""
    if STATES.get(status_of(output), JobState.QUEUED) in (JobState.QUEUED, JobState.IN_PROGRESS):
        return Verdict.OPEN
    return Verdict.OTHER if _is_other(prompt, output.get("orig_prompt")) else Verdict.FITS


def _is_other(prompt: str, told: object) -> bool:
    """Whether ``told`` is certainly another prompt. A long one is cut by the upstream."""
    if not isinstance(told, str) or not told.strip():
        return False
    mine, theirs = ("".join(text.split()) for text in (prompt, told))
    return not mine.startswith(theirs) and not theirs.startswith(mine)


def _same_model(asked: str, told: object) -> bool:
    """With or without a date at its end."""
    return not isinstance(told, str) or DATE.sub("", asked) == DATE.sub("", told)
