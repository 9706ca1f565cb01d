"""Driving a wire's operations without a hub: each request is answered by a function, and all of them are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import orjson

from relayhub.sdk import Effect, HttpReply, HttpRequest, MediaUsage, Steps

T = TypeVar("T")
Answering: TypeAlias = Callable[[HttpRequest], HttpReply]

TOO_MANY_STEPS = 100

REFUSED = (400, 401, 402, 403, 404, 413, 422, 429, 503)
"""Statuses after which nothing was executed."""
AMBIGUOUS = (500, 502, 504)
"""Statuses after which nobody knows."""
NO_ANSWERS = (b"", b"{", b"[]", b"null", b"<html>", b'"text"', b"{}")
"""What comes with a 200 and is not what an upstream says."""


@dataclass(frozen=True, slots=True)
class Driven(Generic[T]):
    requests: Sequence[HttpRequest]
    result: T

    @property
    def paid(self) -> list[HttpRequest]:
        return [request for request in self.requests if request.effect is Effect.PAID]


def drive(steps: Steps[T], answer: Answering) -> Driven[T]:
    """To the end. What the wire raises passes through."""
    requests: list[HttpRequest] = []
    try:
        request = next(steps)
        while len(requests) < TOO_MANY_STEPS:
            requests.append(request)
            request = steps.send(answer(request))
    except StopIteration as done:
        return Driven(requests, done.value)
    raise AssertionError(f"the operation has not ended after {TOO_MANY_STEPS} requests: bound it")


def replaying(replies: Iterable[HttpReply]) -> Answering:
    """One reply after the other, whatever is asked."""
    left = iter(replies)

    def answer(request: HttpRequest) -> HttpReply:
        reply = next(left, None)
        assert reply is not None, f"{request.method} {request.url} is a request more than there are replies for"
        return reply

    return answer


def always(reply: HttpReply) -> Answering:
    def answer(_request: HttpRequest) -> HttpReply:
        return reply

    return answer


def failing(reply: HttpReply, before: Iterable[HttpReply] = (), *, paid: bool) -> Answering:
    """``reply`` to the first request that is paid (or, with ``paid`` unset, the first of all) and after it; until then
    ``before``."""
    ahead = replaying(before)

    def answer(request: HttpRequest) -> HttpReply:
        return reply if request.effect is Effect.PAID or not paid else ahead(request)

    return answer


def first_request(steps: Steps[T]) -> HttpRequest:
    """Of an operation that is then given up."""
    request = next(steps)
    steps.close()
    return request


def ok(body: bytes, headers: Mapping[str, str] | None = None) -> HttpReply:
    return HttpReply(200, {"content-type": "application/json", **(headers or {})}, body)


def body_of(request: HttpRequest) -> bytes:
    """Whole; spooled pieces are read."""
    pieces = (request.body,) if isinstance(request.body, bytes) else request.body
    return b"".join(
        piece if isinstance(piece, bytes) else piece.spool.read_at(piece.start, len(piece)) for piece in pieces
    )


def json_of(request: HttpRequest) -> object:
    value: object = orjson.loads(body_of(request))
    return value


AMOUNTS = ("calls", "video_ms", "audio_ms", "images", "characters", "input_tokens", "output_tokens")


def beyond(billed: MediaUsage, measured: MediaUsage) -> list[str]:
    """Of what more was billed than was measured before."""
    return [name for name in AMOUNTS if getattr(billed, name) > getattr(measured, name)]
