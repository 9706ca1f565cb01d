"""Of several processes that serve the same hub, which one this is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """``number``: from 1."""

    number: int = 1
    of: int = 1

    def part(self, total: int) -> int:
        """Of something that all of them have together, what this one may have: at least one."""
        return max(1, -(-total // self.of))

    def exact(self, total: int) -> int:
        """The same where it may be nothing: the parts of all of them come to ``total``."""
        return max(0, (total - self.number) // self.of + 1)


WHOLE = Share()
