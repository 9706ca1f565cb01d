"""Where calls are taken the short way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relayhub.gateway.answers import JSON
from relayhub.types.call import Dialect


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dialect's chat is served. ``headers``: those of a request that belong to it, all names lower case; ``None``:
    it has none."""

    dialect: Dialect
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None
    _around_id: tuple[str, ...] = field(init=False)
    """What stands before and behind the request's id, each time, in the head of a whole answer up to the length."""

    def __post_init__(self) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer_headers("%", self.dialect).items())
        start = f"HTTP/1.1 200 OK\r\n{lines}content-type: {JSON}\r\ncontent-length: "
        object.__setattr__(self, "_around_id", tuple(start.split("%")))

    def whole_head(self, request_id: str, length: int, date: str) -> bytes:
        """Of a whole answer."""
        return f"{request_id.join(self._around_id)}{length}\r\ndate: {date}\r\n\r\n".encode()


def answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    """Of any answer to a request."""
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}
