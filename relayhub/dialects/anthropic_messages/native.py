"""The byte lane: the sender's bytes, with only the model's name replaced, and usage read on the way."""

from __future__ import annotations

import orjson

from relayhub.dialects.anthropic_messages.stream_encoder import frame as frame_of_event
from relayhub.dialects.anthropic_messages.usage import merged, read_usage
from relayhub.dialects.codec import Envelope
from relayhub.dialects.comparing import Comparing, Comparison
from relayhub.dialects.event_stream import EventTap, broken_off
from relayhub.dialects.fields import nested
from relayhub.dialects.jsontext import members, set_members
from relayhub.dialects.like_frames import LikeFrames
from relayhub.dialects.openai_chat.native import renamed
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly, string, valid_utf8
from relayhub.dialects.outline import members_around
from relayhub.dialects.sse import frame_of
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.errors import upstream_broke
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage

_BOM = b"\xef\xbb\xbf"
_SPOKEN = ("text", "thinking", "partial_json")
"""Where a delta has what the model wrote."""
_PASSING = ("text", "partial_json")
"""Those of which nobody keeps anything."""
_NOTHING = (None, "")


def native_request(body: bytes, *, model: str, envelope: Envelope) -> bytes:
    """``body`` itself if the names are the same. For count requests too."""
    if model == envelope.model:
        return body
    return set_members(body, members_around(body, envelope.cuts), {"model": orjson.dumps(model)})


def native_reply(body: bytes, *, rename_to: str | None) -> tuple[bytes, Usage | None]:
    """Raises ``UpstreamError`` for an error object and for anything that is no message."""
    body = valid_utf8(body.removeprefix(_BOM))
    reply = parse_tolerantly(body)
    if reply is None:
        raise upstream_broke("it is not a JSON object")
    if reply.get("error"):
        raise in_stream_error(reply["error"])
    if not isinstance(reply.get("content"), list):
        raise upstream_broke("it has no content")
    return renamed(body, rename_to), read_usage(reply.get("usage"))


class MessagesTap(EventTap, Comparing):
    """A :class:`relayhub.dialects.codec.NativeStream`. Of what its comparison lets pass nothing is counted but its
    characters: text, and arguments of calls."""

    def __init__(self, *, rename_to: str | None) -> None:
        super().__init__()
        self._rename_to = rename_to
        self._counted: JsonObject = {}
        self._stopped = False
        self._like = LikeFrames()
        self._told: tuple[bytes | None, str] = _NOTHING
        """By the last piece of a block: the member with its text, which is all that it says, and that text."""

    @property
    def comparison(self) -> Comparison:
        return self._like

    def feed(self, data: bytes) -> bytes:
        like = self._like
        if (chars := like.chars(data)) >= 0:
            self.delivered_chars += chars
            return data
        like.end()
        self._told = _NOTHING
        shown = super().feed(data)
        like.begin(data, *(self._told if self.started and shown == data else _NOTHING))
        return shown

    def _event(self, frame: bytes, data: bytes, value: JsonObject) -> bytes:
        kind = value.get("type")
        if kind == "error" or value.get("error"):
            raise in_stream_error(value.get("error") or value)
        if kind == "ping":
            return frame
        self.started = self.started or kind == "message_start"
        match kind:
            case "message_start":
                self._count(nested(value, "message").get("usage"))
                return self._renamed(frame, data)
            case "content_block_start":
                self._heard(nested(value, "content_block"))
            case "content_block_delta":
                self._heard(nested(value, "delta"))
                self._told = _told_by(nested(value, "delta"))
            case "message_delta":
                self._count(value.get("usage"))
                self._stopped = self._stopped or nested(value, "delta").get("stop_reason") is not None
            case "message_stop":
                if not self.started:
                    raise broken_off()
                self._last = frame
                return b""
        return frame

    def _ending(self) -> bytes:
        if not self._stopped:
            raise broken_off()
        return frame_of_event({"type": "message_stop"})

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._counted = merged(self._counted, usage)
            self.usage = read_usage(self._counted) or self.usage

    def _heard(self, piece: JsonObject) -> None:
        self.delivered_chars += sum(len(string(piece.get(key))) for key in _SPOKEN)

    def _renamed(self, frame: bytes, data: bytes) -> bytes:
        if self._rename_to is None:
            return frame
        span = members(data).get("message")
        if span is None:
            return frame
        start, end = span
        changed = data[:start] + renamed(data[start:end], self._rename_to) + data[end:]
        at = frame.find(data)
        if at < 0:  # data of several lines: the frame is written anew
            return b"event: message_start\n" + frame_of(changed)
        return frame[:at] + changed + frame[at + len(data) :]


def _told_by(delta: JsonObject) -> tuple[bytes | None, str]:
    spoken = [(key, text) for key in _SPOKEN if (text := string(delta.get(key)))]
    if len(spoken) != 1 or spoken[0][0] not in _PASSING:
        return _NOTHING
    key, text = spoken[0]
    return b'"%b"' % key.encode(), text
