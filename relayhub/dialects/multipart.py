"""``multipart/form-data`` while it streams by (RFC 7578, RFC 2046): where each part stands, and what a few fields say.

The body is relayed as it came, so the reading is strict: wherever two parsers could disagree about what a form says
(repeated or oddly quoted names, encoded parts, boundaries that almost match), the request is refused. Otherwise a form
could show the hub one model and the upstream another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from relayhub.types import limits
from relayhub.types.errors import ClientError, ErrorKind, invalid_request

_CRLF = b"\r\n"
_BLANK = b" \t"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r';[ \t]*([0-9A-Za-z!#$%&\'*+.^_`|~-]+)=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s";]+))[ \t]*')
_FIELD_NAME = re.compile(r"[0-9A-Za-z_.\[\]-]{1,100}")
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_PLAIN_ENCODINGS = frozenset({"", "binary", "8bit", "7bit"})
_FORM_DATA = "form-data"
_DISPOSITION = frozenset({"name", "filename", "filename*"})

_LENGTH_DIGITS = 15
"""Of a number that is worth reading."""


@dataclass(frozen=True, slots=True)
class Part:
    """``start`` to ``end`` (exclusive) are its content's place in the body. ``length_at``: the place of its own
    Content-Length, which some clients write."""

    name: str
    is_file: bool
    start: int
    end: int
    length_at: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Form:
    """``parts`` in their order; ``values``: what the wanted fields say, each at most once; ``size``: of the whole
    body."""

    parts: tuple[Part, ...]
    values: Mapping[str, str]
    size: int

    def part(self, name: str) -> Part:
        """The first of this name. Raises ``KeyError``."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)

    def changes(self, name: str, value: bytes) -> tuple[tuple[int, int, bytes], ...]:
        """What to put where in the body, in this order, so that the part has this content instead."""
        part = self.part(name)
        content = (part.start, part.end, value)
        if part.length_at is None:
            return (content,)
        return ((*part.length_at, str(len(value)).encode()), content)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's Content-Type names. Raises ``ClientError``."""
    kind, found = _parameters(content_type)
    if kind != "multipart/form-data":
        given = f"not {_shown(kind)}" if kind else "and the request says no Content-Type"
        raise ClientError(
            ErrorKind.UNSUPPORTED_MEDIA,
            f"This endpoint takes multipart/form-data, {given}.",
            code="unsupported_media_type",
        )
    boundary = found.get("boundary", "")
    if any("*" in name for name in found) or not _BOUNDARY.fullmatch(boundary):
        raise malformed("the Content-Type needs a boundary of 1 to 70 characters")
    return boundary.encode()


def malformed(problem: str, param: str | None = None) -> ClientError:
    return invalid_request(f"The multipart body is malformed: {problem}.", code="invalid_multipart", param=param)


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """``form-data; name="x"`` → kind and parameters, both names lower case. Backslashes stay: nobody agrees on them."""
    kind, semicolon, rest = value.partition(";")
    rest = semicolon + rest.rstrip()
    found: dict[str, str] = {}
    at = 0
    while at < len(rest) and (match := _PARAMETER.match(rest, at)):
        name = match[1].lower()
        if name in found:
            raise malformed(f"the header {_shown(value)} says {name} twice")
        found[name] = match[3] if match[2] is None else match[2]
        at = match.end()
    if rest[at:].strip("; \t"):
        raise malformed(f"the header {_shown(value)} cannot be read")
    return kind.strip().lower(), found


def _shown(text: str) -> str:
    return ascii(text[:100])


class _At(StrEnum):
    """What is expected next."""

    PREAMBLE = "preamble"
    DELIMITER = "delimiter"
    """The rest of the line that began with the boundary."""
    HEADERS = "headers"
    CONTENT = "content"
    EPILOGUE = "epilogue"


