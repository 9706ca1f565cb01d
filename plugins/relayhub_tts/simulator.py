"""A base for stand-ins of services that speak: a paid call that is answered at once, whole or as a stream.

A test says how things go wrong: ``inject(Fault(503, step=JobStep.PAY))`` and the like for a whole call,
``break_off(…)`` for a stream that has begun. ``characters`` is what was billed in all, ``counters.executions`` how often
something was spoken.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from relayhub.testing import Answer, Cut, Hang, JobSimulator, JobStep, Recorded

__all__ = [
    "EVENTS",
    "Answer",
    "Broken",
    "Recorded",
    "Rejected",
    "SpeechSimulator",
    "characters_of",
    "require",
    "sound",
    "split",
]

EVENTS: Mapping[str, str] = {"content-type": "text/event-stream"}
Broken = Cut | Hang | int | str
"""How a stream breaks after its first part: the connection, a silence, or an error with this code of the vendor's."""

SAMPLES = struct.pack("<8h", -6000, -4000, -2000, 0, 1000, 3000, 5000, 6000)
FRAME = b"\xff\xfb\x90\x64" + bytes(413)
"""Of mp3, 128 kbit/s."""


class Rejected(Exception):
    """``status``: of the HTTP answer; ``code``: the vendor's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class SpeechSimulator(JobSimulator):
    """``keys``: what is accepted as an API key. ``root``: the path of the base URL."""

    endpoint: ClassVar[str]

    def __init__(self, *, root: str, keys: Sequence[str] = ("tts-key",), **more: Any) -> None:
        super().__init__(**more)
        self.characters = 0
        self._keys = keys
        self._root = root
        self._breaks: deque[Broken] = deque()

    # --- for subclasses to say ----------------------------------------------------------------------------------------

    @abstractmethod
    def speak(self, request: Recorded) -> Answer:
        """Raises ``Rejected``."""

    @abstractmethod
    def rejection(self, rejected: Rejected) -> Answer: ...

    @abstractmethod
    def broken(self, code: int | str) -> bytes:
        """The event of an error within a stream."""

    # --- for tests ----------------------------------------------------------------------------------------------------

    def break_off(self, *how: Broken) -> None:
        """The next streams, each after its first part."""
        self._breaks.extend(how)

    # --- inside -------------------------------------------------------------------------------------------------------

    def step(self, request: Recorded) -> JobStep:
        paid = request.method == "POST" and request.path == self._root + self.endpoint
        return JobStep.PAY if paid else JobStep.OTHER

    def respond(self, request: Recorded) -> Answer:
        try:
            if self.step(request) is not JobStep.PAY:
                raise Rejected(404, "NotFound", "There is nothing at this path.")
            self.check_key(request)
            return self.speak(request)
        except Rejected as rejected:
            return self.rejection(rejected)

    def check_key(self, request: Recorded) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self._keys:
            raise self.unauthorized()

    def unauthorized(self) -> Rejected:
        return Rejected(401, "InvalidApiKey", "Invalid API-key provided.")

    def spoken(self, text: str, answer: Answer) -> Answer:
        """Counts what was done and billed."""
        self.characters += characters_of(text)
        self.executions[text] += 1
        return Answer(answer.status, answer.body, answer.headers, executed=True)

    def streamed(self, text: str, events: Sequence[bytes]) -> Answer:
        if not self._breaks:
            return self.spoken(text, Answer(body=events, headers=EVENTS))
        how = self._breaks.popleft()
        breaks = self.broken(how) if isinstance(how, int | str) else how
        return self.spoken(text, Answer(body=[events[0], breaks], headers=EVENTS))


def require(fits: bool, rejected: Rejected) -> None:
    if not fits:
        raise rejected


def characters_of(text: str) -> int:
    """As both vendors bill: a Chinese character counts twice."""
    return len(text) + sum("\u4e00" <= character <= "\u9fff" for character in text)


def sound(text: str, format_: str) -> bytes:
    """Some audio, the longer the longer the text is."""
    many = 4 + len(text)
    match format_:
        case "pcm":
            return SAMPLES * many
        case "wav":
            return wav(SAMPLES * many)
        case "flac":
            return b"fLaC\x00\x00\x00\x22" + bytes(34) + SAMPLES * many
        case "opus":
            return b"OggS\x00\x02" + bytes(22) + SAMPLES * many
        case _:
            return FRAME * many


def wav(pcm: bytes, rate: int = 24_000) -> bytes:
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", len(pcm))
    return struct.pack("<4sI4s", b"RIFF", len(head) + 4 + len(pcm), b"WAVE") + head + pcm


def split(audio: bytes, parts: int = 3) -> list[bytes]:
    size = -(-len(audio) // parts)
    return [audio[start : start + size] for start in range(0, len(audio), size)]
