"""A JSON array that grows, as bytes: cut into its elements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relayhub.types.errors import upstream_broke

_OUTSIDE = re.compile(rb'["\[\]{}]')
_INSIDE = re.compile(rb'["\\]')


@dataclass(frozen=True, slots=True)
class Element:
    """``lead``: what stands between the element before it and this one: ``[``, or a comma, and white space."""

    lead: bytes
    value: bytes


class ArraySplitter:
    """Bytes in any pieces → whole elements that are objects. The elements do not depend on the pieces. Linear in the
    bytes fed; ``max_element`` bounds what is kept of an unfinished element."""

    __slots__ = ("_at", "_begun", "_buffer", "_depth", "_in_string", "_max_element", "closed")

    def __init__(self, max_element: int) -> None:
        self._max_element = max_element
        self._buffer = bytearray()
        self._at = 0
        """Nothing before this position of the buffer needs to be looked at again."""
        self._begun = -1
        """Where the open element begins."""
        self._depth = 0
        self._in_string = False
        self.closed = False
        """The closing bracket has come; nothing after it matters."""

    def feed(self, data: bytes) -> list[Element]:
        """The elements that are whole now. Raises ``UpstreamError`` on one over the limit."""
        self._buffer += data
        elements: list[Element] = []
        while not self.closed and (found := self._next()) is not None:
            element = self._step(found)
            if element is not None:
                elements.append(element)
        if len(self._buffer) > self._max_element:
            raise upstream_broke(f"one element is longer than {self._max_element} bytes")
        return elements

    def rest(self) -> bytes:
        """What came after the last whole element."""
        return bytes(self._buffer)

    def _next(self) -> int | None:
        """The next byte that means something, by its position."""
        match = (_INSIDE if self._in_string else _OUTSIDE).search(self._buffer, self._at)
        if match is None:
            self._at = len(self._buffer)
            return None
        at = match.start()
        if self._buffer[at] == 0x5C and at + 1 == len(self._buffer):
            self._at = at  # what it escapes has not come yet
            return None
        return at

    def _step(self, at: int) -> Element | None:
        byte = self._buffer[at]
        self._at = at + 1
        if byte == 0x5C:
            self._at = at + 2
        elif byte == 0x22:
            self._in_string = not self._in_string
        elif byte in b"[{":
            if byte == 0x7B and self._depth == 1:
                self._begun = at
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == 1 and self._begun >= 0:
                return self._take()
            self.closed = self._depth <= 0
        return None

    def _take(self) -> Element:
        buffer, end = self._buffer, self._at
        element = Element(bytes(buffer[: self._begun]), bytes(buffer[self._begun : end]))
        del buffer[:end]
        self._at, self._begun = 0, -1
        return element
