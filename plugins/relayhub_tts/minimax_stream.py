"""MiniMax speech as it arrives: events that hold hexadecimal text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from relayhub.sdk import LineSplitter, MediaUsage, upstream_broke
from relayhub_tts.answers import count_of, inner, is_json, object_of
from relayhub_tts.errors import text_of
from relayhub_tts.minimax_errors import code_of, error_within

MAX_EVENT = 24 << 20
"""Bytes: a relay that cannot leave the whole clip out of the last event sends it in one line."""
DATA = b"data:"
DONE = b"[DONE]"
PART, END = 1, 2


class MiniMaxReader:
    """A :class:`relayhub.sdk.SpeechReader`. ``most``: what counts where the stream does not tell its usage."""

    def __init__(self, key: str, most: MediaUsage, headers: Mapping[str, str]) -> None:
        self.usage: MediaUsage | None = None
        self._key = key
        self._most = most
        self._lines = LineSplitter(MAX_EVENT)
        self._spoken = False
        self._done = False
        self._whole: bytearray | None = bytearray() if is_json(headers) else None
        """An answer without events: an error, or, of a relay that does not stream, all of the clip."""

    def feed(self, data: bytes) -> bytes:
        if self._whole is None:
            return b"".join([self._line(line) for line in self._lines.feed(data)])
        self._whole += data
        if len(self._whole) > MAX_EVENT:
            raise upstream_broke(f"it is longer than {MAX_EVENT} bytes, without an event in it")
        return b""

    def close(self) -> bytes:
        rest = self._event(bytes(self._whole)) if self._whole is not None else self._line(self._lines.rest())
        if not self._done or not self._spoken:
            raise upstream_broke("the speech ended before it was complete" if self._spoken else "it has no audio")
        return rest

    def _line(self, line: bytes) -> bytes:
        data = line.removeprefix(DATA).strip()
        # Besides those with data there are lines with names, ids and comments; a bare error begins like data.
        if not data or data == DONE or not (line.startswith((DATA, b"{"))):
            return b""
        return self._event(data)

    def _event(self, data: bytes) -> bytes:
        told = object_of(data)
        if code_of(told):
            raise error_within(told, self._key, spoken=self._spoken)
        said = inner(told, "data")
        ends = said.get("status") == END
        # The last event has nothing new: no audio, or all of it once more.
        audio = b"" if ends and self._spoken else bytes_of(text_of(said.get("audio")))
        self._spoken = self._spoken or bool(audio)
        if ends:
            self._done = True
            self.usage = billed(told, self._most)
        return audio


def bytes_of(audio: str) -> bytes:
    try:
        return bytes.fromhex(audio)
    except ValueError as error:
        raise upstream_broke("its audio is not hexadecimal") from error


def billed(told: Mapping[str, object], most: MediaUsage) -> MediaUsage:
    """What an answer tells of its usage."""
    characters = inner(told, "extra_info").get("usage_characters")
    return replace(most, characters=count_of(characters, most.characters))
