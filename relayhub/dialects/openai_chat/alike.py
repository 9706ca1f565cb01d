"""Frames of one stream that differ in nothing but a piece of text: read once, then compared."""

from __future__ import annotations

import re

from relayhub.dialects.openai_chat.chunk import Chunk
from relayhub.types.limits import MAX_SSE_LINE

_MARKED = bytes(ord("?") if byte < 0x20 or byte in b'"\\' else byte for byte in range(256))
"""Changes what is not plain. A table costs a fifth of what leaving bytes out does, for which one is made each time."""

_PLAIN = rb'[^"\\\x00-\x1f]*+'
"""Text as it stands in JSON where nothing in it is escaped."""

_ONE_TEXT = re.compile(_PLAIN)
_CONTENT = b'"content"'
_TIGHT = _CONTENT + b':"'
_KEY = re.compile(_CONTENT + b' ?: ?"')
_OBFUSCATION = b'"obfuscation"'
_PADDING = re.compile(_OBFUSCATION + b' ?: ?"')
"""A member without a meaning, of another length in each frame, so that lengths on the wire tell nothing of the text."""

LESSONS = 4
"""The first frame of a stream often names the speaker, and is like no other. A stream whose frames differ is read."""

PAYS = 4
"""A lesson that has spared the reading of so many frames was worth it, and another one will be."""


class AlikeFrames:
    """Where a frame carries a piece of plain text and nothing else that counts, what stands before and behind that piece is
    kept. Another frame with the same two ends, and plain text between them, is the same JSON with another text: it needs no
    parser. All that could make it something else (line ends, size) was looked at in what is kept."""

    __slots__ = ("_after", "_before", "_lessons", "_most", "_padded", "_shown_before", "_spared", "as_it_is", "paused")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._padded: re.Pattern[bytes] | None = None
        """What may stand from the text on where padding follows it; ``None``: nothing but the text."""
        self._shown_before = b""
        self._most = 0
        """Bytes that a frame may have behind what stands before the text."""
        self.as_it_is = True
        self._lessons = LESSONS
        self._spared = 0
        self.paused = False
        """Part of a frame has come, and what comes next belongs to it."""

    def chars(self, data: bytes, start: int, end: int) -> int:
        """Of the text of the frame in ``data[start:end]``; -1 where it must be read."""
        before = self._before
        if not before or self.paused or not data.startswith(before, start, end):
            return -1
        after = self._after
        start += len(before)
        if not data.endswith(after, start, end) or end - start > self._most:
            return -1
        text = data[start : end - len(after)]
        if self._padded is not None:
            match = self._padded.fullmatch(text)
            if match is None or not (text.isascii() or _is_utf8(text)):
                return -1
            text = match[1]
        elif text.translate(_MARKED) != text:
            return -1
        self._spared += 1
        if text.isascii():
            return len(text)
        try:
            return len(text.decode())
        except UnicodeDecodeError:
            return -1

    def shown(self, data: bytes, start: int, end: int) -> bytes:
        """What the client sees of such a frame."""
        if self.as_it_is:
            return data[start:end]
        return self._shown_before + data[start + len(self._before) : end]

    def learn(self, frame: bytes, shown: bytes, chunk: Chunk) -> None:
        """From a whole frame that was read, and :func:`is_one_line`; ``shown``: as the client sees it."""
        if self._spared >= PAYS:
            self._lessons = LESSONS
        if self._lessons == 0 or (text := _text_of(chunk)) is None:
            return
        self._lessons -= 1
        self._spared = 0
        before, after = _ends(frame, text)
        shown_before, shown_after = (before, after) if shown is frame else _ends(shown, text)
        if before and shown_before and after == shown_after:
            self._before, self._shown_before = before, shown_before
            self.as_it_is = before is shown_before
            self._padded, self._after = _split(after)
            self._most = MAX_SSE_LINE - len(before)

    def forget(self) -> None:
        """From here on every frame counts."""
        self._before = b""
        self._lessons = self._spared = 0


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_one_line(frame: bytes) -> bool:
    """And a blank one, ended by line feeds alone."""
    return frame.endswith(b"\n\n") and frame.find(b"\n") == len(frame) - 2 and frame.find(b"\r") < 0


def _text_of(chunk: Chunk) -> bytes | None:
    """The plain text of a chunk that says nothing else."""
    choices = chunk.choices
    if chunk.usage is not None or chunk.error or choices is None or len(choices) != 1:
        return None
    choice, delta = choices[0], choices[0].delta
    if choice.finish_reason or delta is None or not delta.content or delta.tool_calls:
        return None
    if delta.reasoning_content or delta.reasoning or delta.refusal:
        return None
    text = delta.content.encode(errors="replace")
    return text if text.translate(_MARKED) == text else None


def _ends(frame: bytes, text: bytes) -> tuple[bytes, bytes]:
    """What stands before the text, with its opening quote, and behind it; empty where that is not plain to see."""
    at = frame.find(_CONTENT)
    if at < 0 or frame.find(_CONTENT, at + 1) >= 0:
        return b"", b""
    start = at + len(_TIGHT)
    if frame[at:start] != _TIGHT:
        key = _KEY.match(frame, at)
        if key is None:
            return b"", b""
        start = key.end()
    end = start + len(text)
    if frame[start : end + 1] != text + b'"':
        return b"", b""
    return frame[:start], frame[end:]


def _split(after: bytes) -> tuple[re.Pattern[bytes] | None, bytes]:
    """What may stand from the text on, and behind that: the padding may differ as well as the text. ``None``: there is
    none."""
    at = after.find(_OBFUSCATION)
    key = _PADDING.match(after, at) if at >= 0 and after.find(_OBFUSCATION, at + 1) < 0 else None
    if key is None:
        return None, after
    start = key.end()
    padding = _ONE_TEXT.match(after, start)
    assert padding is not None
    if after[padding.end() : padding.end() + 1] != b'"':
        return None, after
    return re.compile(b"(" + _PLAIN + b")" + re.escape(after[:start]) + _PLAIN), after[padding.end() :]
