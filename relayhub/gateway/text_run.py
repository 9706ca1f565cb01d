"""The short way through a translation: of a frame that says more of what the one before it said."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.codec import StreamDecoder, StreamEncoder
from relayhub.dialects.like_frames import LikeFrames
from relayhub.dialects.runs import Piece, RunReader, RunWriter, WriteMore
from relayhub.gateway.kept_state import TurnState
from relayhub.types.chat import ChatEvent, ReasoningDelta, TextDelta, ToolCallDelta

_PIECES = (TextDelta, ReasoningDelta, ToolCallDelta)


class TextRun(LikeFrames):
    """Frames like one which has begun something that the client's dialect can go on with."""

    __slots__ = ("_reader", "_state", "_write", "_writer")
    as_it_is = False
    _write: WriteMore

    def __init__(self, reader: StreamDecoder, encoder: StreamEncoder, state: TurnState) -> None:
        super().__init__()
        self._reader = reader if isinstance(reader, RunReader) else None
        self._writer = encoder if isinstance(encoder, RunWriter) else None
        self._state = state

    @property
    def possible(self) -> bool:
        """Both ends of the translation know of runs."""
        return self._reader is not None and self._writer is not None

    def shown(self, frame: bytes) -> bytes:
        return self._write(self.text)

    def note(self, data: bytes, events: Sequence[ChatEvent]) -> None:
        """``data`` was read, and gave ``events``, which have been encoded."""
        piece = events[0] if len(events) == 1 else None
        if self._reader is None or self._writer is None or not isinstance(piece, _PIECES):
            self.begin(data, None, "")
            return
        text = piece.arguments if isinstance(piece, ToolCallDelta) else piece.text
        if self.begin(data, self._reader.text_member(piece), text):
            write = self._writing(self._writer, piece)
            if write is None:
                self.end()
            else:
                self._write = write

    def _writing(self, writer: RunWriter, piece: Piece) -> WriteMore | None:
        """What the first choice thinks is kept as well."""
        write = writer.run_of(piece)
        if write is None or not isinstance(piece, ReasoningDelta):
            return write
        if piece.signature is not None or piece.redacted is not None or piece.choice != 0:
            return None
        note = self._state.note_more

        def noted(text: str) -> bytes:
            note(text)
            return write(text)

        return noted
