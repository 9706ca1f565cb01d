"""All chat codecs with their fixtures, and an answer's events put together: what two ways through the hub must have in
common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from relayhub.dialects.anthropic_messages import AnthropicMessages, AnthropicTarget
from relayhub.dialects.codec import ChatDialect, ClientView, EncodedRequest, Envelope
from relayhub.dialects.gemini_generate import GeminiGenerate, GeminiTarget
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.types.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Ended,
    ExtraDelta,
    Finished,
    ImageDelta,
    ImagePart,
    OpaquePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.usage import Usage
from tests.dialects.observed import Fixture, fixtures
from tests.dialects.views import envelope

CHAT, RESPONSES, MESSAGES, GEMINI = "openai_chat", "openai_responses", "anthropic", "gemini"

CODECS: dict[str, ChatDialect] = {
    CHAT: OpenAIChat(),
    RESPONSES: OpenAIResponses(),
    MESSAGES: AnthropicMessages(),
    GEMINI: GeminiGenerate(),
}
FIXTURES: dict[str, list[Fixture]] = {protocol: fixtures(protocol) for protocol in CODECS}


def encode_for(protocol: str, request: ChatRequest, *, model: str = "up") -> EncodedRequest:
    """For an upstream of this dialect, whose model can do everything."""
    match CODECS[protocol]:
        case AnthropicMessages() as codec:
            return codec.encode_request(request, model=model, target=AnthropicTarget(64_000, prefill=True))
        case GeminiGenerate() as codec:
            return codec.encode_request(request, model=model, target=GeminiTarget())
        case OpenAIChat() | OpenAIResponses() as codec:
            return codec.encode_request(request, model=model)
        case codec:
            raise AssertionError(codec)


def envelope_of(protocol: str, body: bytes, *, stream: bool = False) -> Envelope:
    if protocol != GEMINI:
        return CODECS[protocol].envelope(body)
    return CODECS[protocol].envelope(body, model="m", framing=envelope().framing if stream else None)


def view_for(
    protocol: str, request: bytes, *, model: str = "m", upstream: str = "m", stream: bool = False
) -> ClientView:
    asked = envelope_of(protocol, request, stream=stream)
    decoded = CODECS[protocol].decode_request(request, asked)
    return ClientView(asked, model, upstream, call_id="call1", created=1_790_000_000, input_estimate=7, request=decoded)


@dataclass
class Told:
    """An answer of one choice. Thinking and calls with everything that is signed."""

    text: str = ""
    refusal: str = ""
    reasoning: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    calls: list[list[Any]] = field(default_factory=list)
    images: int = 0
    opaque: int = 0
    finish: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    ended: bool = False


def told_by(events: Iterable[ChatEvent]) -> Told:
    told = Told()
    thought: str | None = None
    for event in events:
        if not isinstance(event, ReasoningDelta | UsageReported | ExtraDelta) and thought is not None:
            told.reasoning.append((thought, None, None))
            thought = None
        match event:
            case TextDelta(_, text):
                told.text += text
            case RefusalDelta(_, text):
                told.refusal += text
            case ReasoningDelta():
                thought = (thought or "") + event.text
                if event.signature or event.redacted:
                    told.reasoning.append((thought, event.signature, event.redacted))
                    thought = None
            case ToolCallStarted():
                assert event.index == len(told.calls)
                told.calls.append([event.id, event.name, "", event.signature])
            case ToolCallDelta(_, index, arguments):
                told.calls[index][2] += arguments
            case ImageDelta():
                told.images += 1
            case ExtraDelta():
                told.opaque += 1
            case Finished():
                told.finish, told.stop_sequence = event.reason.value, event.stop_sequence
            case UsageReported(usage):
                told.usage = usage
            case Ended():
                told.ended = True
            case Started():
                pass
    for call in told.calls:
        call[2] = json.loads(call[2] or "{}")
    return told


def told_by_reply(reply: ChatReply) -> Told:
    (choice, *_) = reply.choices
    told = Told(finish=choice.finish.value, stop_sequence=choice.stop_sequence, usage=reply.usage, ended=True)
    for part in choice.message.parts:
        match part:
            case TextPart(text):
                told.text += text
            case RefusalPart(text):
                told.refusal += text
            case ReasoningPart():
                told.reasoning.append((part.text, part.signature, part.redacted))
            case ToolCallPart():
                told.calls.append([part.id, part.name, json.loads(part.arguments or "{}"), part.signature])
            case ImagePart():
                told.images += 1
            case OpaquePart():
                told.opaque += 1
            case _:
                raise AssertionError(part)
    return told


def read_stream(codec: ChatDialect, pieces: Sequence[bytes]) -> list[ChatEvent]:
    decoder = codec.stream_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.close()]
