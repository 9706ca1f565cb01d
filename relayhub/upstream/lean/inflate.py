"""Answers that are compressed although nobody asked for it: inflated in bounded steps, off the loop where it takes time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator

from relayhub.upstream.lean.framing import Broken

STEP = 256 << 10
"""Bytes that one step may yield: how much a bomb gets into memory before the reader's own cap says no."""

_AT_ONCE = 4 << 10
"""Compressed bytes up to this are inflated on the loop: a hand-over to a thread would take longer."""

_DEFLATED = 8


class Inflater:
    """One answer's decoder. Raises :class:`Broken` for a coding it does not know."""

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Broken(f"the answer has the content-encoding {coding[:80]!r}, which was not asked for")
        self._gzip = coding != "deflate"
        self._zlib: zlib._Decompress | None = None

    async def pieces(self, data: bytes) -> AsyncGenerator[bytes, None]:
        """What ``data`` holds. Raises :class:`Broken`."""
        while data:
            at_once = len(data) <= _AT_ONCE
            piece, data = self._step(data) if at_once else await asyncio.to_thread(self._step, data)
            if piece:
                yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        if self._zlib is None:
            self._zlib = zlib.decompressobj(self._window(data[0]))
        if self._zlib.eof:
            raise Broken("there are bytes after the end of the compressed answer")
        try:
            piece = self._zlib.decompress(data, STEP)
        except zlib.error as error:
            raise Broken(f"the answer does not decompress: {error}") from error
        return piece, self._zlib.unconsumed_tail or self._zlib.unused_data

    def _window(self, first: int) -> int:
        """Some servers send deflate without its zlib wrapper."""
        if self._gzip:
            return 16 + zlib.MAX_WBITS
        return zlib.MAX_WBITS if first & 0x0F == _DEFLATED else -zlib.MAX_WBITS

    def end(self) -> None:
        """The body has ended. Raises :class:`Broken` if the compressed data has not."""
        if self._zlib is not None and not self._zlib.eof:
            raise Broken("the compressed answer ended early")
