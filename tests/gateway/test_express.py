"""Chunks that hold an event like the ones before pass without being read, and nobody can tell by what arrives."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayhub.dialects.anthropic_messages.stream_encoder import MessagesStreamEncoder
from relayhub.dialects.codec import ClientView, Envelope, Framing
from relayhub.dialects.openai_chat.alike import AlikeFrames
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.dialects.openai_chat.stream_decoder import ChatStreamDecoder
from relayhub.dialects.openai_responses.stream_encoder import ResponsesStreamEncoder
from relayhub.gateway.departure import Departure
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.gateway.kept_state import TurnState
from relayhub.gateway.relaying import StreamRelay
from relayhub.gateway.tally import Tally
from relayhub.gateway.translated_stream import TranslatedStream, WitnessedStream
from relayhub.types.call import Dialect
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines
from relayhub.upstream.body import relay
from relayhub.upstream.lean.connection import Connection, Inbox
from relayhub.upstream.lean.framing import Chunked
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.reply import LeanReply
from relayhub.web.answer_stream import PUSHED
from relayhub.web.quick.answer import QuickAnswer
from relayhub.web.quick.place import Place

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class Wire(asyncio.Transport):
    """Keeps what is written. ``unsent``: bytes that it says it has not been able to send."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.written: list[bytes] = []
        self.closing = False
        self.pauses = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 64 << 10

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def pause_reading(self) -> None:
        self.pauses += 1

    def resume_reading(self) -> None:
        return

    def abort(self) -> None:
        self.closing = True