class FormScanner:
    """A form's bytes in any pieces. Keeps none of them but a part's headers and the values of ``wanted`` fields; the
    result does not depend on the pieces. Raises ``ClientError``, after which it must not be fed."""

    def __init__(self, boundary: bytes, wanted: Collection[str]) -> None:
        self._wanted = wanted
        self._delimiter = _CRLF + b"--" + boundary
        self._state = _At.PREAMBLE
        self._buffer = bytearray()
        self._base = 0
        """Where the buffer's first byte stands in the body."""
        self._parts: list[Part] = []
        self._values: dict[str, str] = {}
        self._open: _Head | None = None
        self._started_at = 0
        self._content: bytearray | None = None
        """What the open part says, if it is wanted."""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def finish(self) -> Form:
        """The body has ended. Raises ``ClientError`` if the form has not."""
        if self._state is not _At.EPILOGUE:
            raise malformed("it ends before its closing boundary")
        return Form(tuple(self._parts), dict(self._values), self._base + len(self._buffer))

    def _step(self) -> bool:
        """Whether there may be more to read in what is buffered."""
        match self._state:
            case _At.PREAMBLE:
                return self._preamble()
            case _At.DELIMITER:
                return self._end_of_delimiter()
            case _At.HEADERS:
                return self._headers()
            case _At.CONTENT:
                return self._body()
            case _At.EPILOGUE:
                return self._epilogue()

    def _take(self, size: int) -> None:
        del self._buffer[:size]
        self._base += size

    def _preamble(self) -> bool:
        """The first boundary stands at the very beginning; at most an empty line before it."""
        for opening in (self._delimiter[len(_CRLF) :], self._delimiter):
            if self._buffer.startswith(opening):
                self._take(len(opening))
                self._state = _At.DELIMITER
                return True
        if not self._delimiter.startswith(self._buffer) and not self._delimiter[len(_CRLF) :].startswith(self._buffer):
            raise malformed("it does not begin with the boundary that its Content-Type names")
        return False

    def _end_of_delimiter(self) -> bool:
        """``--`` closes the form; padding and a line's end open a part."""
        if len(self._buffer) < len(_CRLF):
            return False
        if self._buffer.startswith(b"--"):
            self._take(2)
            self._state = _At.EPILOGUE
            return True
        line = self._buffer.find(_CRLF)
        padding = bytes(self._buffer if line < 0 else self._buffer[:line])
        if padding.strip(_BLANK + (b"\r" if line < 0 else b"")) or len(padding) > limits.MAX_FORM_PADDING:
            raise malformed("a line begins with the boundary and is not one")
        if line < 0:
            return False
        self._take(line + len(_CRLF))
        self._state = _At.HEADERS
        return True

    def _headers(self) -> bool:
        end = self._buffer.find(_CRLF + _CRLF, 0, limits.MAX_FORM_HEADERS + 4)
        if self._buffer.startswith(_CRLF):
            raise malformed(f"{self._next_part()} has no headers")
        if end < 0:
            if len(self._buffer) >= limits.MAX_FORM_HEADERS + 4:
                raise malformed(f"{self._next_part()} has more than {limits.MAX_FORM_HEADERS} bytes of headers")
            return False
        self._begin(bytes(self._buffer[:end]))
        # The line's end before the content stays: an empty content is followed by its delimiter at once.
        self._take(end + len(_CRLF))
        self._started_at = self._base + len(_CRLF)
        self._state = _At.CONTENT
        return True

    def _begin(self, block: bytes) -> None:
        if len(self._parts) >= limits.MAX_FORM_PARTS:
            raise malformed(f"it has more than {limits.MAX_FORM_PARTS} parts")
        head = self._open = _read_head(block, self._base, self._next_part())
        self._content = None
        if head.name not in self._wanted:
            return
        if head.is_file:
            raise malformed(f"the field {head.name} must be text, not a file", head.name)
        if any(part.name == head.name for part in self._parts):
            raise malformed(f"the field {head.name} is there more than once", head.name)
        self._content = bytearray()

    def _body(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            self._keep(at)
            self._end(self._base + at)
            self._take(at + len(self._delimiter))
            self._state = _At.DELIMITER
            return True
        # All that can be the beginning of a delimiter waits for more.
        sure = len(self._buffer) - len(self._delimiter) + 1
        if sure > 0:
            self._keep(sure)
            self._take(sure)
        return False

    def _keep(self, size: int) -> None:
        """Note the first ``size`` buffered bytes of a wanted part; the line's end before its content is no part of
        it."""
        if self._content is None or self._open is None:
            return
        skip = max(0, self._started_at - self._base)
        self._content += self._buffer[skip:size]
        if len(self._content) > limits.MAX_FORM_VALUE:
            name = self._open.name
            raise malformed(f"the field {name} is longer than {limits.MAX_FORM_VALUE} bytes", name)

    def _end(self, end: int) -> None:
        head = self._open
        assert head is not None
        start = self._started_at
        if end < start:  # the delimiter follows the headers without the line's end that belongs to it
            raise malformed(f"the field {head.name} ends before its content begins")
        if head.length is not None and head.length != end - start:
            raise malformed(f"the field {head.name} is not as long as its Content-Length says", head.name)
        self._parts.append(Part(head.name, head.is_file, start, end, head.length_at))
        if self._content is not None:
            self._values[head.name] = _decoded(head.name, self._content)

    def _epilogue(self) -> bool:
        if self._buffer.strip(_BLANK + _CRLF) or self._base + len(self._buffer) > self._closed_by():
            raise malformed("there is more after its closing boundary")
        return False

    def _closed_by(self) -> int:
        """Where the body ends at the latest."""
        last = self._parts[-1].end if self._parts else 0
        return last + len(self._delimiter) + limits.MAX_FORM_PADDING

    def _next_part(self) -> str:
        return f"part {len(self._parts) + 1}"


@dataclass(frozen=True, slots=True)
class _Head:
    name: str
    is_file: bool
    length: int | None
    length_at: tuple[int, int] | None


def _read_head(block: bytes, base: int, where: str) -> _Head:
    """A part's headers; ``base``: where they stand in the body."""
    headers: dict[str, str] = {}
    length_at = None
    at = 0
    for line in block.split(_CRLF):
        name, value = _header(line, where)
        if name in headers:
            raise malformed(f"{where} has the header {name} twice")
        headers[name] = value
        if name == "content-length":
            start = base + at + line.index(value.encode(), len(name))
            length_at = (start, start + len(value))
        at += len(line) + len(_CRLF)
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN_ENCODINGS:
        raise malformed(f"{where} has a Content-Transfer-Encoding; send it as it is")
    kind, found = _parameters(headers.get("content-disposition", ""))
    if kind != _FORM_DATA:
        raise malformed(f"{where} has no Content-Disposition: form-data")
    if not found.keys() <= _DISPOSITION:
        raise malformed(f"{where} has a Content-Disposition with more than name and filename")
    name = found.get("name", "")
    if not _FIELD_NAME.fullmatch(name):
        raise malformed(f"{where} needs a name of letters, digits and _ . - [ ]")
    is_file = found.keys() != {"name"}
    return _Head(name, is_file, _length(headers.get("content-length"), where), length_at)


def _header(line: bytes, where: str) -> tuple[str, str]:
    """Name (lower case) and value of one line."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise malformed(f"{where} has headers that are not UTF-8") from None
    name, colon, value = text.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name) or any(ord(char) < 0x20 and char != "\t" for char in value):
        raise malformed(f"{where} has the line {_shown(text)}, which is no header")
    return name.lower(), value.strip(" \t")


def _length(value: str | None, where: str) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > _LENGTH_DIGITS:
        raise malformed(f"{where} has a Content-Length that is no number")
    return int(value)


def _decoded(name: str, content: bytearray) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise malformed(f"the field {name} is not UTF-8", name) from None
