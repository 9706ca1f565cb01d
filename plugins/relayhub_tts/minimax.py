"""MiniMax T2A v2: the wire. Audio comes as hexadecimal text, whole or in events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

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
from relayhub_tts.answers import fetched, inner, is_link, object_of, object_or_nothing
from relayhub_tts.counting import most_characters
from relayhub_tts.errors import text_of
from relayhub_tts.minimax_asked import FORMATS, STREAMED, asked_of, format_of
from relayhub_tts.minimax_errors import code_of, error_within, read_error
from relayhub_tts.minimax_stream import MiniMaxReader, billed, bytes_of
from relayhub_tts.settings import TtsSettings
from relayhub_tts.sounds import MEDIA_TYPES, delivered_type

T2A = "/t2a_v2"


class MiniMaxSpeech:
    """A :class:`relayhub.sdk.SpeechWire` and :class:`relayhub.sdk.StreamingSpeechWire`."""

    formats: ClassVar[Sequence[str]] = FORMATS

    def __init__(self, settings: TtsSettings) -> None:
        self._settings = settings

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        asked_of(model, request, self._settings)
        return most_of(request)

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        reply = yield self._post(model, request, {"stream": False, "output_format": "hex"})
        if not 200 <= reply.status < 300:
            raise self.error(reply)
        told = object_of(reply.body)
        if code_of(told):
            raise error_within(told, self._settings.key, spoken=False)
        audio = yield from _clip(text_of(inner(told, "data").get("audio")))
        media_type = delivered_type(audio, format_of(request))
        return MediaResult((Artifact(data=audio, media_type=media_type),), billed(told, most_of(request)))

    def streams(self, model: str, request: SpeechRequest) -> str | None:
        format_ = format_of(request)
        return MEDIA_TYPES[format_] if format_ in STREAMED else None

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest:
        # Otherwise the last event repeats the whole clip.
        options = {"exclude_aggregated_audio": True}
        return self._post(model, request, {"stream": True, "stream_options": options})

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> SpeechReader:
        return MiniMaxReader(self._settings.key, most_of(request), headers)

    def error(self, reply: HttpReply) -> UpstreamError:
        if 200 <= reply.status < 300:
            return error_within(object_or_nothing(reply.body), self._settings.key, spoken=False)
        return read_error(reply, self._settings.key)

    def _post(self, model: str, request: SpeechRequest, manner: Mapping[str, object]) -> HttpRequest:
        body, dropped = asked_of(model, request, self._settings)
        headers = {
            "accept": "text/event-stream" if manner["stream"] else "application/json",
            "authorization": f"Bearer {self._settings.key}",
            "content-type": "application/json",
        }
        group = self._settings.group_id
        query = f"?GroupId={quote(group, safe='')}" if group else ""
        url = f"{self._settings.url}{T2A}{query}"
        return HttpRequest("POST", url, headers, orjson.dumps({**body, **manner}), Effect.PAID, dropped)


def most_of(request: SpeechRequest) -> MediaUsage:
    """An upper bound."""
    return MediaUsage(characters=most_characters(request.text))


def _clip(audio: str) -> Steps[bytes]:
    """In the answer, or behind a link, which the vendor puts into the same field where it prefers one."""
    if audio.startswith("http") and is_link(audio):
        return (yield from fetched(audio))
    if not audio:
        raise upstream_broke("it has no audio")
    return bytes_of(audio)
