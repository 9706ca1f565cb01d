"""Speech as it arrives: bare bytes, or events that hold base64 and, at the end, tokens."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from relayhub.sdk import MediaUsage, SseEvent, SseReader, UpstreamError, upstream_broke
from relayhub_openai.endpoint import Endpoint, count_of, object_of

MAX_ERROR = 64 << 10
"""Bytes of a JSON answer that are read where audio should be."""
DONE = b"[DONE]"


class PlainReader:
    """A :class:`relayhub.sdk.SpeechReader` of audio as it is. JSON in its place is an error."""

    def __init__(self, endpoint: Endpoint, usage: MediaUsage, kind: str) -> None:
        self.usage: MediaUsage | None = None
        self._endpoint = endpoint
        self._told = usage
        self._spoken = False
        self._error: bytearray | None = bytearray() if kind.endswith("json") else None

    def feed(self, data: bytes) -> bytes:
        if self._error is not None:
            self._error += data[: MAX_ERROR - len(self._error)]
            return b""
        self._spoken = self._spoken or bool(data)
        return data

    def close(self) -> bytes:
        if self._error is not None:
            raise self._endpoint.error_within(object_of(bytes(self._error)).get("error"))
        if not self._spoken:
            raise upstream_broke("it has no audio")
        self.usage = self._told
        return b""


class EventReader:
    """A :class:`relayhub.sdk.SpeechReader` of ``speech.audio.delta`` and ``speech.audio.done``."""

    def __init__(self, endpoint: Endpoint, usage: MediaUsage, _kind: str) -> None:
        self.usage: MediaUsage | None = None
        self._endpoint = endpoint
        self._told = usage
        self._events = SseReader()
        self._done = False
        self._spoken = False

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._read(event) for event in self._events.feed(data))

    def close(self) -> bytes:
        rest = b"".join(self._read(event) for event in self._events.close())
        if not self._done or not self._spoken:
            raise upstream_broke("the speech ended before it was complete" if self._spoken else "it has no audio")
        return rest

    def _read(self, event: SseEvent) -> bytes:
        if event.data == DONE:
            return b""
        told = object_of(event.data)
        if event.name == "error" or told.get("error"):
            raise self._failed(told)
        match told.get("type") or event.name:
            case "speech.audio.delta":
                return self._audio(told.get("audio") or told.get("delta"))
            case "speech.audio.done":
                self._finish(told.get("usage"))
        return b""

    def _audio(self, data: object) -> bytes:
        if not isinstance(data, str):
            raise upstream_broke("an event has no audio")
        try:
            audio = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise upstream_broke("its audio is not base64") from error
        self._spoken = self._spoken or bool(audio)
        return audio

    def _finish(self, usage: object) -> None:
        self._done = True
        told = usage if isinstance(usage, dict) else {}
        self.usage = replace(
            self._told,
            input_tokens=count_of(told.get("input_tokens"), 0),
            output_tokens=count_of(told.get("output_tokens"), 0),
        )

    def _failed(self, told: dict[str, object]) -> UpstreamError:
        return self._endpoint.error_within(told.get("error") or told)