class Line:
    """A client that keeps up unless it is told otherwise."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = Wire()
        self.congested = False

    async def drained(self) -> None:
        self.congested = False

    def date(self) -> str:
        return "today"


class Noted:
    """The part of a tally that a relay needs."""

    def __init__(self) -> None:
        self.departure = Departure()
        self.first_bytes = 0

    def first_byte(self) -> None:
        self.first_bytes += 1


class Hub:
    """A stream from an upstream's socket to a client's, without the sockets."""

    def __init__(self, rename_to: str | None = None, stream: TranslatedStream | WitnessedStream | None = None) -> None:
        self.inbox = Inbox(1 << 16)
        self.upstream = Connection(Origin(False, "upstream", 80), lambda _: None, self.inbox)
        self.upstream.connection_made(Wire())
        self.reply = LeanReply(self.upstream, "POST", Deadlines(), self.upstream.loop.time() + 60, lambda *_: None)
        self.line = Line()
        self.stream = stream or ChatNativeStream(rename_to=rename_to, include_usage=True)
        self.client = QuickAnswer(
            self.line,
            Place(Dialect.OPENAI_CHAT),
            "req_1",
            framing=Framing.SSE,
            keep_alive=None,
            head_waits=EqualWaits(60),
            keep_alive_s=60,
        )
        self.relaying = StreamRelay(self.stream, self.client, cast("Tally", Noted()))
        self.expressed = 0

    async def start(self) -> None:
        opening = asyncio.create_task(self.reply.exchange(b"head", b"body"))
        await asyncio.sleep(0)
        self.receive(HEAD)
        await opening
        self.relay = asyncio.create_task(relay(self.reply, self.relaying.take, self.relaying.go_on, self._counted))
        await asyncio.sleep(0)

    def _counted(self, chunk: bytes, at: float) -> bool:
        express = self.relaying.express()
        passed = express is not None and express(chunk, at)
        self.expressed += passed
        return passed

    def receive(self, data: bytes) -> None:
        self.upstream.get_buffer(-1)[: len(data)] = data
        self.upstream.buffer_updated(len(data))

    async def feed(self, *reads: bytes) -> None:
        for data in reads:
            self.receive(data)
            for _ in range(4):
                await asyncio.sleep(0)  # a client that has to be waited for is waited for

    @property
    def arrived(self) -> list[bytes]:
        assert isinstance(self.line.transport, Wire)
        return self.line.transport.written

    def body(self) -> bytes:
        """What the client has got, without head and framing."""
        wire = b"".join(self.arrived)
        framing = Chunked()
        body = framing.feed(wire[wire.index(b"\r\n\r\n") + 4 :]) if wire else b""
        assert framing.broken is None
        return body


def frame(content: str, *, created: int = 1, padding: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": {"content": content, **delta}, "finish_reason": None}
    value = {"id": "c", "created": created, "model": "up", "choices": [choice], "usage": None}
    return b"data: " + orjson.dumps(value | ({} if padding is None else {"obfuscation": padding})) + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def words(*texts: str) -> list[bytes]:
    """The beginning of a stream: the speaker, then text."""
    return [frame("", role="assistant"), *map(frame, texts)]


async def hub_after(
    frames: Sequence[bytes], rename_to: str | None = None, stream: TranslatedStream | WitnessedStream | None = None
) -> Hub:
    hub = Hub(rename_to, stream)
    await hub.start()
    await hub.feed(*map(chunk, frames))
    return hub


async def test_a_chunk_like_the_one_before_is_written_as_it_came() -> None:
    hub = await hub_after(words("one", "two", "three"))
    assert hub.expressed == 2
    assert hub.arrived[-1] == chunk(frame("three"))
    assert hub.stream.delivered_chars == len("onetwothree")
    hub.relay.cancel()


async def test_a_renamed_stream_goes_the_same_way_under_its_name() -> None:
    hub = await hub_after(words("one", "two", "three"), rename_to="public-name")
    assert hub.expressed == 2
    assert hub.arrived[-1] == chunk(frame("three").replace(b'"up"', b'"public-name"'))
    hub.relay.cancel()


async def test_a_stream_that_names_the_speaker_in_each_frame_is_learned_from_the_second_on() -> None:
    frames = [frame(text, role="assistant") for text in ("one", "two", "three", "four")]
    hub = await hub_after(frames)
    assert hub.expressed == 2
    assert hub.body() == b"".join(frames)
    hub.relay.cancel()


async def test_padding_of_any_length_does_not_matter() -> None:
    frames = [frame("text", padding="x" * length) for length in (3, 0, 7, 12)]
    hub = await hub_after(frames)
    assert hub.expressed == 3
    assert hub.body() == b"".join(frames)
    hub.relay.cancel()


async def test_a_stream_whose_clock_ticks_is_learned_again_and_again() -> None:
    frames = [frame("tick", created=second) for second in range(20) for _ in range(6)]
    hub = await hub_after(frames)
    assert hub.expressed == 20 * 5
    assert hub.body() == b"".join(frames)
    hub.relay.cancel()


async def test_a_stream_in_which_no_two_frames_are_alike_is_read() -> None:
    hub = await hub_after([frame("tick", created=second) for second in range(40)])
    assert hub.expressed == 0
    assert hub.stream.delivered_chars == 4 * 40
    hub.relay.cancel()


@pytest.mark.parametrize(
    "odd",
    [
        frame('"quoted"'),
        frame("a", tool_calls=[]),
        frame("a").replace(b"null}]", b'"stop"}]'),
        frame("a").replace(b'"usage":null', b'"usage":{"prompt_tokens":7,"completion_tokens":9}'),
        b": comment\n\n",
        frame("a").replace(b"\n\n", b"\r\n\r\n"),
        frame("a") + frame("b"),
        frame("a")[:-1],
        frame("a").replace(b'"a"', b'"\xff"'),
    ],
)
async def test_everything_that_counts_is_read(odd: bytes) -> None:
    hub = await hub_after(words("one", "two"))
    before = hub.expressed
    await hub.feed(chunk(odd))
    assert hub.expressed == before
    hub.relay.cancel()


async def test_nothing_passes_while_part_of_a_frame_waits() -> None:
    hub = await hub_after(words("one", "two"))
    await hub.feed(chunk(b'data: {"choices'), chunk(frame("three")))
    assert hub.expressed == 1
    hub.relay.cancel()


async def test_data_that_looks_like_a_chunk_is_data() -> None:
    hub = await hub_after(words("one", "two"))
    inner = chunk(frame("three"))
    outer = chunk(frame("two") + inner)
    await hub.feed(outer[: -len(inner) - 2], inner, b"\r\n")
    assert hub.expressed == 1
    assert hub.body() == b"".join([*words("one", "two", "two"), inner[:-2]])
    hub.relay.cancel()


async def test_a_chunk_whose_end_is_missing_breaks_the_answer() -> None:
    hub = await hub_after(words("one", "two"))
    await hub.feed(chunk(frame("three"))[:-2] + b"xx")
    assert hub.expressed == 1
    with pytest.raises(UpstreamError, match="broke off"):
        await hub.relay


async def test_of_a_length_that_no_plain_chunk_has_nothing_passes() -> None:
    """Of 262 bytes: a size line of two digits would leave more than it can say, one of three less."""
    hub = await hub_after(words("one", "two"))
    bare = len(frame(""))
    await hub.feed(b"?" + frame("x" * (262 - bare - 3)) + b"\r\n")
    assert hub.expressed == 1
    with pytest.raises(UpstreamError, match="broke off"):
        await hub.relay


async def test_nothing_passes_after_the_end() -> None:
    hub = await hub_after([*words("one", "two"), DONE])
    await hub.relay
    assert hub.stream.ended
    arrived = len(hub.arrived)
    await hub.feed(chunk(frame("three")))
    assert len(hub.arrived) == arrived
    assert hub.stream.delivered_chars == len("onetwo")


@pytest.mark.parametrize(("rest", "pauses"), [(b"", 1), (b"0\r\n\r\n", 0)])
async def test_reading_stops_at_the_end_only_if_more_may_come(rest: bytes, pauses: int) -> None:
    hub = await hub_after(words("one", "two"))
    hub.receive(chunk(DONE) + rest)
    assert isinstance(hub.upstream.transport, Wire)
    assert hub.upstream.transport.pauses == pauses
    await hub.relay
    assert hub.upstream.lane is None


async def test_the_connection_is_anothers_once_the_answer_is_complete() -> None:
    hub = await hub_after([*words("one", "two"), DONE])
    hub.receive(b"0\r\n\r\n")
    await hub.relay
    assert hub.upstream.lane is None
    assert not hub.upstream.lost


async def test_an_error_is_never_taken_for_text() -> None:
    hub = await hub_after(words("one", "two"))
    await hub.feed(chunk(b'data: {"error":{"message":"overloaded"}}\n\n'), chunk(frame("three")))
    assert hub.relay.done()
    assert hub.stream.delivered_chars == len("onetwo")


async def test_a_client_that_does_not_keep_up_is_waited_for_and_nothing_counts_twice() -> None:
    hub = await hub_after(words("one", "two"))
    hub.line.congested = True
    hub.receive(chunk(frame("three")))
    assert (hub.expressed, hub.stream.delivered_chars) == (1, len("onetwothree"))
    await hub.feed(chunk(frame("four")))
    assert hub.body() == b"".join(words("one", "two", "three", "four"))
    assert hub.stream.delivered_chars == len("onetwothreefour")
    hub.relay.cancel()


async def test_a_client_that_has_left_gets_nothing() -> None:
    hub = await hub_after(words("one", "two"))
    hub.line.transport = None
    hub.receive(chunk(frame("three")))
    assert hub.expressed == 1
    hub.relay.cancel()


async def test_an_answer_that_was_ended_gets_no_chunk() -> None:
    hub = await hub_after(words("one", "two"))
    hub.client.give_end(b"")
    arrived = len(hub.arrived)
    hub.receive(chunk(frame("three")))
    assert (hub.expressed, len(hub.arrived)) == (1, arrived)
    hub.relay.cancel()


async def test_chunks_that_pass_put_the_idle_deadline_off() -> None:
    hub = await hub_after(words("one", "two", "three"))
    at = hub.upstream.loop.time()
    while hub.upstream.loop.time() <= at:
        await asyncio.sleep(0)
    hub.receive(chunk(frame("four")))
    assert hub.expressed == 3
    assert hub.upstream.heard_at > at
    assert hub.client.last_write == hub.upstream.heard_at  # and the next sign of life
    hub.relay.cancel()


TEXTS = st.lists(st.text(max_size=8) | st.sampled_from(['"', "\\", "\n", "plain"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    texts=TEXTS,
    cuts=st.lists(st.integers(0, 4000), max_size=10),
    rename=st.sampled_from([None, "public"]),
    padding=st.booleans(),
)
def test_wherever_the_reads_fall_the_client_gets_what_a_reader_of_every_frame_would_send(
    texts: list[str], cuts: list[int], rename: str | None, padding: bool
) -> None:
    frames = [frame(text, padding=text[:1] if padding else None) for text in ("Hi", *texts)]
    chunks = [*map(chunk, frames), chunk(DONE), b"0\r\n\r\n"]
    places = set(itertools.accumulate(map(len, chunks)))  # a chunk for each read, and then some
    wire = b"".join(chunks)
    at = sorted({0, *places, *(cut % len(wire) for cut in cuts)})
    read = ChatNativeStream(rename_to=rename, include_usage=True)
    assert isinstance(read.comparison, AlikeFrames)
    read.comparison.forget()  # it compares nothing
    expected = read.feed(b"".join(frames) + DONE)

    async def run() -> None:
        hub = Hub(rename)
        await hub.start()
        await hub.feed(*(wire[start:end] for start, end in itertools.pairwise(at)))
        await asyncio.wait_for(hub.relay, 5)
        assert hub.body() == expected
        assert hub.stream.delivered_chars == read.delivered_chars
        assert hub.stream.finish() == read.finish()

    asyncio.run(run())


VIEW = ClientView(Envelope("m", True, True, None, 1, None), "public", "up", "call_1")


def translated(encoder: type[MessagesStreamEncoder] | type[ResponsesStreamEncoder]) -> TranslatedStream:
    return TranslatedStream(ChatStreamDecoder(), encoder(VIEW), TurnState())


both_ways = pytest.mark.parametrize("encoder", [MessagesStreamEncoder, ResponsesStreamEncoder])


@both_ways
async def test_a_translated_chunk_takes_the_same_way(
    encoder: type[MessagesStreamEncoder] | type[ResponsesStreamEncoder],
) -> None:
    texts = ["one", "two", "three", '"four"\n', "fünf"]
    hub = await hub_after([*words(*texts), DONE], stream=translated(encoder))
    assert hub.expressed == 4
    book = translated(encoder)
    assert hub.body() == book.feed(b"".join(words(*texts)) + DONE)
    assert len(hub.arrived) == 6  # the speaker's, and one for each
    assert hub.stream.delivered_chars == book.delivered_chars == sum(map(len, texts))
    assert hub.stream.finish() == book.finish()


@both_ways
async def test_a_translated_chunk_for_which_there_is_no_room_is_neither_lost_nor_told_twice(
    encoder: type[MessagesStreamEncoder] | type[ResponsesStreamEncoder],
) -> None:
    hub = await hub_after(words("one", "two"), stream=translated(encoder))
    assert isinstance(hub.line.transport, Wire)
    hub.line.transport.unsent = PUSHED + 1
    await hub.feed(chunk(frame("three")))
    assert hub.expressed == 1
    hub.line.transport.unsent = 0
    await hub.feed(*map(chunk, [frame("four"), frame("five"), DONE]))
    assert hub.expressed == 2
    book = translated(encoder)
    assert hub.body() == book.feed(b"".join(words("one", "two", "three", "four", "five")) + DONE)
    assert hub.stream.delivered_chars == book.delivered_chars
    assert hub.stream.finish() == book.finish()


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 4000), max_size=10), padding=st.booleans())
def test_wherever_the_reads_fall_a_translation_is_the_same(texts: list[str], cuts: list[int], padding: bool) -> None:
    frames = [frame(text, padding=text[:1] if padding else None) for text in ("Hi", *texts)]
    chunks = [*map(chunk, frames), chunk(DONE), b"0\r\n\r\n"]
    wire = b"".join(chunks)
    at = sorted({0, *itertools.accumulate(map(len, chunks)), *(cut % len(wire) for cut in cuts)})
    decoder, book = ChatStreamDecoder(), MessagesStreamEncoder(VIEW)
    expected = book.encode(decoder.feed(b"".join(frames) + DONE))

    async def run() -> None:
        hub = Hub(stream=translated(MessagesStreamEncoder))
        await hub.start()
        await hub.feed(*(wire[start:end] for start, end in itertools.pairwise(at)))
        await asyncio.wait_for(hub.relay, 5)
        assert hub.body() == expected
        assert hub.stream.delivered_chars == len("Hi") + sum(map(len, texts))
        assert hub.stream.finish() == book.finish()

    asyncio.run(run())


async def test_a_witness_does_not_stand_in_the_way() -> None:
    native = ChatNativeStream(rename_to=None, include_usage=True)
    hub = await hub_after(
        words("one", "two", "three"), stream=WitnessedStream(native, ChatStreamDecoder(), TurnState())
    )
    assert hub.expressed == 2
    assert hub.body() == b"".join(words("one", "two", "three"))
    assert hub.stream.delivered_chars == len("onetwothree")
    hub.relay.cancel()
