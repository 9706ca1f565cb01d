"""Frames of one stream that differ in nothing but a piece of text: read once, then compared."""

from __future__ import annotations

import re

from relayhub.dialects.openai_chat.chunk import Chunk
from relayhub.types.limits import MAX_SSE_LINE

_MARKED = bytes(ord("?") if byte < 0x20 or byte in b'"\\' else byte for byte in range(256))
"""Changes what is not plain. A table costs a fifth of what leaving bytes out does, for which one is made each time."""

_MARKED_ASCII = _MARKED[:0x80] + b"?" * 0x80
"""Changes what is not one character of plain text each."""

_QUOTE = ord('"')

_PLAIN = rb'[^"\\\x00-\x1f]*+'
"""Text as it stands in JSON where nothing in it is escaped."""

_ONE_TEXT = re.compile(_PLAIN)
_CONTENT = b'"content"'
_TIGHT = b':"'
_OPENING = re.compile(b' ?: ?"')
_OBFUSCATION = b'"obfuscation"'
_PADDING = re.compile(_OBFUSCATION + b' ?: ?"')
"""A member without a meaning, of another length in each frame, so that lengths on the wire tell nothing of the text."""

LESSONS = 4
"""The first frame of a stream often names the speaker, and is like no other. A stream whose frames differ is read."""

_NONE_PASS = 1 << 62
_LINE_END = b"\r\n"
_LINE_END_SIZE = len(_LINE_END)

PAYS = 4
"""A lesson that has spared the reading of so many frames was worth it, and another one will be."""


class AlikeFrames:
    """Where a frame carries a piece of plain text and nothing else that counts, what stands before and behind that piece is
    kept. Another frame with the same two ends, and plain text between them, is the same JSON with another text: it needs no
    parser. All that could make it something else (line ends, size) was looked at in what is kept."""

    __slots__ = (
        "_after",
        "_after_chunk",
        "_around",
        "_around_in_chunk",
        "_before",
        "_lessons",
        "_most",
        "_padded",
        "_paused",
        "_shown_before",
        "_spared",
        "as_it_is",
    )

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._after_chunk = b""
        """The same in a chunk that ends with the frame."""
        self._around = _NONE_PASS
        """Bytes of a frame that are not its text."""
        self._around_in_chunk = _NONE_PASS
        self._padded: re.Pattern[bytes] | None = None
        """What may stand from the text on where padding follows it; ``None``: nothing but the text."""
        self._shown_before = b""
        self._most = 0
        """Bytes that a text may have, with its padding."""
        self.as_it_is = True
        self._lessons = LESSONS
        self._spared = 0
        self._paused = False

    def pause(self, paused: bool) -> None:
        """Part of a frame has come, and what comes next belongs to it; or not any more."""
        if paused is not self._paused:
            self._paused = paused
            self._open()

    def _open(self) -> None:
        before = self._before
        around = self._around = len(before) + len(self._after) if before and not self._paused else _NONE_PASS
        self._around_in_chunk = around + _LINE_END_SIZE

    def chars(self, frame: bytes) -> int:
        """Of the text of a frame; -1 where it must be read."""
        text = frame.removeprefix(self._before).removesuffix(self._after)
        if len(text) + self._around != len(frame) or len(text) > self._most:
            return -1
        return self._counted(text)

    def chunk_chars(self, chunk: bytes, line: bytes) -> int:
        """See :class:`relayhub.dialects.comparing.Comparison`. What is left after three cuts is the text if all three were
        made, which its length tells."""
        text = chunk.removeprefix(line).removeprefix(self._before).removesuffix(self._after_chunk)
        chars = len(text)
        if chars + len(line) + self._around_in_chunk != len(chunk) or chars > self._most:
            return -1
        if self._padded is not None or text.translate(_MARKED_ASCII) != text:
            return self._counted(text)
        self._spared += 1
        return chars

    def _counted(self, text: bytes) -> int:
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

    def shown(self, frame: bytes) -> bytes:
        """What the client sees of such a frame."""
        return frame if self.as_it_is else self._shown_before + frame[len(self._before) :]

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
            self._after_chunk = self._after + _LINE_END
            self._most = MAX_SSE_LINE - len(before) - len(self._after)
            self._open()

    def forget(self) -> None:
        """From here on every frame counts."""
        self._before = b""
        self._lessons = self._spared = 0
        self._around = self._around_in_chunk = _NONE_PASS


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
    choice = choices[0]
    delta = choice.delta
    if choice.finish_reason or delta is None or not delta.content or delta.tool_calls:
        return None
    if delta.reasoning_content or delta.reasoning or delta.refusal:
        return None
    try:
        text = delta.content.encode()
    except UnicodeEncodeError:
        return None  # half of a pair
    return text if text.translate(_MARKED) == text else None


def _ends(frame: bytes, text: bytes) -> tuple[bytes, bytes]:
    """What stands before the text, with its opening quote, and behind it; empty where that is not plain to see."""
    parts = frame.split(_CONTENT)
    if len(parts) != 2:
        return b"", b""
    before, rest = parts
    opening, after = _TIGHT, rest.removeprefix(_TIGHT + text)
    if len(after) == len(rest) and (spaced := _OPENING.match(rest)) is not None:
        opening = spaced[0]
        after = rest.removeprefix(opening + text)
    if not after or after[0] != _QUOTE or len(after) == len(rest):
        return b"", b""
    return before + _CONTENT + opening, after


def _split(after: bytes) -> tuple[re.Pattern[bytes] | None, bytes]:
    """What may stand from the text on, and behind that: the padding may differ as well as the text. ``None``: there is
    none."""
    between, name, rest = after.partition(_OBFUSCATION)
    if not name:
        return None, after
    key = _PADDING.match(after, len(between)) if rest.find(_OBFUSCATION) < 0 else None
    if key is None:
        return None, after
    start = key.end()
    padding = _ONE_TEXT.match(after, start)
    assert padding is not None
    if after[padding.end() : padding.end() + 1] != b'"':
        return None, after
    return re.compile(b"(" + _PLAIN + b")" + re.escape(after[:start]) + _PLAIN), after[padding.end() :]
