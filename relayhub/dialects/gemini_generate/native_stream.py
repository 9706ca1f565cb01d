"""The tap of the byte lane: chunks pass as they came, the last one when the stream has really ended."""

from __future__ import annotations

from relayhub.dialects.codec import ClientView, Framing
from relayhub.dialects.gemini_generate.chunk import Chunk, read_chunk
from relayhub.dialects.gemini_generate.ending import Ending
from relayhub.dialects.gemini_generate.native import adapted, check_error
from relayhub.dialects.gemini_generate.pieces import Piece, Pieces
from relayhub.dialects.gemini_generate.usage import read_usage
from relayhub.dialects.openai_chat.upstream_json import untyped, valid_utf8
from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.limits import MAX_MEDIA_EVENT
from relayhub.types.usage import Usage


class GeminiNativeStream:
    """See :class:`relayhub.dialects.codec.NativeStream`. The terminal bytes are the chunk with which every candidate
    has finished, and what follows it; an array's closing bracket, too.

    An error that follows good chunks in the same bytes does not swallow them: they are returned, ``ended`` is true, and
    the next ``feed`` or :meth:`finish` raises.
    """

    __slots__ = (
        "_ending",
        "_failure",
        "_first",
        "_held",
        "_held_bytes",
        "_holding",
        "_pieces",
        "_view",
        "delivered_chars",
        "started",
        "usage",
    )

    def __init__(self, view: ClientView) -> None:
        self.started = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._view = view
        self._pieces = Pieces()
        self._ending = Ending()
        self._failure: UpstreamError | None = None
        self._first = True
        self._holding = False
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def ended(self) -> bool:
        return self._failure is not None or self._pieces.closed

    def feed(self, data: bytes) -> bytes:
        if self._failure is not None:
            raise self._failure
        out: list[bytes] = []
        try:
            for piece in self._pieces.feed(data):
                out.append(self._piece(piece))
        except UpstreamError as error:
            self._failure = error
            if not any(out):
                raise
        return b"".join(out)

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        last = b"".join([self._piece(piece) for piece in self._pieces.rest()])
        self._ending.check()
        closing = b"\r\n]" if self._is_array else b""
        return b"".join(self._held) + last + closing

    @property
    def _is_array(self) -> bool:
        return self._view.envelope.framing is Framing.ARRAY

    def _piece(self, piece: Piece) -> bytes:
        """The chunk's bytes; none if it must wait."""
        data = valid_utf8(piece.data)
        chunk = read_chunk(data)
        if chunk is None:
            # One unreadable chunk is dropped: clients' parsers raise on it. If it mattered, the end shows it.
            return b""
        self._observe(chunk, data)
        framed = self._framed(piece, adapted(data, self._view))
        if not self._holding:
            return framed
        self._held.append(framed)
        self._held_bytes += len(framed)
        if self._held_bytes > 2 * MAX_MEDIA_EVENT:
            raise upstream_broke("it goes on after its end")
        return b""

    def _framed(self, piece: Piece, data: bytes) -> bytes:
        """In the framing that the client asked for, with the upstream's own white space where that is the same."""
        same = piece.lead.strip() in ((b"[",) if self._first else (b",",))
        if not self._is_array:
            return b"data: " + (data + piece.tail if piece.tail else b" ".join(data.splitlines()) + b"\r\n\r\n")
        lead = piece.lead if same else (b"[" if self._first else b",\r\n")
        self._first = False
        return lead + data

    def _observe(self, chunk: Chunk, data: bytes) -> None:
        """Keep the books."""
        check_error(chunk, data)
        candidates = chunk.candidates or ()
        if candidates or chunk.usage_metadata is not None or chunk.blocked:
            self.started = self._ending.begun = True
        if chunk.usage_metadata is not None:
            self.usage = read_usage(untyped(chunk.usage_metadata)) or self.usage
        self._ending.blocked = self._ending.blocked or chunk.blocked
        for position, candidate in enumerate(candidates):
            index = position if candidate.index is None else candidate.index
            self.delivered_chars += candidate.chars()
            if self._ending.see(index) and candidate.finish_reason:
                self._ending.finish(index)
        self._holding = self._holding or self._ending.is_complete(self._view.envelope.choices)
