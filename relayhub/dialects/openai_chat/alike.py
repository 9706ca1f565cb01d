"""Frames of one stream that differ in nothing but a piece of text: read once, then compared."""

from __future__ import annotations

import re

from relayhub.dialects.openai_chat.chunk import Chunk

_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
"""Text as it stands in JSON where nothing in it is escaped."""

_KEY = re.compile(rb'"content" ?: ?"')


LESSONS = 4
"""The first frame of a stream often names the speaker, and is like no other. A stream whose frames differ is read."""


class AlikeFrames:
    """Where a frame carries a piece of plain text and nothing else that counts, what stands before and behind that piece is
    kept. Another frame with the same two ends, and plain text between them, is the same JSON with another text: it needs no
    parser."""

    __slots__ = ("_after", "_before", "_lessons", "_shown_before")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._shown_before = b""
        self._lessons = LESSONS

    def chars(self, frame: bytes) -> int:
        """Of its text; -1 where the frame must be read."""
        if not self._before or not frame.startswith(self._before) or not frame.endswith(self._after):
            return -1
        start, end = len(self._before), len(frame) - len(self._after)
        if end < start or _PLAIN.fullmatch(frame, start, end) is None:
            return -1
        if frame.isascii():
            return end - start
        try:
            return len(frame[start:end].decode())
        except UnicodeDecodeError:
            return -1

    def shown(self, frame: bytes) -> bytes:
        """What the client sees of a frame that needs no reading."""
        if self._shown_before is self._before:
            return frame
        return self._shown_before + frame[len(self._before) :]

    def learn(self, frame: bytes, shown: bytes, chunk: Chunk) -> None:
        """From a frame that was read; ``shown``: as the client sees it."""
        if self._lessons == 0 or (text := _text_of(chunk)) is None:
            return
        self._lessons -= 1
        before, after = _ends(frame, text)
        shown_before, shown_after = (before, after) if shown is frame else _ends(shown, text)
        if before and shown_before and after == shown_after:
            self._before, self._after, self._shown_before = before, after, shown_before

    def forget(self) -> None:
        """From here on every frame counts."""
        self._before = b""


def _text_of(chunk: Chunk) -> bytes | None:
    """The plain text of a chunk that says nothing else."""
    choices = chunk.choices
    if chunk.usage is not None or chunk.error or choices is None or len(choices) != 1:
        return None
    choice, delta = choices[0], choices[0].delta
    if choice.finish_reason or delta is None or not delta.content or delta.chars() != len(delta.content):
        return None
    if delta.tool_calls:
        return None
    text = delta.content.encode(errors="replace")
    return text if _PLAIN.fullmatch(text) else None


def _ends(frame: bytes, text: bytes) -> tuple[bytes, bytes]:
    """What stands before the text, with its opening quote, and behind it; empty where that is not plain to see."""
    keys = list(_KEY.finditer(frame))
    if len(keys) != 1 or frame.count(b'"content"') != 1:
        return b"", b""
    start = keys[0].end()
    end = start + len(text)
    if frame[start:end] != text or frame[end : end + 1] != b'"':
        return b"", b""
    return frame[:start], frame[end:]
