"""The client's end of a call on an aiohttp request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from relayhub.dialects.codec import Framing
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.types.limits import WRITE_STALL_S
from relayhub.web.answer_stream import PUSHED, AnswerStream, bound

PIECE = 256 << 10
"""Bytes of a whole answer that are written at a time. One that is larger is written while the call lasts, so that it counts
as long as it is held."""


class ClientStream(AnswerStream):
    """See there. ``response``: what the handler returns."""

    def __init__(
        self,
        request: web.Request,
        headers: Mapping[str, str],
        *,
        framing: Framing | None,
        keep_alive: bytes | None,
        head_waits: EqualWaits,
        keep_alive_s: float,
    ) -> None:
        super().__init__(dict(headers), framing, keep_alive, head_waits, keep_alive_s)
        self._request = request
        self._opening = asyncio.Lock()
        self._wire: asyncio.Transport | None = None
        self.response: web.StreamResponse | None = None

    @property
    def opened(self) -> bool:
        return self.response is not None

    @property
    def status(self) -> int | None:
        return self.response.status if self.response is not None else None

    def transport(self) -> asyncio.WriteTransport | None:
        return self._request.transport

    async def reply(self, body: bytes, content_type: str) -> None:
        headers = {**self._headers, "content-type": content_type}
        if len(body) <= PIECE:
            self.response = web.Response(body=body, headers=headers)
            return
        response = web.StreamResponse(headers={**headers, "content-length": str(len(body))})
        await response.prepare(self._request)
        self.response = response
        try:
            whole = memoryview(body)
            for start in range(0, len(body), PIECE):
                with self._leaving():
                    async with asyncio.timeout(WRITE_STALL_S):
                        await response.write(whole[start : start + PIECE])
            with self._leaving():
                async with asyncio.timeout(WRITE_STALL_S):
                    await response.write_eof()
        finally:
            del body, whole  # else they would live on in the traceback of a client that leaves

    def push(self, frames: bytes) -> bool:
        wire = self._wire
        if wire is None or wire.is_closing() or wire.get_write_buffer_size() > PUSHED:
            return False
        self.last_write = self._loop.time()
        wire.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True

    async def _write(self, frames: bytes) -> None:
        response = await self._opened()
        await response.write(frames)
        if response.headers.get("transfer-encoding") == "chunked":
            self._wire = self._request.transport  # the head has gone out with these frames

    async def _end(self, frames: bytes) -> None:
        self._wire = None
        response = await self._opened()
        await response.write(frames)
        await response.write_eof()

    async def _opened(self) -> web.StreamResponse:
        if self.response is None:
            async with self._opening:
                if self.response is None:
                    response = web.StreamResponse(headers=self._stream_headers())
                    await response.prepare(self._request)
                    bound(self._request.transport)
                    self.response = response
        return self.response
