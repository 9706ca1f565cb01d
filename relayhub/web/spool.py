"""A request body on disk while its call runs."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from relayhub.types.errors import ErrorKind, HubError

PIECE = 256 << 10
"""Bytes that gather in memory before they are written."""

RETRY_AFTER_S = 30.0
"""What a client is told to wait when the disk is full: other uploads will have ended by then."""


class FileSpool:
    """A :class:`relayhub.types.http.Spool` in a file without a name: closing it, or dying, frees its space.

    Reading and writing happen off the loop, in threads that a cancelled call leaves behind; so nothing is done with a
    file descriptor while, or after, it is closed.
    """

    def __init__(self, folder: Path | None) -> None:
        """``folder`` ``None``: the system's own for temporary files. Raises ``HubError`` UNAVAILABLE."""
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0, prefix="relayhub-")  # noqa: SIM115  # closed by close()
        except OSError as error:
            raise _no_room(error) from error
        self._using = threading.Lock()
        self._waiting = bytearray()
        self._size = 0

    def __enter__(self) -> FileSpool:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    async def append(self, data: bytes) -> None:
        """Raises ``HubError`` UNAVAILABLE where the disk takes no more."""
        self._waiting += data
        if len(self._waiting) >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Only what was flushed can be read."""
        data, self._waiting = bytes(self._waiting), bytearray()
        if data:
            await asyncio.to_thread(self._write, data)

    def read_at(self, start: int, size: int) -> bytes:
        """Raises ``ValueError`` once it is closed."""
        with self._using:
            return os.pread(self._file.fileno(), size, start)

    def close(self) -> None:
        """Idempotent."""
        with self._using:
            self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            with self._using:
                left = memoryview(data)
                while left:
                    written = os.pwrite(self._file.fileno(), left, self._size)
                    self._size += written
                    left = left[written:]
        except OSError as error:
            raise _no_room(error) from error


def _no_room(error: OSError) -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server has no room for this upload at the moment; try again later.",
        code="upload_not_stored",
        detail=repr(error),
        retry_after_s=RETRY_AFTER_S,
    )
