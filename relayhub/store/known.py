"""What the writer knows of the books without asking again.

SQLite tells a connection whether anybody else has committed since it looked last. As long as nobody has, what the writer read
or wrote before is what there is; as soon as somebody has, it reads again. It looks inside each transaction, where nobody
else can write.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from relayhub.store.balances import AccountMoney, KeyMoney
    from relayhub.store.limit_batch import Meter

JOBS_EPOCH = "jobs"
"""A job's hold belongs to the job, not to the process that happens to look after it."""

MOST_KEYS = 10_000
"""With more of them in memory it begins anew."""

_COMMITS_OF_OTHERS = "PRAGMA data_version"


class HoldRow(msgspec.Struct, frozen=True, gc=False):
    """An open hold, in the order of its table's columns. ``about``: empty where it was not read. ``windows``: the bits of
    those that it is counted in."""

    hold_id: int
    call_id: str
    account_id: str
    key_id: str
    amount: int
    epoch_id: str
    created_at: float
    about: str
    tokens: int
    video_ms: int
    windows: int


@dataclass(slots=True)
class Count:
    """Of one key's window. ``changed``: in this transaction; ``stored``: its row is of the window that began then."""

    starts_at: float
    amount: int
    changed: bool = False
    stored: bool = False


class Known:
    """Used by one writer's transactions, one after the other. A transaction that fails leaves in here what never was:
    :meth:`forget` it.

    ``entries``: ledger rows that there are, which is the id of the newest; ``counts``: by key and window, of the keys in
    ``counted``; ``begun``: those of windows in which nothing has been counted yet; ``meters``: by key, and whether of its
    jobs; ``counted_at``: when they were used last; ``slots``: open calls and open jobs by key; ``holds``: some of those that
    are open; ``epoch_stands``: this process's row is there."""

    __slots__ = (
        *(
            "_version",
            "accounts",
            "begun",
            "counted",
            "counted_at",
            "counts",
            "entries",
            "epoch_stands",
            "holds",
            "keys",
        ),
        *("meters", "slots"),
    )

    def __init__(self) -> None:
        self._version = -1
        self.entries: int | None = None
        self.keys: dict[str, KeyMoney] = {}
        self.accounts: dict[str, AccountMoney] = {}
        self.holds: dict[int, HoldRow] = {}
        self.counts: dict[tuple[str, str], Count] = {}
        self.counted: set[str] = set()
        self.begun: dict[tuple[str, str], Count] = {}
        self.meters: dict[tuple[str, bool], Meter] = {}
        self.counted_at = 0.0
        self.slots: dict[str, list[int]] = {}
        self.epoch_stands = False

    def forget(self) -> None:
        """Its dicts stay the same ones."""
        self._version = -1
        self.entries = None
        for known in (
            self.keys,
            self.accounts,
            self.holds,
            self.counts,
            self.counted,
            self.begun,
            self.meters,
            self.slots,
        ):
            known.clear()
        self.counted_at = 0.0
        self.epoch_stands = False

    def look(self, cursor: sqlite3.Cursor) -> None:
        """Forget everything if anybody else has written since. Inside a write transaction only."""
        (version,) = cursor.execute(_COMMITS_OF_OTHERS).fetchone()
        if version != self._version or len(self.keys) > MOST_KEYS:
            self.forget()
            self._version = version
