"""Text to speech: the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from relayhub.sdk import (
    Artifact,
    HttpReply,
    HttpRequest,
    MediaResult,
    MediaUsage,
    SpeechReader,
    SpeechRequest,
    Steps,
    UpstreamError,
    upstream_broke,
)
from relayhub_openai.endpoint import Endpoint, object_of
from relayhub_openai.media_traits import FORMATS, SPEECH_MODELS, SpeechTraits, traits_of
from relayhub_openai.refusal import one_of, passed_on, refuse
from relayhub_openai.sounds import MEDIA_TYPES, delivered_type
from relayhub_openai.speech_stream import EventReader, PlainReader

SPEECH = "/audio/speech"
EVENTS = "text/event-stream"
SLOWEST, FASTEST = 0.25, 4.0
TOKENS_PER_CHARACTER = 12
"""Of speech, at most, at the voice's own speed: an upstream that bills sound counts 20 tokens a second or so."""
SPARE_TOKENS = 256


class OpenAISpeech:
    """A :class:`relayhub.sdk.SpeechWire` and :class:`relayhub.sdk.StreamingSpeechWire`.

    Models that can are asked for events, because only these tell tokens; an upstream that answers with plain bytes all
    the same is understood too."""

    formats: ClassVar[Sequence[str]] = FORMATS

    def __init__(self, endpoint: Endpoint, traits: Mapping[str, SpeechTraits]) -> None:
        self._endpoint = endpoint
        self._traits = traits

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        traits = self._traits_of(model)
        _body(model, request, traits)
        usage = MediaUsage(characters=len(request.text))
        return _with_tokens(usage, request) if traits.events else usage

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        reply = self._endpoint.checked((yield self.stream_request(model, request)))
        if not reply.body:
            raise upstream_broke("it has no audio")
        reader = self.reader(request, reply.headers)
        audio = reader.feed(reply.body) + reader.close()
        kind = reply.headers.get("content-type", "")
        media_type = delivered_type(audio, request.format or self._format(model), kind)
        return MediaResult((Artifact(data=audio, media_type=media_type),), reader.usage)

    def streams(self, model: str, request: SpeechRequest) -> str | None:
        return MEDIA_TYPES[request.format or self._format(model)]

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest:
        traits = self._traits_of(model)
        accept = EVENTS if traits.events else "*/*"
        return self._endpoint.post(SPEECH, _body(model, request, traits), accept)

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> SpeechReader:
        usage = MediaUsage(characters=len(request.text))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return (EventReader if kind == EVENTS else PlainReader)(self._endpoint, usage, kind)

    def error(self, reply: HttpReply) -> UpstreamError:
        if 200 <= reply.status < 300:
            return self._endpoint.error_within(object_of(reply.body).get("error"))
        return self._endpoint.error(reply)

    def _traits_of(self, model: str) -> SpeechTraits:
        return traits_of(model, SPEECH_MODELS, self._traits)

    def _format(self, model: str) -> str:
        return self._traits_of(model).formats[0]


def _body(model: str, request: SpeechRequest, traits: SpeechTraits) -> dict[str, object]:
    """Raises ``ClientError`` naming what the model cannot honour."""
    if not request.text.strip():
        refuse("input", "it is empty.")
    if len(request.text) > traits.max_characters:
        refuse("input", f"it is longer than the {traits.max_characters} characters that this model speaks at a time.")
    if not request.voice:
        refuse("voice", "name one.")
    if request.instructions and not traits.instructions:
        refuse("instructions", "this model does not take them.")
    return {
        "model": model,
        "input": request.text,
        "voice": request.voice,
        "response_format": one_of("response_format", request.format or traits.formats[0], traits.formats),
        **_speed(request.speed, traits),
        **({"instructions": request.instructions} if request.instructions else {}),
        **passed_on(request.vendor, traits.parameters),
        **({"stream_format": "sse"} if traits.events else {}),
    }


def _speed(speed: float | None, traits: SpeechTraits) -> dict[str, object]:
    if speed is None or (speed == 1 and not traits.speed):
        return {}
    if not traits.speed:
        refuse("speed", "this model speaks at its own speed only.")
    if not SLOWEST <= speed <= FASTEST:
        refuse("speed", f"it must be from {SLOWEST} to {FASTEST:g}.")
    return {"speed": speed}


def _with_tokens(usage: MediaUsage, request: SpeechRequest) -> MediaUsage:
    slowness = max(1.0, 1 / (request.speed or 1.0))
    said = len((request.text + (request.instructions or "")).encode("utf-8", "replace"))
    return MediaUsage(
        characters=usage.characters,
        input_tokens=said + SPARE_TOKENS,
        output_tokens=round(usage.characters * TOKENS_PER_CHARACTER * slowness) + SPARE_TOKENS,
    )
