"""Qwen speech as it arrives: events that hold bare samples in base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace

from relayhub.sdk import MediaUsage, SseEvent, SseReader, upstream_broke
from relayhub_tts.answers import count_of, inner, is_json, object_of, object_or_nothing
from relayhub_tts.errors import text_of
from relayhub_tts.qwen_errors import error_within

MAX_ERROR = 64 << 10
"""Bytes of a JSON answer that are read where a stream should be."""


class QwenReader:
    """A :class:`relayhub.sdk.SpeechReader`. ``most``: what counts where the stream does not tell its usage."""

    def __init__(self, key: str, most: MediaUsage, headers: Mapping[str, str]) -> None:
        self.usage: MediaUsage | None = None
        self._key = key
        self._most = most
        self._events = SseReader()
        self._spoken = False
        self._done = False
        self._error: bytearray | None = bytearray() if is_json(headers) else None

    def feed(self, data: bytes) -> bytes:
        if self._error is not None:
            self._error += data[: MAX_ERROR - len(self._error)]
            return b""
        return b"".join([self._read(event) for event in self._events.feed(data)])

    def close(self) -> bytes:
        if self._error is not None:
            raise error_within(object_or_nothing(bytes(self._error)), self._key, spoken=False)
        rest = b"".join([self._read(event) for event in self._events.close()])
        if not self._done or not self._spoken:
            raise upstream_broke("the speech ended before it was complete" if self._spoken else "it has no audio")
        return rest

    def _read(self, event: SseEvent) -> bytes:
        told = object_of(event.data)
        if event.name == "error" or told.get("code"):
            raise error_within(told, self._key, spoken=self._spoken)
        output = inner(told, "output")
        audio = samples_of(text_of(inner(output, "audio").get("data")))
        self._spoken = self._spoken or bool(audio)
        # Until then it is the text "null".
        if output.get("finish_reason") == "stop":
            self._done = True
            self.usage = billed(told, self._most)
        return audio


def samples_of(data: str) -> bytes:
    """Of one chunk; each is base64 by itself."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise upstream_broke("its audio is not base64") from error


def billed(told: Mapping[str, object], most: MediaUsage) -> MediaUsage:
    """What an answer tells of its usage. The older models tell tokens and no characters."""
    usage = inner(told, "usage")
    if "characters" not in usage and "output_tokens" not in usage:
        return most
    in_tokens = "output_tokens" in usage
    return replace(
        most,
        characters=count_of(usage.get("characters"), most.characters),
        input_tokens=count_of(usage.get("input_tokens"), most.input_tokens if in_tokens else 0),
        output_tokens=count_of(usage.get("output_tokens"), most.output_tokens if in_tokens else 0),
    )
