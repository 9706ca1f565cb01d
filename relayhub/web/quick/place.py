"""Where calls are taken the short way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relayhub.dialects.codec import Framing
from relayhub.gateway.answers import JSON
from relayhub.types.call import Dialect
from relayhub.web.answer_stream import STREAM_HEADERS, stream_type

_ANTHROPIC = Dialect.ANTHROPIC_MESSAGES
"""Bound once: to look a member of an enumeration up takes the time of several function calls."""

_NO_ID = "\0"
"""Where an id belongs; nothing else in a head has it."""

_ARRAY = Framing.ARRAY


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dialect's chat is served. ``headers``: those of a request that belong to it, all names lower case; ``None``:
    it has none."""

    dialect: Dialect
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None
    _around_id: tuple[str, ...] = field(init=False)
    """What stands before and behind the request's id, each time, in a :meth:`whole_answer_head` up to the length."""
    _around_id_of_events: tuple[str, ...] = field(init=False)
    """The same in a :meth:`stream_head` up to the date."""
    _around_id_of_array: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        own = answer_headers(_NO_ID, self.dialect)
        start = f"HTTP/1.1 200 OK\r\n{_lines({**own, 'content-type': JSON})}content-length: "
        object.__setattr__(self, "_around_id", tuple(start.split(_NO_ID)))
        object.__setattr__(self, "_around_id_of_events", _around_id_of_stream(own, Framing.SSE))
        object.__setattr__(self, "_around_id_of_array", _around_id_of_stream(own, _ARRAY))

    def whole_answer_head(self, request_id: str, length: int, date: str) -> bytes:
        """The head of an answer in one piece that has no headers but its own: status 200, and ``length`` bytes of JSON.
        ``date``: as in the header of that name. The same as :func:`relayhub.web.quick.answer.whole_answer` writes."""
        return f"{request_id.join(self._around_id)}{length}\r\ndate: {date}\r\n\r\n".encode()

    def stream_head(self, request_id: str, framing: Framing | None, date: str) -> bytes:
        """The same of a stream, whose body comes in chunks."""
        around = self._around_id_of_array if framing is _ARRAY else self._around_id_of_events
        return f"{request_id.join(around)}date: {date}\r\n\r\n".encode()


def _around_id_of_stream(own: Mapping[str, str], framing: Framing) -> tuple[str, ...]:
    headers = {**STREAM_HEADERS, **own, "content-type": stream_type(framing), "transfer-encoding": "chunked"}
    return tuple(f"HTTP/1.1 200 OK\r\n{_lines(headers)}".split(_NO_ID))


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    """Of any answer to a request."""
    if dialect is _ANTHROPIC:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}
