"""The way through the hub for what is only relayed: there is no translation to choose instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.dialects.codec import ClientView
from relayhub.dialects.openai_native import NativeDialect
from relayhub.gateway.answers import LaneStream, WholeAnswer, refuse_content
from relayhub.gateway.call import Call
from relayhub.sdk.provider import NativeCall, NativeWire
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply, HttpRequest


@dataclass(slots=True)
class RelayedOnly:
    """A :class:`relayhub.gateway.lanes.Lane`."""

    codec: NativeDialect
    wire: NativeWire
    call: Call
    view: ClientView
    state: None = None
    _chars: int = 0

    def request(self) -> HttpRequest:
        call, model = self.call, self.view.upstream_model
        body = self.codec.native_request(call.body, model=model, envelope=call.envelope)
        framing = call.envelope.framing if call.envelope.stream else None
        return self.wire.request(NativeCall(call.operation, model, body, framing, call.headers))

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> WholeAnswer:
        refuse_content(reply.headers, "text/event-stream")
        # A proxy's page; and nothing that a browser would run may come from this origin.
        refuse_content(reply.headers, "text/html")
        answer = self.codec.native_reply(reply, self.view)
        self._chars = answer.chars
        return WholeAnswer(answer.body, answer.usage, answer.content_type)

    def spoken_chars(self, body: bytes) -> int:
        return self._chars

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        refuse_content(headers, "text/html")
        return self.codec.native_stream(headers, self.view)
