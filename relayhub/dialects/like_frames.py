"""Frames that differ in nothing but a text: one is read, the others are compared with it."""

from __future__ import annotations

import re

import orjson

from relayhub.types.limits import MAX_SSE_LINE

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_COLON = re.compile(b" ?: ?")
_OBFUSCATION = b'"obfuscation"'
_BLANKS = re.compile(rb"(.*[^ ]) ++(}\s*+)", re.DOTALL)
"""OpenAI pads its frames with a member without a meaning, Anthropic with blanks before the last bracket (seen in 2026): so
lengths on the wire tell nothing of the text."""

_BLANK_LINES = (b"\n\n", b"\r\n\r\n")
_FIELDS = (b"data:", b"event:")

_QUOTE = ord('"')

LESSONS = 4
"""A stream of which no two frames in a row are alike is read after so many attempts."""


class LikeFrames:
    """A :class:`relayhub.dialects.comparing.Comparison`. What stands before and behind the text of a frame is kept. Another
    frame with the same two ends, and one JSON string between them, is the same JSON with another text, and a reader would see
    the same in it but for that.

    Frames pass from one that was read alone and said nothing but its text, until anything else is read: see :meth:`begin`."""

    __slots__ = ("_after", "_before", "_between", "_blanks", "_lessons", "_open", "_taught", "_whole", "text")
    as_it_is = True

    def __init__(self) -> None:
        self._open = False
        self._whole = True
        """What was read last ended with a frame."""
        self._before = b""
        self._after = b""
        self._between = b""
        """Stands from the text to its padding; empty where there is none."""
        self._blanks = False
        """That is its padding; else it is a string."""
        self._lessons = LESSONS
        self.text = ""
        """Of the frame that was found alike last."""
        self._taught = self.text

    def chars(self, data: bytes, start: int, end: int) -> int:
        return len(self.text) if self._open and self._alike(data, start, end) else -1

    def shown(self, data: bytes, start: int, end: int) -> bytes:
        return data[start:end]

    def end(self) -> None:
        """Something is about to be read."""
        self._open = False

    def begin(self, data: bytes, member: bytes | None, text: str) -> bool:
        """``data`` was read. If it was one frame that said nothing but ``text``, which stands in the only ``member`` of that
        name (in quotes; ``None``: it was not), others like it pass from now on."""
        whole, self._whole = self._whole, data.endswith(_BLANK_LINES)
        if member is not None and whole and text:
            known = self._alike(data, 0, len(data)) and self.text == text
            self._open = known or self._learn(data, member, text)
        return self._open

    def _alike(self, data: bytes, start: int, end: int) -> bool:
        before, after = self._before, self._after
        if not before or not data.startswith(before, start, end) or not data.endswith(after, start, end):
            return False
        first, last = start + len(before), end - len(after)
        try:
            if self._between:
                last = self._unpadded(data, first, last)
            text = orjson.loads(data[first:last])
        except orjson.JSONDecodeError:
            return False
        if type(text) is not str or not text or end - start > MAX_SSE_LINE:
            return False
        if data[first] != _QUOTE or data[last - 1] != _QUOTE:
            return False  # blanks, which a line's end is one of as well
        self.text = text
        return True

    def _unpadded(self, data: bytes, first: int, last: int) -> int:
        """Where the text ends that has padding behind it; ``first`` if it has not."""
        between = self._between
        if self._blanks:
            rest = data[first:last].rstrip(b" ")
            return first + len(rest) - len(between) if rest.endswith(between) else first
        found = data.find(between, first, last)
        padding = data[found + len(between) : last] if found >= 0 else b""
        whole = padding[-1:] == b'"' == padding[:1] and type(orjson.loads(padding)) is str
        return found if whole else first

    def _learn(self, frame: bytes, member: bytes, text: str) -> bool:
        """Whether it is plain to see what stands around the text: no line and no key may be anything else than it looks
        like."""
        if self.text is not self._taught:
            self._lessons = LESSONS  # the last one was worth it
        if self._lessons == 0:
            return False
        self._lessons -= 1
        self._before = b""
        self._taught = self.text = text
        span = _string_of(frame, member) if _is_one(frame) else None
        if span is None or _read(frame[span[0] : span[1]]) != text:
            return False
        before, after = frame[: span[0]], frame[span[1] :]
        if before.find(b"\\") >= 0 or after.find(b"\\") >= 0:
            return False
        self._before = before
        self._split(after)
        return True

    def _split(self, after: bytes) -> None:
        """Into what stands between a text and its padding, and behind that."""
        self._between, self._after, self._blanks = b"", after, False
        if (span := _string_of(after, _OBFUSCATION)) is not None:
            self._between, self._after = after[: span[0]], after[span[1] :]
        elif (padded := _BLANKS.fullmatch(after)) is not None:
            self._between, self._after, self._blanks = padded[1], padded[2], True


def _is_one(data: bytes) -> bool:
    """A frame, and its lines all end in one way."""
    blank = b"\r\n\r\n" if data.find(b"\r") >= 0 else b"\n\n"
    if not data.startswith(_FIELDS) or data.find(blank) != len(data) - len(blank):
        return False
    lines = data.count(b"\n")
    return blank == b"\n\n" or data.count(b"\r") == data.count(b"\r\n") == lines


def _read(literal: bytes) -> str | None:
    try:
        text = orjson.loads(literal)
    except orjson.JSONDecodeError:
        return None
    return text if isinstance(text, str) else None


def _string_of(frame: bytes, member: bytes) -> tuple[int, int] | None:
    """Where the string begins and ends that is the value of the only member of this name."""
    at = frame.find(member)
    colon = _COLON.match(frame, at + len(member)) if at >= 0 and frame.find(member, at + 1) < 0 else None
    string = None if colon is None else _STRING.match(frame, colon.end())
    return None if string is None else string.span()
