"""Server-sent events as bytes: cutting a stream into whole frames, and reading a frame's data.

Reading is tolerant (LF, CRLF, CR and mixtures, a leading byte order mark, multi-line data, ``data:`` without a space);
frames keep their bytes, so that they can be relayed untouched. Grammar: WHATWG HTML, "Interpreting an event stream".
"""

from __future__ import annotations

import re

import msgspec

from relayhub.types import limits
from relayhub.types.errors import upstream_broke

LF, CR = b"\n\r"
"""As numbers: to look for a single byte like that costs a quarter of what :meth:`bytes.find` does."""

_BOM = b"\xef\xbb\xbf"

# A line's end followed by an empty line. After LF or CRLF a lone CR may be half of a CRLF, so one more byte decides;
# after a lone CR the stream uses CR, and waiting would delay every event by one.
_BLANK_LINE = re.compile(rb"\n\n|\r\r|\n\r\n|\n\r(?=[^\n])")


class FrameSplitter(msgspec.Struct, eq=False):
    """Bytes in any pieces → whole frames, each with its terminating blank line. The frames do not depend on the pieces.

    Linear in the bytes fed, also for single bytes and for very long lines. ``max_frame`` bounds what is kept of an
    unfinished frame.
    """

    max_frame: int = limits.MAX_SSE_LINE
    only_lf: bool = True
    """No CR has come: every frame ends with two LF."""
    _buffer: bytearray = msgspec.field(default_factory=bytearray)
    _searched: int = 0
    """No frame ends before this position of the buffer."""
    _fresh: bool = True
    """Nothing was given out yet, so a byte order mark may still stand in front."""
    _plain: bool = False
    """Only LF so far and past the first frame: a read that is one frame needs no closer look."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now. Raises ``UpstreamError`` on a frame over the limit, once the frames before it
        have been given out."""
        if self.only_lf and CR in data:
            self.only_lf = self._plain = False
        if self.only_lf and not self._buffer and len(data) <= self.max_frame:
            if data.partition(b"\n")[2] == b"\n":  # (looking for a single byte is several times faster than for two)
                return [self._without_bom(data) if self._fresh else data]
            if data[-2:] == b"\n\n" and data[-3:] != b"\n\n\n":
                return self._cut(data)
        self._buffer += data
        return self._take_whole()

    def _cut(self, data: bytes) -> list[bytes]:
        """Whole frames, and nothing but them."""
        frames = [frame + b"\n\n" for frame in data[:-2].split(b"\n\n")]
        if self._fresh:
            frames[0] = self._without_bom(frames[0])
        return frames

    @property
    def between_frames(self) -> bool:
        """All that has come was whole frames, with LF alone, and what comes next begins another one."""
        return self._plain and not self._buffer

    def _take_whole(self) -> list[bytes]:
        buffer = self._buffer
        frames: list[bytes] = []
        start, at = 0, self._searched
        while (end := self._end_of_frame(at)) >= 0:
            if end - start > self.max_frame:
                break
            frames.append(self._without_bom(bytes(buffer[start:end])))
            start = at = end
        del buffer[:start]
        self._searched = max(len(buffer) - 2, 0)
        if not frames:
            self._check(len(buffer))
        return frames

    def _end_of_frame(self, at: int) -> int:
        if self.only_lf:
            found = self._buffer.find(b"\n\n", at)
            return found + 2 if found >= 0 else -1
        match = _BLANK_LINE.search(self._buffer, at)
        return match.end() if match else -1

    def _check(self, size: int) -> None:
        if size > self.max_frame:
            raise upstream_broke(f"one event is longer than {self.max_frame} bytes")

    def _without_bom(self, frame: bytes) -> bytes:
        if self._fresh:
            self._fresh = False
            self._plain = self.only_lf
            return frame.removeprefix(_BOM)
        return frame

    def rest(self) -> bytes:
        """The unterminated tail, at the end of the body."""
        return self._without_bom(bytes(self._buffer)) if self._buffer else b""


def data_of(frame: bytes) -> bytes | None:
    """The data of a frame, its lines joined with LF; ``None`` where there is none (comments, bare ``event:``, …)."""
    if frame[:6] == b"data: " and frame.find(b"\n") == len(frame) - 2 and frame.find(b"\r") < 0:
        return frame[6:-2] or None
    lines = [value for line in frame.splitlines() if (value := _data_line(line)) is not None]
    return b"\n".join(lines) or None


def _data_line(line: bytes) -> bytes | None:
    name, _, value = line.partition(b":")
    return value.removeprefix(b" ") if name == b"data" else None


def frame_of(data: bytes) -> bytes:
    """A frame with this data, which may have several lines."""
    return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
