"""What is wrong with a config: every problem with its place, its cause, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from relayhub.config.source import Excerpt, Place, Spot

MAX_RENDERED = 100
"""Problems shown at once: beyond it they have one common cause, and the first ones show it."""

_BOLD, _RED, _DIM, _CYAN, _PLAIN = "\x1b[1m", "\x1b[1;31m", "\x1b[2m", "\x1b[36m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Problem:
    """``path`` is where in the config (``providers.acme.api_key``), ``message`` the cause in plain words, ``hint`` what
    to do about it. No field ever holds a secret's value."""

    spot: Spot
    path: str
    message: str
    hint: str | None = None

    @property
    def place(self) -> Place:
        return self.spot.place

    @property
    def line(self) -> int | None:
        """Counted from 1; ``None`` where the value came from a variable, a flag or not from a text at all."""
        return self.place.line or None

    @property
    def column(self) -> int | None:
        return self.place.column or None

    @property
    def excerpt(self) -> Excerpt | None:
        """The source line, secrets masked, and where the caret stands under it."""
        return self.spot.excerpt()

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return {
            "file": self.place.source,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
        }

    def block(self, color: bool) -> list[str]:
        """For a terminal, line by line."""

        def paint(style: str, text: str) -> str:
            return f"{style}{text}{_PLAIN}" if color else text

        where = f" ({self.path})" if self.path else ""
        lines = [f"{paint(_BOLD, str(self.place))}: {paint(_RED, self.message)}{paint(_DIM, where) if where else ''}"]
        if (excerpt := self.excerpt) is not None:
            lines += [f"    {excerpt.text}", f"    {excerpt.indent}{paint(_RED, '^' * excerpt.width)}"]
        if self.hint:
            lines.append(f"    {paint(_CYAN, self.hint)}")
        return lines


class ConfigError(Exception):
    """The config cannot be used. Carries every problem: by file and line, then those of variables and flags."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=_order))
        super().__init__("; ".join(f"{problem.place}: {problem.message}" for problem in self.problems))

    def render(self, color: bool) -> str:
        """For a terminal: a block per problem, and how many there are."""
        blocks = [problem.block(color) for problem in self.problems[:MAX_RENDERED]]
        count = len(self.problems)
        total = "1 problem in the config." if count == 1 else f"{count} problems in the config."
        if count > MAX_RENDERED:
            total = f"{total} The first {MAX_RENDERED} are shown."
        return "\n".join(line for block in [*blocks, [total]] for line in block)


def _order(problem: Problem) -> tuple[bool, str, int, int, str]:
    place = problem.place
    return place.line == 0, place.source, place.line, place.column, problem.message
