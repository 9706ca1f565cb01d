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

    __slots__ = (
        "_after",
        "_after_chunk",
        "_before",
        "_between",
        "_blanks",
        "_lessons",
        "_open",
        "_taught",
        "_whole",
        "text",
    )
    as_it_is = True

    def __init__(self) -> None:
        self._open = False
        self._whole = True
        """What was read last ended with a frame."""
        self._before = b""
        self._after = b""
        self._after_chunk = b""
        """The same in a chunk that ends with the frame."""
        self._between = b""
        """Stands from the text to its padding; empty where there is none."""
        self._blanks = False
        """That is its padding; else it is a string."""
        self._lessons = LESSONS
        self.text = ""
        """Of the frame that was found alike last."""
        self._taught = self.text

    def chars(self, frame: bytes) -> int:
        return len(self.text) if self._open and self._alike(frame, b"", self._after) else -1

    def chunk_chars(self, chunk: bytes, line: bytes) -> int:
        return len(self.text) if self._open and self._alike(chunk, line, self._after_chunk) else -1

    def shown(self, frame: bytes) -> bytes:
        return frame

    def end(self) -> None:
        """Something is about to be read."""
        self._open = False

    def begin(self, data: bytes, member: bytes | None, text: str) -> bool:
        """``data`` was read. If it was one frame that said nothing but ``text``, which stands in the only ``member`` of that
        name (in quotes; ``None``: it was not), others like it pass from now on."""
        whole, self._whole = self._whole, data.endswith(_BLANK_LINES)
        if member is not None and whole and text:
            known = self._alike(data, b"", self._after) and self.text == text
            self._open = known or self._learn(data, member, text)
        return self._open

    def _alike(self, data: bytes, line: bytes, after: bytes) -> bool:
        """What is left of it after three cuts is the text if all three were made, which its length tells."""
        before = self._before
        literal = data.removeprefix(line).removeprefix(before).removesuffix(after)
        if not before or len(line) + len(before) + len(literal) + len(after) != len(data):
            return False
        try:
            if self._between:
                literal = self._unpadded(literal)
            text = orjson.loads(literal)
        except orjson.JSONDecodeError:
            return False
        if type(text) is not str or not text or len(data) - len(line) > MAX_SSE_LINE:
            return False
        if literal[0] != _QUOTE or literal[-1] != _QUOTE:
            return False  # blanks, which a line's end is one of as well
        self.text = text
        return True

    def _unpadded(self, padded: bytes) -> bytes:
        """The text that has padding behind it; empty if it has not."""
        between = self._between
        if self._blanks:
            rest = padded.rstrip(b" ")
            return rest.removesuffix(between) if rest.endswith(between) else b""
        literal, _, padding = padded.partition(between)
        whole = padding[-1:] == b'"' == padding[:1] and type(orjson.loads(padding)) is str
        return literal if whole else b""

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
        self._after_chunk = self._after + b"\r\n"


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
