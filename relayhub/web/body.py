"""Reading a request body: refused before it is read where its head already shows that it will be."""

from __future__ import annotations

import asyncio

from aiohttp import web

from relayhub.types.errors import ClientError, ErrorKind
from relayhub.upstream.memory import MODEST
from relayhub.web.overload import LEASE, SHORT, overloaded

KEPT = 2
"""Times of its size that a request's body takes while the call lasts: as it came, and as it is sent on."""


async def defer_expectation(_request: web.Request) -> None:
    """For ``expect_handler=``: aiohttp would answer ``100 Continue`` before the handler has seen the credential."""
    return


async def read_body(request: web.Request, limit: int, timeout_s: float) -> bytes:
    """The whole body. Raises ``ClientError``: as :func:`invite_body`, 413 over ``limit``, 408 if it takes longer than
    ``timeout_s``. ``HubError`` where there is no memory for it."""
    await invite_body(request, limit)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, limit)
    except TimeoutError:
        raise body_too_slow(timeout_s) from None


async def invite_body(request: web.Request, limit: int) -> None:
    """To be called before a body is read. Raises ``ClientError``: 413 where Content-Length is over ``limit``, 415 for an
    encoded body (inflating is the sender's gain and our cost)."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise ClientError(
            ErrorKind.UNSUPPORTED_MEDIA,
            f"The body is encoded with {encoding[:40]!r}; send it without Content-Encoding.",
            code="unsupported_content_encoding",
        )
    if request.content_length is not None and request.content_length > limit:
        raise body_too_large(limit)
    await _continue(request)


async def _continue(request: web.Request) -> None:
    """Only now is the client asked for the body it announced (RFC 9110 §10.1.1)."""
    expect = request.headers.get("expect")
    if expect is None:
        return
    if expect.strip().lower() != "100-continue":
        raise ClientError(
            ErrorKind.INVALID_REQUEST, "Only 'Expect: 100-continue' is understood.", code="unknown_expectation"
        )
    transport = request.transport
    if transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: web.Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    room = _room_for(request, request.content_length or MODEST)
    while data := await request.content.readany():
        size += len(data)
        if size > limit:
            raise body_too_large(limit)
        if size > room:
            room = _room_for(request, min(2 * size, limit))
        parts.append(data)
    if size > MODEST and LEASE in request:
        request[LEASE].settle(KEPT * size)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _room_for(request: web.Request, size: int) -> int:
    """``size``, if there is memory for so much; raises ``HubError`` if not."""
    lease = request.get(LEASE)
    if lease is not None and size > MODEST and not lease.take(size):
        raise overloaded(SHORT)
    return size


def body_too_large(limit: int) -> ClientError:
    return ClientError(
        ErrorKind.BODY_TOO_LARGE,
        f"The request body is larger than this server accepts ({limit} bytes).",
        code="body_too_large",
        headers=(("connection", "close"),),
    )


def body_too_slow(timeout_s: float) -> ClientError:
    return ClientError(
        ErrorKind.REQUEST_TIMEOUT,
        f"The request body did not arrive within {timeout_s:g} s.",
        code="request_timeout",
        headers=(("connection", "close"),),
    )
