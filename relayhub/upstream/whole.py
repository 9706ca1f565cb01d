"""A body that is gathered in memory: under a cap, and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO

from relayhub.types.errors import UpstreamError
from relayhub.types.limits import MAX_UPSTREAM_BODY
from relayhub.upstream.faults import too_large
from relayhub.upstream.memory import SMALL, Lease

_IMPATIENT = frozenset({"upstream_timeout", "upstream_truncated"})
_LENGTH = re.compile(r"[0-9]{1,18}")


class Whole:
    """In one piece all the time: a list of pieces would be in memory twice when it is joined. ``lease``: what counts it,
    which is the caller's to end; ``None``: nobody does.

    What waits raises ``UpstreamError`` over :data:`MAX_UPSTREAM_BODY`, or where there is no memory for it.
    """

    __slots__ = ("_buffer", "_lease", "_room", "_size", "_waited")

    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease
        self._buffer = BytesIO()
        self._size = 0
        self._waited = False
        self._room = SMALL if lease is not None else MAX_UPSTREAM_BODY

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Wait until there is room for as much as the head announces; then nothing has to wait in the middle."""
        await self._expect(_announced(headers))

    def take(self, data: bytes) -> bool:
        """The next piece. ``False``: no more before :meth:`go_on`."""
        self._size += self._buffer.write(data)
        if self._lease is not None:
            self._lease.come = self._size
        return self._size <= self._room

    async def go_on(self) -> bool:
        """More has come than was expected; wait until there is room for as much again."""
        await self._expect(self._size)
        await self._expect(min(2 * self._size, MAX_UPSTREAM_BODY))
        return True

    async def _expect(self, size: int) -> None:
        if size > MAX_UPSTREAM_BODY:
            raise too_large(MAX_UPSTREAM_BODY)
        if self._lease is not None and size > self._room:
            if not self._lease.take(size):
                self._waited = True
                await self._lease.wait(size)
            self._room = size

    def held_up(self, error: UpstreamError) -> bool:
        """Whether ``error`` comes of our having let the upstream wait: it is not to blame for giving up."""
        return self._waited and error.code in _IMPATIENT

    def body(self) -> bytes:
        return self._buffer.getvalue()


def _announced(headers: Mapping[str, str]) -> int:
    """Bytes of the body, if its head says so."""
    length = headers.get("content-length", "")
    return int(length) if _LENGTH.fullmatch(length) and "content-encoding" not in headers else 0
