"""The tap of the byte lane: frames pass as they came; what must change is spliced, and usage is read on the way."""

from __future__ import annotations

import orjson

from relayhub.dialects.comparing import Comparing, Comparison
from relayhub.dialects.jsontext import Span, members
from relayhub.dialects.openai_chat.alike import AlikeFrames, is_one_line
from relayhub.dialects.openai_chat.chunk import SILENT, Chunk, read_chunk
from relayhub.dialects.openai_chat.ending import Ending
from relayhub.dialects.openai_chat.stream_encoder import TERMINAL
from relayhub.dialects.openai_chat.upstream_json import member, valid_utf8
from relayhub.dialects.openai_chat.usage import usage_of
from relayhub.dialects.sse import LF, FrameSplitter, data_of, frame_of
from relayhub.dialects.upstream_errors import in_stream_error, raise_error_body
from relayhub.types.errors import UpstreamError
from relayhub.types.usage import Usage

DONE = b"[DONE]"
_DONE_FRAME = frame_of(DONE)
"""As nearly all write it."""

_DATA = b"data: "
_MOSTLY_SEVERAL = 600
"""Bytes: what is longer is looked at when it has been cut into frames, be it only one."""


class ModelRenamer:
    """Replaces the top-level ``model`` in the data of frames, byte-exact otherwise.

    The frames of a stream begin alike, up to and with the model: equal bytes parse alike, so after the first frame it
    is a comparison instead of a parse.
    """

    __slots__ = ("_after", "_before", "_name")

    def __init__(self, name: str) -> None:
        self._name = orjson.dumps(name)
        self._before = b""
        self._after = b""

    def rename(self, frame: bytes, data: bytes) -> bytes:
        """``data`` is what ``frame`` carries. The same object if that has no model."""
        if self._before and frame.startswith(self._before):
            return self._after + frame[len(self._before) :]
        span = _model_of(data)
        if span is None:
            return frame
        start, end = span
        at = frame.find(data)
        if at < 0:
            # Data of several lines does not stand in the frame in one piece; then the frame is written anew.
            return frame_of(data[:start] + self._name + data[end:])
        self._before = frame[: at + end]
        self._after = frame[: at + start] + self._name
        return self._after + frame[at + end :]


def _model_of(data: bytes) -> Span | None:
    try:
        return members(data).get("model")
    except ValueError:
        return None


class ChatNativeStream(Comparing):
    """See :class:`relayhub.dialects.codec.NativeStream`.

    An error that follows good frames in the same bytes does not swallow them: they are returned, ``ended`` is true,
    and the next ``feed`` or :meth:`finish` raises.
    """

    __slots__ = (
        "_alike",
        "_ending",
        "_failure",
        "_frames",
        "_include_usage",
        "_renamer",
        "ended",
        "started",
        "usage",
    )

    def __init__(self, rename_to: str | None, include_usage: bool) -> None:
        self.started = self.ended = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._include_usage = include_usage
        self._renamer = None if rename_to is None else ModelRenamer(rename_to)
        self._frames = FrameSplitter()
        self._ending = Ending()
        self._alike = AlikeFrames()
        self._failure: UpstreamError | None = None

    @property
    def comparison(self) -> Comparison:
        return self._alike

    def feed(self, data: bytes) -> bytes:
        alike, may_be_one = self._alike, self.started and len(data) <= _MOSTLY_SEVERAL
        if may_be_one and (chars := alike.chars(data)) >= 0:
            self.delivered_chars += chars
            return data if alike.as_it_is else alike.shown(data)
        if self._failure is not None:
            raise self._failure
        ending = self._ending
        out: list[bytes] = []
        try:
            frames = self._frames.feed(data)
            compared = may_be_one and len(frames) == 1
            for frame in frames:
                if not (compared or ending.any_finished) and (chars := alike.chars(frame)) >= 0:
                    self.delivered_chars += chars
                    out.append(frame if alike.as_it_is else alike.shown(frame))
                else:
                    out.append(self._frame(frame))
        except UpstreamError as error:
            self._failure, self.ended = error, True
            alike.forget()
            if not any(out):
                raise
        if not ending.any_finished:  # else nothing is compared any more
            alike.pause(not self._frames.between_frames)
        return b"".join(out)

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        rest = self._frames.rest()
        last = self._last(rest) if rest else b""
        if not self.ended:
            self._ending.check()
        return last + TERMINAL

    def _last(self, rest: bytes) -> bytes:
        """Some upstreams do not end their last line; an unfinished frame that cannot be read is nobody's loss."""
        raise_error_body(rest)
        data = data_of(rest)
        return b"" if data is None else self._frame(frame_of(data))

    def _frame(self, frame: bytes) -> bytes:
        if self.ended:
            return b""
        if frame == _DONE_FRAME:
            return self._done()
        if not frame.isascii():
            frame = valid_utf8(frame)
        line = frame[6:-2]
        # What data_of says of one line, without looking again for what the splitter has looked for.
        one_line = self._frames.only_lf and frame[:6] == _DATA and LF not in line
        data = line if one_line else data_of(frame)
        if not data:
            return frame
        chunk = None if data == DONE else read_chunk(data)
        if chunk is None:
            # One unreadable event is dropped: clients' parsers raise on it. If it mattered, the end shows it.
            return self._done() if data == DONE or data.strip() == DONE else b""
        ending = self._ending
        first = not ending.begun
        if not self._observe(chunk, data):
            return b""
        shown = frame if self._renamer is None else self._renamer.rename(frame, data)
        if not (ending.any_finished or (first and chunk.names_speaker())) and (one_line or is_one_line(frame)):
            self._alike.learn(frame, shown, chunk)
        return shown

    def _done(self) -> bytes:
        """Raises ``UpstreamError`` if nothing came before it."""
        self.ended = True
        if not self._ending.any_finished:
            self._alike.forget()
        self._ending.end()
        return b""

    def _observe(self, chunk: Chunk, data: bytes) -> bool:
        """Keep the books. False for the usage event of a client that did not ask for it."""
        if chunk.error:
            raise in_stream_error(member(data, "error"))
        ending, usage, choices = self._ending, chunk.usage, chunk.choices
        self.started = ending.begun = True
        if usage is not None:
            self.usage = usage_of(usage) or self.usage
        if not choices:
            return self._include_usage or usage is None
        position = -1  # counted by hand: to make an enumeration costs as much as the rest for one choice
        for choice in choices:
            position += 1
            index = position if choice.index is None else choice.index
            last = bool(choice.finish_reason)
            if ending.see(index, last):
                if choice.delta is not None and choice.delta != SILENT:
                    self.delivered_chars += choice.delta.chars()
                if last:
                    self._alike.forget()
        return True
