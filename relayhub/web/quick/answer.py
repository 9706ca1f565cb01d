"""The client's end of a call that came by the short way: the answer is written straight to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from relayhub.dialects.codec import Framing
from relayhub.dialects.comparing import Comparing
from relayhub.gateway.call import ClientLeft
from relayhub.gateway.chunk_client import ChunkClient
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.types.limits import WRITE_STALL_S
from relayhub.upstream.lean.sink import Express
from relayhub.web.answer_stream import DROPPED, PUSHED, AnswerStream, bound
from relayhub.web.quick.express import ChunkLine, ExpressLane
from relayhub.web.quick.place import Place, answer_headers

OK = 200
REASONS: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Request Entity Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
"""Decoration: nobody may rely on them, and a status without one is as good."""

JOINED = 64 << 10
"""Bytes of a body that are copied behind the head; a larger one is not worth being in memory twice."""


class Line(ChunkLine, Protocol):
    """A client's connection; see :class:`relayhub.web.quick.door.QuickDoor`."""

    async def drained(self) -> None:
        """Returns at once while the client keeps up. Raises ``ConnectionError`` once it is gone."""
        ...

    def date(self) -> str:
        """As in the header of that name."""
        ...


class QuickAnswer(AnswerStream, ChunkClient):
    """See there. ``status`` is set as soon as something has been written."""

    def __init__(
        self,
        line: Line,
        place: Place,
        request_id: str,
        framing: Framing | None,
        keep_alive: bytes | None,
        head_waits: EqualWaits,
        keep_alive_s: float,
    ) -> None:
        AnswerStream.__init__(
            self, answer_headers(request_id, place.dialect), framing, keep_alive, head_waits, keep_alive_s
        )
        self.line: Line = line
        self._place = place
        self._request_id = request_id
        self.status: int | None = None
        self.streaming = False
        self._ended = False

    @property
    def opened(self) -> bool:
        return self.status is not None

    def transport(self) -> asyncio.WriteTransport | None:
        return self.line.transport

    async def reply(self, body: bytes, content_type: str) -> None:
        self.give(body, content_type)
        del body  # else it would live on in the traceback of a client that leaves
        await taken(self.line)

    def give(self, body: bytes, content_type: str) -> None:
        """As :meth:`reply`, without waiting until it is taken."""
        self.status = OK
        headers = {**self._headers, "content-type": content_type}
        if len(body) <= JOINED:
            self._put(whole_answer(OK, headers, body, self.line.date()))
        else:
            self._put(whole_answer(OK, headers, b"", self.line.date(), len(body)))
            self._put(body)

    def lane(self, stream: Comparing) -> Express:
        return ExpressLane(stream, stream.comparison, self, self.line).take

    def push(self, frames: bytes) -> bool:
        transport = self.line.transport
        if not self.streaming or transport is None or transport.is_closing():
            return self._push_first(frames)
        if transport.get_write_buffer_size() > PUSHED:
            return False
        self.last_write = self._loop.time()
        transport.write(b"".join((b"%x\r\n" % len(frames), frames, b"\r\n")))
        return True

    def _push_first(self, frames: bytes) -> bool:
        """With the head."""
        transport = self.line.transport
        if self.status is not None or transport is None or transport.is_closing():
            return False
        self.last_write = self._loop.time()
        transport.write(b"".join((self._head(), b"%x\r\n" % len(frames), frames, b"\r\n")))
        return True

    def give_end(self, frames: bytes) -> None:
        """As ``end``, without waiting until it is taken."""
        self._stop_timer()
        self._write_end(frames)

    async def _write(self, frames: bytes) -> None:
        if self._ended:
            raise ClientLeft  # a sign of life that comes too late: it would stand where the next answer begins
        self._put(b"%b%x\r\n%b\r\n" % (self._head(), len(frames), frames))
        await self.line.drained()

    async def _end(self, frames: bytes) -> None:
        self._write_end(frames)
        await self.line.drained()

    def _write_end(self, frames: bytes) -> None:
        if self._ended:
            return  # an error once everything has been said
        if frames:
            self._put(b"%b%x\r\n%b\r\n0\r\n\r\n" % (self._head(), len(frames), frames))
        else:
            self._put(self._head() + b"0\r\n\r\n")
        self.streaming, self._ended = False, True

    def _head(self) -> bytes:
        """Once; nothing afterwards."""
        if self.status is not None:
            return b""
        self.status = OK
        self.streaming = True
        bound(self.line.transport)
        request_id, date = self._request_id, self.line.date()
        if DROPPED in self._headers or "\n" in request_id or "\r" in request_id:
            return head_bytes(OK, {**self._stream_headers(), "transfer-encoding": "chunked", "date": date})
        return self._place.stream_head(request_id, self._framing, date)

    def _put(self, data: bytes) -> None:
        transport = self.line.transport
        if transport is None or transport.is_closing():
            raise ClientLeft
        transport.write(data)


async def taken(line: Line) -> None:
    """Wait until a client that reads slowly has made room, but not for ever. Raises ``ClientLeft``."""
    if not line.congested:
        return
    try:
        async with asyncio.timeout(WRITE_STALL_S):
            await line.drained()
    except TimeoutError as error:
        if line.transport is not None:
            line.transport.abort()
        raise ClientLeft from error
    except ConnectionError as error:
        raise ClientLeft from error


def whole_answer(status: int, headers: Mapping[str, str], body: bytes, date: str, length: int | None = None) -> bytes:
    """``length``: of a body that is sent by itself."""
    size = len(body) if length is None else length
    return head_bytes(status, {**headers, "content-length": str(size), "date": date}) + body


def head_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """``headers``: of our own making, or checked before; a line break in a value is a defect and raises."""
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, REASONS.get(status, "").encode(), _lines(headers))


def _lines(headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header of the answer has a line break")
    return lines.encode("utf-8", "surrogateescape")
