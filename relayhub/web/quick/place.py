"""Where calls are taken the short way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relayhub.types.call import Dialect


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dialect's chat is served. ``headers``: those of a request that belong to it, all names lower case."""

    dialect: Dialect
    headers: Callable[[Mapping[str, str]], Mapping[str, str]]
    id_lines: bytes = field(init=False)
    """Of an answer's head, with ``%(id)b`` for the request's id."""

    def __post_init__(self) -> None:
        names = answer_headers("", self.dialect)
        object.__setattr__(self, "id_lines", b"".join(b"%b: %%(id)b\r\n" % name.encode() for name in names))


def answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    """Of any answer to a request."""
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}
