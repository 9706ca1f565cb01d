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
    whole_head: str = field(init=False)
    """Of a whole answer, with ``%`` for the request's id, the length and the date, by name."""

    def __post_init__(self) -> None:
        names = answer_headers("", self.dialect)
        lines = "".join(f"{name}: %(id)s\r\n" for name in names)
        rest = f"content-type: {JSON}\r\ncontent-length: %(length)d\r\ndate: %(date)s\r\n\r\n"
        object.__setattr__(self, "whole_head", f"HTTP/1.1 200 OK\r\n{lines}{rest}")


def answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    """Of any answer to a request."""
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}
