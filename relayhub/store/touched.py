"""What the items of one transaction are about, as far as it has to be read before they are decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayhub.store.intents import ChangeTotal, EndHold, Intent, OpenHold
from relayhub.store.job_intents import FinishJob, OpenJob
from relayhub.store.known import HoldRow
from relayhub.store.people_intents import Fund, Redeem


class Touched:
    """``keys`` and ``accounts``: by id; ``counted``: keys of holds that end and are counted in windows; ``unknown``: holds
    that end and are not among ``holds``; ``others``: the items that are not of calls."""

    __slots__ = ("accounts", "counted", "keys", "others", "unknown")

    def __init__(self, intents: Sequence[Intent[object]], holds: Mapping[int, HoldRow]) -> None:
        self.keys: set[str] = set()
        self.accounts: set[str] = set()
        self.counted: set[str] = set()
        self.unknown: list[int] = []
        self.others: list[Intent[object]] = []
        keys, counted, unknown = self.keys, self.counted, self.unknown
        for intent in intents:
            if isinstance(intent, OpenHold):
                keys.add(intent.new.key_id)
            elif isinstance(intent, EndHold):
                if (hold := holds.get(intent.hold_id)) is None:
                    unknown.append(intent.hold_id)
                else:  # its account is known with it
                    keys.add(hold.key_id)
                    if hold.windows:
                        counted.add(hold.key_id)
            else:
                self.others.append(intent)
                self._touch(intent, holds)

    def _end(self, hold_id: int, holds: Mapping[int, HoldRow]) -> None:
        if (hold := holds.get(hold_id)) is None:
            self.unknown.append(hold_id)
        else:
            self.ending(hold)

    def ending(self, hold: HoldRow) -> None:
        """This one is among those that end."""
        self.keys.add(hold.key_id)
        self.accounts.add(hold.account_id)
        if hold.windows:
            self.counted.add(hold.key_id)

    def _touch(self, intent: Intent[object], holds: Mapping[int, HoldRow]) -> None:
        match intent:
            case FinishJob():
                self._end(intent.hold_id, holds)
            case OpenJob():
                self.keys.add(intent.hold.new.key_id)
            case ChangeTotal():
                self.accounts.add(intent.account_id)
            case Redeem():
                self.accounts.add(intent.account_id)
                self.keys.update(() if intent.key_id is None else (intent.key_id,))
            case Fund():
                self.accounts.add(intent.change.account_id)
