"""Qwen speech on DashScope: the wire. Whole clips are a WAV file behind a link, streams are bare samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import orjson

from relayhub.sdk import (
    Artifact,
    Effect,
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
from relayhub_tts.answers import fetched, inner, object_of, object_or_nothing
from relayhub_tts.errors import text_of
from relayhub_tts.qwen_asked import FORMATS, Asked, asked_of, most_of
from relayhub_tts.qwen_errors import error_within, read_error
from relayhub_tts.qwen_stream import QwenReader, billed, samples_of
from relayhub_tts.settings import TtsSettings
from relayhub_tts.sounds import MEDIA_TYPES, UNKNOWN, delivered_type, is_wav, wav_of

GENERATION = "/services/aigc/multimodal-generation/generation"


class QwenSpeech:
    """A :class:`relayhub.sdk.SpeechWire` and :class:`relayhub.sdk.StreamingSpeechWire`.

    Only bare samples are streamed: the header of a WAV file says how long it is, which nobody knows before its end."""

    formats: ClassVar[Sequence[str]] = FORMATS

    def __init__(self, settings: TtsSettings) -> None:
        self._settings = settings

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        asked_of(model, request, self._settings)
        return most_of(request)

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        asked = asked_of(model, request, self._settings)
        reply = yield self._post(asked, streamed=asked.format == "pcm")
        if not 200 <= reply.status < 300:
            raise self.error(reply)
        if asked.format == "pcm":
            return self._samples(request, reply)
        told = object_of(reply.body)
        if told.get("code"):
            raise error_within(told, self._settings.key, spoken=False)
        audio = yield from _clip(inner(inner(told, "output"), "audio"))
        media_type = delivered_type(audio, asked.format)
        if media_type == UNKNOWN:
            raise upstream_broke("the clip behind its link is no audio")
        return MediaResult((Artifact(data=audio, media_type=media_type),), billed(told, most_of(request)))

    def streams(self, model: str, request: SpeechRequest) -> str | None:
        return MEDIA_TYPES["pcm"] if request.format == "pcm" else None

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest:
        return self._post(asked_of(model, request, self._settings), streamed=True)

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> SpeechReader:
        return QwenReader(self._settings.key, most_of(request), headers)

    def error(self, reply: HttpReply) -> UpstreamError:
        if 200 <= reply.status < 300:
            return error_within(object_or_nothing(reply.body), self._settings.key, spoken=False)
        return read_error(reply, self._settings.key)

    def _samples(self, request: SpeechRequest, reply: HttpReply) -> MediaResult:
        reader = self.reader(request, reply.headers)
        audio = reader.feed(reply.body) + reader.close()
        return MediaResult((Artifact(data=audio, media_type=MEDIA_TYPES["pcm"]),), reader.usage)

    def _post(self, asked: Asked, *, streamed: bool) -> HttpRequest:
        headers = {
            "accept": "text/event-stream" if streamed else "application/json",
            "authorization": f"Bearer {self._settings.key}",
            "content-type": "application/json",
        }
        if streamed:
            headers["x-dashscope-sse"] = "enable"
        if self._settings.workspace:
            headers["x-dashscope-workspace"] = self._settings.workspace
        body = orjson.dumps(asked.body)
        return HttpRequest("POST", f"{self._settings.url}{GENERATION}", headers, body, Effect.PAID, asked.dropped)


def _clip(told: Mapping[str, object]) -> Steps[bytes]:
    """The file: behind a link, or, as some relays send it, in the answer."""
    link, data = text_of(told.get("url")), text_of(told.get("data"))
    if link:
        return (yield from fetched(link))
    if not data:
        raise upstream_broke("it has no audio")
    audio = samples_of(data)
    return audio if is_wav(audio) else wav_of(audio)
