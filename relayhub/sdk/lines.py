"""Streams of lines, such as JSON lines: for the readers of wires."""

from __future__ import annotations

from relayhub.types import limits
from relayhub.types.errors import upstream_broke


class LineSplitter:
    """Bytes in any pieces → whole lines without their ends. The lines do not depend on the pieces.

    Linear in the bytes fed, also for single bytes. ``max_line`` bounds what is kept of a line that has not ended.
    """

    __slots__ = ("_kept", "_max_line", "_pieces")

    def __init__(self, max_line: int = limits.MAX_SSE_LINE) -> None:
        self._max_line = max_line
        self._pieces: list[bytes] = []
        self._kept = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, blank ones left out. Raises ``UpstreamError`` on a line over the limit, once the
        lines before it have been given out."""
        self._check()
        first, *others = data.split(b"\n")
        self._keep(first)
        lines: list[bytes] = []
        for piece in others:
            if self._kept > self._max_line:
                break
            lines.append(self._take())
            self._keep(piece)
        if not lines:
            self._check()
        return [line for line in lines if line.strip()]

    def rest(self) -> bytes:
        """The line that has not ended, at the end of the body; empty if there is none."""
        self._check()
        line = self._take()
        return line if line.strip() else b""

    def _check(self) -> None:
        if self._kept > self._max_line:
            raise upstream_broke(f"one line is longer than {self._max_line} bytes")

    def _keep(self, piece: bytes) -> None:
        self._kept += len(piece)
        if piece:
            self._pieces.append(piece)

    def _take(self) -> bytes:
        line = b"".join(self._pieces)
        self._pieces.clear()
        self._kept = 0
        return line.removesuffix(b"\r")
