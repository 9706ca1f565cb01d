"""A text that config values came from, and how a line of it is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from relayhub.config.secrets import MASK, Range, credential_ranges, guessed_ranges

MAX_SHOWN = 120
"""Characters of a source line in a report."""

_LEAD = 40
"""Characters shown before the caret when a long line is cut."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file, counted from 1, or (``line`` 0) another source, such as an environment variable."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Span:
    """From a line and column (counted from 1) up to, but not including, another."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``text``: the line; ``indent``: what to write under it before ``width`` carets (tabs and wide characters kept)."""

    text: str
    indent: str
    width: int


@dataclass(eq=False, slots=True)
class Source:
    """A file's lines, or none for a variable or a flag. ``hide`` is called for every secret as it becomes known, so
    excerpts are made only when they are shown. ``parsed`` is false as long as only guesses can be made."""

    name: str
    lines: tuple[str, ...] = ()
    parsed: bool = False
    _hidden: set[Span] = field(default_factory=set)

    def hide(self, span: Span | None) -> None:
        if span is not None:
            self._hidden.add(span)

    def excerpt(self, span: Span) -> Excerpt | None:
        if not 0 < span.line <= len(self.lines):
            return None
        line = self.lines[span.line - 1]
        start = min(span.column - 1, len(line))
        end = min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line.rstrip())
        hidden = _joined([*self._hidden_in(span.line), *credential_ranges(line)])
        text = _masked(line, hidden)
        start, end = _moved(start, hidden, 0), _moved(max(end, start + 1), hidden, len(MASK))
        return _cut(text.rstrip(), start, max(end - start, 1))

    def _hidden_in(self, number: int) -> Iterable[Range]:
        if not self.parsed:
            return guessed_ranges(self.lines, number - 1)
        return [
            _part(span, number, self.lines[number - 1]) for span in self._hidden if span.line <= number <= span.end_line
        ]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a key or a value stands. ``span``: ``None`` if its source has no lines."""

    source: Source
    span: Span | None = None

    @property
    def place(self) -> Place:
        if self.span is None:
            return Place(self.source.name)
        return Place(self.source.name, self.span.line, self.span.column)

    def excerpt(self) -> Excerpt | None:
        return self.source.excerpt(self.span) if self.span is not None else None


def _part(span: Span, number: int, line: str) -> Range:
    """The part of ``span`` that lies in line ``number``."""
    start = span.column - 1 if number == span.line else len(line) - len(line.lstrip())
    return start, span.end_column - 1 if number == span.end_line else len(line)


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _masked(line: str, hidden: list[Range]) -> str:
    for start, end in reversed(hidden):
        line = line[:start] + MASK + line[end:]
    return line


def _moved(column: int, hidden: list[Range], inside: int) -> int:
    """Where ``column`` is after masking; what lies within a mask goes to ``inside`` characters of it."""
    shift = 0
    for start, end in hidden:
        if column >= end:
            shift += len(MASK) - (end - start)
        elif column > start:
            return start + shift + inside
    return column + shift


def _cut(text: str, start: int, width: int) -> Excerpt:
    """A window of the line around the caret."""
    first = max(0, start - _LEAD) if len(text) > MAX_SHOWN else 0
    shown = text[first : first + MAX_SHOWN]
    if first:
        shown = "…" + shown[1:]
    if first + MAX_SHOWN < len(text):
        shown = shown[:-1] + "…"
    start -= first
    indent = "".join(_blank(char) for char in shown[:start]).ljust(start)
    under = shown[start : start + width]
    carets = sum(len(_blank(char)) for char in under)
    return Excerpt(shown, indent, max(carets, 1))


def _blank(char: str) -> str:
    """Blanks as wide as the character is on a terminal."""
    if char == "\t":
        return "\t"
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "
