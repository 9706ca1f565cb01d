"""What became of a feature on its way: a cell of the table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """``lossy``: what is lost, in the words of the document; ``refused``: the field that the refusal names;
    ``absent``: there is nothing to test. With none of them, it is exact."""

    lossy: tuple[str, ...] = ()
    refused: str = ""
    absent: bool = False

    def __str__(self) -> str:
        if self.absent:
            return "–"
        if self.refused:
            return f"refused: {self.refused}"
        return f"lossy: {'; '.join(self.lossy)}" if self.lossy else "exact"


EXACT = Outcome()
ABSENT = Outcome(absent=True)


def lossy(*what: str) -> Outcome:
    return Outcome(lossy=what)


def refused(field_name: str) -> Outcome:
    return Outcome(refused=field_name)


class NotHere(Exception):
    """Neither side of the cell has such a thing, or it does not arise."""


@dataclass
class Findings:
    """Collects what is lost. Whatever is neither right nor known to be lost fails the test."""

    lost: list[str] = field(default_factory=list)

    def fact(self, what: str, seen: object, expected: object, *, instead: object = None) -> None:
        """``instead``: what stands there when it is lost."""
        if seen == expected:
            return
        assert seen == instead, f"{what}: {seen!r}, where {expected!r} would be right and {instead!r} a known loss"
        self.loses(what)

    def loses(self, what: str) -> None:
        if what not in self.lost:
            self.lost.append(what)

    @property
    def outcome(self) -> Outcome:
        return Outcome(lossy=tuple(sorted(self.lost)))
