"""Rules for wires that speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar
from unittest import SkipTest

from relayhub.sdk import (
    ClientError,
    Effect,
    HttpReply,
    HttpRequest,
    MediaResult,
    MediaUsage,
    ProviderContext,
    SpeechProvider,
    SpeechReader,
    SpeechRequest,
    SpeechWire,
    Steps,
    StreamingSpeechWire,
    UpstreamError,
)
from relayhub.testing.clock import FakeClock
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite, check_absolute
from relayhub.testing.steps import AMBIGUOUS, REFUSED, beyond, body_of, drive, failing, replaying
from relayhub.testing.upstream import UpstreamSimulator

FORMATS = frozenset({"mp3", "opus", "aac", "flac", "wav", "pcm"})
SOUNDS: Mapping[str, tuple[bytes, ...]] = {
    "audio/wav": (b"RIFF",),
    "audio/mpeg": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "audio/flac": (b"fLaC",),
    "audio/ogg": (b"OggS",),
    "audio/opus": (b"OggS",),
}
"""How the bytes of a type begin, where they have a mark of their own."""

NO_SPEECH = (b"{", b"[]", b"null", b'"text"', b"{}")
"""What comes as JSON with a 200, and has no audio in it."""

ENDLESS = 32 << 20
"""Bytes without an end that a reader must not keep; a whole clip in one event fits well below."""


@dataclass(frozen=True, slots=True)
class SpeechSample:
    """A request that the upstream takes. ``billed``: the most that it would charge for it."""

    request: SpeechRequest
    billed: MediaUsage = field(default_factory=MediaUsage)


@dataclass(frozen=True, slots=True)
class RefusedSpeech:
    """A request that the model cannot honour, and the name of the parameter that is to blame."""

    request: SpeechRequest
    param: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """The answers to ``request``, in their order, and the audio in them."""

    request: SpeechRequest
    replies: Sequence[HttpReply]
    result: MediaResult


@dataclass(frozen=True, slots=True)
class Streamed:
    """A streamed answer to ``request``, whole, and the audio in it. ``usage``: what the upstream tells in the stream.
    ``framed``: the stream has an end of its own, so that a truncated one can be told from a whole one."""

    request: SpeechRequest
    body: bytes
    audio: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    usage: MediaUsage | None = None
    framed: bool = True


class SpeechWireSuite(RequestSuite, ErrorSuite):
    """``speech_samples``: requests of every kind that the upstream takes; ``refused_speech``: those that it does not;
    ``spoken``: recorded answers, at least one for each container; ``streamed``: recorded streams, if it streams;
    ``broken_stream``: a stream that begins and then tells of an error, if it can; ``speech_simulator(clock)``: override it
    to make a simulator of the upstream."""

    speech_samples: ClassVar[Sequence[SpeechSample]]
    refused_speech: ClassVar[Sequence[RefusedSpeech]] = ()
    spoken: ClassVar[Sequence[Spoken]]
    streamed: ClassVar[Sequence[Streamed]] = ()
    broken_stream: ClassVar[bytes | None] = None

    def speech_simulator(self, clock: FakeClock) -> UpstreamSimulator:
        """A new simulator that takes the suite's settings; ``clock`` is its time."""
        raise SkipTest("override speech_simulator(clock) to hold the wire against a simulator of its upstream")

    def speech_wire(self) -> SpeechWire:
        return _wire(self.build())

    def speaking(self, request: SpeechRequest | None = None) -> Steps[MediaResult]:
        asked = request or self.spoken[0].request
        return self.speech_wire().speak(asked.model, asked)

    def streaming(self) -> StreamingSpeechWire:
        wire = self.speech_wire()
        if not isinstance(wire, StreamingSpeechWire):
            raise SkipTest("the wire does not stream")
        assert self.streamed, "the wire streams: add recorded streams to `streamed`"
        return wire

    def speech_requests(self) -> list[HttpRequest]:
        asked = [
            request
            for told in self.spoken
            for request in drive(self.speaking(told.request), replaying(told.replies)).requests
        ]
        wire = self.speech_wire()
        if isinstance(wire, StreamingSpeechWire):
            asked += [wire.stream_request(told.request.model, told.request) for told in self.streamed]
        return asked

    def paid_requests(self) -> list[HttpRequest]:
        mine = [request for request in self.speech_requests() if request.effect is Effect.PAID]
        return [*super().paid_requests(), *mine]

    def error_readers(self) -> list[ErrorReader]:
        wire = self.speech_wire()
        own = [wire.error] if isinstance(wire, StreamingSpeechWire) else []
        return [*super().error_readers(), self._speech_refusal, *own]

    def _speech_refusal(self, reply: HttpReply) -> UpstreamError:
        try:
            drive(self.speaking(), failing(reply, self.spoken[0].replies, paid=True))
        except UpstreamError as error:
            return error
        raise AssertionError(f"speak() took a {reply.status} with {reply.body[:40]!r} for speech: raise UpstreamError")

    # --- the whole clip -----------------------------------------------------------------------------------------------

    def test_speech_is_exactly_one_paid_request(self) -> None:
        for told in self.spoken:
            paid = drive(self.speaking(told.request), replaying(told.replies)).paid
            assert len(paid) == 1, f"{len(paid)} requests of speak() are Effect.PAID: it must be the one that costs"

    def test_speech_requests_carry_the_credential_in_a_header(self) -> None:
        for request in self.speech_requests():
            check_absolute(request)
            if request.effect is Effect.PAID:
                self.check_credential(request)

    def test_the_text_is_sent(self) -> None:
        for told in self.spoken:
            paid = drive(self.speaking(told.request), replaying(told.replies)).paid
            assert told.request.text.encode() in body_of(paid[0]), "the text to speak is not in the request"

    def test_speech_is_read(self) -> None:
        for told in self.spoken:
            result = drive(self.speaking(told.request), replaying(told.replies)).result
            assert result == told.result, f"speak() gave {result}, `spoken` says {told.result}"

    def test_speech_is_one_clip_of_the_type_it_says(self) -> None:
        for told in self.spoken:
            result = drive(self.speaking(told.request), replaying(told.replies)).result
            assert len(result.artifacts) == 1, "speech is one artifact"
            clip = result.artifacts[0]
            assert (clip.url is None) != (clip.data is None), "the clip has a url or data, one of them"
            assert clip.media_type, "name the media type of the bytes that were really delivered"
            marks = SOUNDS.get(clip.media_type, (b"",))
            if clip.data is not None:
                assert clip.data.startswith(marks), (
                    f"media_type says {clip.media_type}, but they begin {clip.data[:4]!r}"
                )

    def test_an_answer_without_speech_is_an_upstream_error(self) -> None:
        for body in NO_SPEECH:
            error = self._speech_refusal(HttpReply(200, {"content-type": "application/json"}, body))
            assert error.delivered, f"a 200 with {body!r} may have been paid for: delivered=True (see upstream_broke)"

    def test_refused_speech_was_not_delivered(self) -> None:
        for status in REFUSED:
            assert not self._speech_refused_with(status).delivered, f"nothing was executed after a {status}"

    def test_speech_that_broke_upstream_may_have_been_delivered(self) -> None:
        for status in AMBIGUOUS:
            assert self._speech_refused_with(status).delivered, f"after a {status} nobody knows: delivered=True"

    def _speech_refused_with(self, status: int) -> UpstreamError:
        body = self.error_body.replace("{message}", "no").encode()
        return self._speech_refusal(HttpReply(status, {"content-type": "application/json"}, body))

    # --- what may be asked, and what it costs -------------------------------------------------------------------------

    def test_speech_is_never_measured_too_low(self) -> None:
        for sample in self.speech_samples:
            measured = self.speech_wire().measure(sample.request.model, sample.request)
            low = beyond(sample.billed, measured)
            assert not low, f"measure({sample.request}) is below what the upstream charges for in {low}: {measured}"

    def test_longer_speech_never_measures_less(self) -> None:
        for sample in self.speech_samples:
            wire, longer = self.speech_wire(), replace(sample.request, text=sample.request.text * 3)
            one, three = (wire.measure(asked.model, asked) for asked in (sample.request, longer))
            assert not beyond(one, three), f"three times the text measures as {three}, once as {one}"

    def test_every_format_that_is_named_can_be_had(self) -> None:
        formats = self.speech_wire().formats
        assert formats and set(formats) <= FORMATS, f"formats are of {sorted(FORMATS)}, the upstream's own choice first"
        request = self.speech_samples[0].request
        for format_ in formats:
            try:
                self.speech_wire().measure(request.model, replace(request, format=format_))
            except ClientError as error:
                raise AssertionError(f"formats names {format_}, but measure() refuses it: {error.message}") from error

    def test_a_format_that_is_not_named_is_refused(self) -> None:
        request = self.speech_samples[0].request
        for format_ in FORMATS - set(self.speech_wire().formats):
            try:
                self.speech_wire().measure(request.model, replace(request, format=format_))
            except ClientError as error:
                assert "format" in f"{error.param} {error.message}", f"say that the format is to blame: {error.message}"
                continue
            raise AssertionError(f"measure() took the format {format_}, which is not in formats")

    def test_speech_parameters_that_cannot_be_honoured_are_refused_by_name(self) -> None:
        for refused in self.refused_speech:
            try:
                self.speech_wire().measure(refused.request.model, refused.request)
            except ClientError as error:
                named = f"{error.param} {error.message}"
                assert refused.param in named, f"say that {refused.param!r} is to blame, not: {error.message}"
                continue
            raise AssertionError(f"measure() took {refused.request}: raise ClientError naming {refused.param!r}")

    # --- streams ------------------------------------------------------------------------------------------------------

    def test_streamed_speech_is_read(self) -> None:
        self.streaming()
        for told in self.streamed:
            audio, reader = self._heard(told, told.body)
            assert audio == told.audio, "the stream does not give the audio that is in it"
            assert reader.usage == told.usage, f"the stream tells {told.usage}, the reader says {reader.usage}"

    def test_a_stream_says_its_type_beforehand(self) -> None:
        wire = self.streaming()
        for told in self.streamed:
            said = wire.streams(told.request.model, told.request)
            assert said is not None, "streams() returned None for a request that has a recorded stream"
            assert told.audio.startswith(SOUNDS.get(said, (b"",))), (
                f"streams() says {said}, the audio is something else"
            )

    def test_any_split_of_a_stream_gives_the_same_audio(self) -> None:
        self.streaming()
        for told in self.streamed:
            for cut in range(len(told.body)):
                audio, _ = self._heard(told, told.body[:cut], told.body[cut:])
                assert audio == told.audio, (
                    f"a read that ends after byte {cut} changes the audio: keep what is incomplete"
                )
            audio, _ = self._heard(told, *(bytes([byte]) for byte in told.body))
            assert audio == told.audio, "single bytes change the audio: keep what is incomplete"

    def test_truncated_speech_is_never_a_normal_end(self) -> None:
        self.streaming()
        for told in self.streamed:
            for cut in range(len(told.body) if told.framed else 0):
                try:
                    audio, _ = self._heard(told, told.body[:cut])
                except UpstreamError:
                    continue
                assert audio == told.audio, f"cut after byte {cut}, and close() did not raise UpstreamError"

    def test_an_error_in_a_stream_of_speech_is_raised(self) -> None:
        self.streaming()
        if self.broken_stream is None:
            raise SkipTest("set `broken_stream` if the upstream can tell of an error in a stream")
        try:
            self._heard(self.streamed[0], self.broken_stream)
        except UpstreamError as error:
            assert error.delivered, "the answer had begun: delivered=True, or it could be sent twice"
            return
        raise AssertionError("the reader took broken_stream for speech: raise UpstreamError")

    def test_streams_of_speech_that_come_at_once_do_not_mix(self) -> None:
        wire = self.streaming()
        for told in self.streamed:
            first, second = (wire.reader(told.request, told.headers) for _ in range(2))
            half = len(told.body) // 2
            audio = first.feed(told.body[:half])
            other = second.feed(told.body) + second.close()
            audio += first.feed(told.body[half:]) + first.close()
            assert audio == other == told.audio, "reader() must return a new reader, sharing nothing with the others"

    def test_speech_without_an_end_is_given_up(self) -> None:
        wire = self.streaming()
        for told in self.streamed:
            if not told.framed:
                continue
            reader = wire.reader(told.request, told.headers)
            try:
                for _ in range(ENDLESS >> 20):
                    reader.feed(b"x" * (1 << 20))
            except UpstreamError:
                continue
            raise AssertionError("the reader keeps a line without an end: bound it (see LineSplitter and SseReader)")

    def _heard(self, told: Streamed, *pieces: bytes) -> tuple[bytes, SpeechReader]:
        reader = self.streaming().reader(told.request, told.headers)
        return b"".join(reader.feed(piece) for piece in pieces) + reader.close(), reader

    # --- against a simulator ------------------------------------------------------------------------------------------

    def test_simulated_speech_is_executed_once_and_billed_as_measured(self) -> None:
        for sample in self.speech_samples:
            clock = FakeClock()
            upstream = self.speech_simulator(clock)
            context = ProviderContext("under-test", clock, "relayhub/test")
            wire = _wire(self.provider_type.build(self.parsed(), context))
            measured = wire.measure(sample.request.model, sample.request)
            driven = drive(wire.speak(sample.request.model, sample.request), upstream.exchange)
            assert upstream.counters.executions == 1, "speech must be one execution"
            more = beyond(driven.result.usage or MediaUsage(), measured)
            assert not more, f"{driven.result.usage} was billed and {measured} was measured: too low in {more}"
            assert not upstream.complaints, f"the upstream complains: {upstream.complaints}"


def _wire(built: object) -> SpeechWire:
    assert isinstance(built, SpeechProvider), "implement speech()"
    return built.speech()
