"""Where calls are taken the short way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relayhub.gateway.answers import JSON
from relayhub.types.call import Dialect

_ANTHROPIC = Dialect.ANTHROPIC_MESSAGES
"""Bound once: to look a member of an enumeration up takes the time of several function calls."""

_NO_ID = "\0"
"""Where an id belongs; nothing else in a head has it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dialect's chat is served. ``headers``: those of a request that belong to it, all names lower case; ``None``:
    it has none."""

    dialect: Dialect
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None
    _around_id: tuple[str, ...] = field(init=False)
    """What stands before and behind the request's id, each time, in a :meth:`whole_answer_head` up to the length."""

    def __post_init__(self) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer_headers(_NO_ID, self.dialect).items())
        start = f"HTTP/1.1 200 OK\r\n{lines}content-type: {JSON}\r\ncontent-length: "
        object.__setattr__(self, "_around_id", tuple(start.split(_NO_ID)))

    def whole_answer_head(self, request_id: str, length: int, date: str) -> bytes:
        """The head of an answer in one piece that has no headers but its own: status 200, and ``length`` bytes of JSON.
        ``date``: as in the header of that name. The same as :func:`relayhub.web.quick.answer.whole_answer` writes."""
        return f"{request_id.join(self._around_id)}{length}\r\ndate: {date}\r\n\r\n".encode()


def answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    """Of any answer to a request."""
    if dialect is _ANTHROPIC:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}
