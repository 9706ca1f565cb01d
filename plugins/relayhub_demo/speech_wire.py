"""The demo's speech: the wire."""

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
    decode_openai_error,
    upstream_broke,
)
from relayhub_demo.media_wire import checked, post, refuse, refuse_unknown
from relayhub_demo.studio import MOST_CHARACTERS, SOUND_TYPES
from relayhub_demo.tones import length_ms, wav_header


class DemoSpeech:
    """A :class:`relayhub.sdk.SpeechWire` and :class:`relayhub.sdk.StreamingSpeechWire`. What it will be is known before:
    its length too, so that a stream that breaks off is noticed."""

    formats: ClassVar[Sequence[str]] = tuple(SOUND_TYPES)

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        """Exactly what it will cost."""
        _check(request)
        return _usage(request)

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        reply = checked((yield self.stream_request(model, request)))
        reader = self.reader(request, reply.headers)
        audio = reader.feed(reply.body) + reader.close()
        return MediaResult((Artifact(data=audio, media_type=self.streams(model, request)),), reader.usage)

    def streams(self, model: str, request: SpeechRequest) -> str:
        return SOUND_TYPES[request.format or self.formats[0]]

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest:
        _check(request)
        body = {
            "model": model,
            "input": request.text,
            "voice": request.voice,
            "response_format": request.format or self.formats[0],
            "speed": request.speed,
        }
        return post("/audio/speech", body, accept=self.streams(model, request))

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> SpeechReader:
        return ToneReader(request, headers.get("content-type", ""))

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)


class ToneReader:
    """A :class:`relayhub.sdk.SpeechReader` that knows how many bytes must come."""

    def __init__(self, request: SpeechRequest, content_type: str) -> None:
        self.usage: MediaUsage | None = None
        self._request = request
        self._sounds = content_type in SOUND_TYPES.values()
        header = wav_header(request.text, request.speed or 1.0)
        size = int.from_bytes(header[-4:], "little")
        self._left = size if request.format == "pcm" else size + len(header)

    def feed(self, data: bytes) -> bytes:
        self._left -= len(data)
        if not self._sounds or self._left < 0:
            raise upstream_broke("it is not the speech that was asked for")
        return data

    def close(self) -> bytes:
        if self._left:
            raise upstream_broke("the speech ended before it was complete")
        self.usage = _usage(self._request)
        return b""


def _usage(request: SpeechRequest) -> MediaUsage:
    return MediaUsage(characters=len(request.text), audio_ms=length_ms(request.text, request.speed or 1.0))


def _check(request: SpeechRequest) -> None:
    """Raises ``ClientError`` naming what the demo cannot honour."""
    if not request.text.strip():
        refuse("input", "it is empty.")
    if len(request.text) > MOST_CHARACTERS:
        refuse("input", f"it is longer than {MOST_CHARACTERS} characters.")
    if not request.voice.strip():
        refuse("voice", "name one; any name has a voice.")
    if request.format is not None and request.format not in SOUND_TYPES:
        refuse("response_format", f"the demo makes {' and '.join(SOUND_TYPES)} only.")
    if request.speed is not None and not 0.25 <= request.speed <= 4:
        refuse("speed", "it must be from 0.25 to 4.")
    refuse_unknown(request.vendor, {"instructions": request.instructions})
