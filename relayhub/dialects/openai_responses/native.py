"""The byte lane: the sender's bytes, with only the model's name replaced, and usage read on the way."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import Envelope
from relayhub.dialects.event_stream import EventTap, broken_off
from relayhub.dialects.fields import nested
from relayhub.dialects.jsontext import members, set_members
from relayhub.dialects.openai_chat.native import renamed
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly, string, valid_utf8
from relayhub.dialects.openai_responses.finish import error_of_event, failure_of
from relayhub.dialects.openai_responses.reply import read_response
from relayhub.dialects.openai_responses.usage import read_usage
from relayhub.dialects.outline import members_around
from relayhub.dialects.sse import frame_of
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage

_BOM = b"\xef\xbb\xbf"


def native_request(body: bytes, *, model: str, envelope: Envelope) -> bytes:
    """``body`` itself if the names are the same. For count requests too."""
    if model == envelope.model:
        return body
    return set_members(body, members_around(body, envelope.cuts), {"model": orjson.dumps(model)})


def native_reply(body: bytes, *, rename_to: str | None) -> tuple[bytes, Usage | None]:
    """Raises ``UpstreamError`` for a failed response, an error object, and anything that is no response."""
    body = valid_utf8(body.removeprefix(_BOM))
    response = read_response(parse_tolerantly(body))
    return renamed(body, rename_to), read_usage(response.get("usage"))


class ResponsesTap(EventTap):
    """A :class:`relayhub.dialects.codec.NativeStream`."""

    def __init__(self, *, rename_to: str | None) -> None:
        super().__init__()
        self._rename_to = rename_to

    def _event(self, frame: bytes, data: bytes, value: JsonObject) -> bytes:
        kind = string(value.get("type"))
        if kind == "error" or (value.get("error") and not kind):
            raise error_of_event(value)
        response = nested(value, "response")
        if kind == "response.failed" and (failure := failure_of({**response, "status": "failed"})) is not None:
            raise failure
        self.started = True
        if kind.endswith(".delta"):
            self.delivered_chars += len(string(value.get("delta")))
        if not response:
            return frame
        shown = self._renamed(frame, data, kind)
        if kind not in ("response.completed", "response.incomplete"):
            return shown
        self.usage = read_usage(response.get("usage")) or self.usage
        self._last = shown
        return b""

    def _ending(self) -> bytes:
        raise broken_off()

    def _renamed(self, frame: bytes, data: bytes, kind: str) -> bytes:
        if self._rename_to is None:
            return frame
        start, end = members(data)["response"]
        changed = data[:start] + renamed(data[start:end], self._rename_to) + data[end:]
        at = frame.find(data)
        if at < 0:  # data of several lines: the frame is written anew
            return b"event: " + kind.encode() + b"\n" + frame_of(changed)
        return frame[:at] + changed + frame[at + len(data) :]
