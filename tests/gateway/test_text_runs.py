"""A translated stream gives the same whether its frames go the short way or the whole one: to the client, to the books, and
to what is kept of the turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayhub.dialects.anthropic_messages.native import MessagesTap
from relayhub.dialects.anthropic_messages.stream_decoder import MessagesStreamDecoder
from relayhub.dialects.anthropic_messages.stream_encoder import MessagesStreamEncoder
from relayhub.dialects.codec import ClientView, Envelope, Framing, StreamDecoder, StreamEncoder
from relayhub.dialects.gemini_generate.stream_encoder import GeminiStreamEncoder
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.dialects.openai_chat.stream_decoder import ChatStreamDecoder
from relayhub.dialects.openai_chat.stream_encoder import ChatStreamEncoder
from relayhub.dialects.openai_responses.stream_encoder import ResponsesStreamEncoder
from relayhub.gateway.kept_state import TurnState
from relayhub.gateway.translated_stream import TranslatedStream, WitnessedStream
from relayhub.types.chat import ChatEvent, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, UsageReported
from relayhub.types.errors import UpstreamError
from relayhub.types.usage import Usage


def view(framing: Framing = Framing.SSE) -> ClientView:
    return ClientView(Envelope("m", True, True, None, 1, None, framing=framing), "public", "up", "call_1", 5, 10)


ENCODERS: dict[str, Callable[[], StreamEncoder]] = {
    "messages": lambda: MessagesStreamEncoder(view()),
    "chat": lambda: ChatStreamEncoder(view()),
    "responses": lambda: ResponsesStreamEncoder(view()),
    "gemini": lambda: GeminiStreamEncoder(view()),
    "gemini array": lambda: GeminiStreamEncoder(view(Framing.ARRAY)),
}
to_each = pytest.mark.parametrize("client", ENCODERS)


class ByTheBook:
    """Every frame is decoded, and every event encoded; the books are kept by what the events say."""

    def __init__(self, reader: StreamDecoder, encoder: StreamEncoder, frames: Iterable[bytes]) -> None:
        self.events: list[ChatEvent] = []
        self.shown = b""
        self.state = TurnState()
        self.failure: str | None = None
        try:
            for frame in frames:
                self._take(encoder, reader.feed(frame))
            self._take(encoder, reader.close())
            self.shown += encoder.finish()
        except UpstreamError as error:
            self.failure = str(error)

    def _take(self, encoder: StreamEncoder, events: Sequence[ChatEvent]) -> None:
        self.events += events
        for event in events:
            self.state.note(event)
        self.shown += encoder.encode(events)

    @property
    def told(self) -> tuple[object, ...]:
        usages = [event.usage for event in self.events if isinstance(event, UsageReported)]
        return self.shown, self.failure, self.chars, usages[-1] if usages else None, self.state.dump()

    @property
    def chars(self) -> int:
        count = 0
        for event in self.events:
            match event:
                case TextDelta(_, text) | RefusalDelta(_, text) | ReasoningDelta(_, text) | ToolCallDelta(_, _, text):
                    count += len(text)
                case _:
                    pass
        return count


class Short:
    """A translated stream, fed in any pieces."""

    def __init__(self, reader: StreamDecoder, encoder: StreamEncoder, pieces: Iterable[bytes]) -> None:
        self.state = TurnState()
        self.stream = TranslatedStream(reader, encoder, self.state)
        self.shown = b""
        self.failure: str | None = None
        try:
            for piece in pieces:
                if self.stream.ended:
                    break
                self.shown += self.stream.feed(piece)
            self.shown += self.stream.finish()
        except UpstreamError as error:
            self.failure = str(error)

    @property
    def told(self) -> tuple[object, ...]:
        usage: Usage | None = self.stream.usage
        return self.shown, self.failure, self.stream.delivered_chars, usage, self.state.dump()


class Counted(ChatStreamDecoder):
    """Knows how much it was given to read."""

    frames = 0

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        self.frames += bool(data)
        return super().feed(data)


def chunk(delta: bytes, *, around: bytes = b"", choice: int = 0, finish: bytes = b"null") -> bytes:
    head = b'{"id":"c","created":1,"model":"up","choices":[{"index":%d,"delta":{%b},"finish_reason":%b}]' % (
        choice,
        delta,
        finish,
    )
    return b"data: " + head + around + b"}\n\n"


def text(literal: bytes, **where: int) -> bytes:
    return chunk(b'"content":' + literal, **where)  # type: ignore[arg-type]


def thought(literal: bytes) -> bytes:
    return chunk(b'"content":null,"reasoning_content":' + literal)


def padded(literal: bytes) -> bytes:
    return chunk(b'"content":' + literal, around=b',"obfuscation":"' + b"x" * (len(literal) % 5) + b'"')


def arguments(literal: bytes, call: int = 0) -> bytes:
    return chunk(b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (call, literal))


def call(number: int) -> bytes:
    function = b'"function":{"name":"f","arguments":""}'
    return chunk(b'"tool_calls":[{"index":%d,"id":"call_%d","type":"function",%b}]' % (number, number, function))


DONE = b"data: [DONE]\n\n"
END = chunk(b"", finish=b'"stop"')
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}\n\n'

PLAIN = st.text(max_size=6).map(orjson.dumps)
RAW = st.sampled_from(
    [
        b'"\\u00e9\\n"',
        b'"\\/"',
        b'"\\ud83d\\ude00"',
        b'"\\ud83d"',
        b'"\\\\"',
        b'"\\""',
        b'"a","content":"b"',
        b'"a"},"finish_reason":"stop"',
        b'"\x00"',
        b'"\xff"',
        b'"a\nb"',
        b'" "',
        b"null",
        b"[]",
        b'[{"type":"text","text":"part"}]',
        b"7",
        b'"',
        b"",
        b' "spaced" ',
        b'"data: [DONE]\\n\\n"',
        b'"},\\"obfuscation\\":\\""',
    ]
)
LITERALS = st.lists(PLAIN | RAW, min_size=1, max_size=5)


def runs_of(*writers: Callable[[bytes], bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.tuples(st.sampled_from(writers), LITERALS).map(lambda drawn: [drawn[0](one) for one in drawn[1]])


ODD_FRAMES = st.sampled_from(
    [
        b": comment\n\n",
        b"\n",
        b"event: ping\n\n",
        b"data: {broken\n\n",
        b"data:\n\n",
        chunk(b""),
        chunk(b'"role":"assistant","content":""'),
        chunk(b'"content":"a","reasoning_content":"b"'),
        chunk(b'"content":"a","annotations":[1]'),
        chunk(b'"\\u0063ontent":"a","content":"a"'),
        chunk(b'"refusal":"no"'),
        call(0),
        call(1),
        chunk(b"", finish=b'"tool_calls"'),
        END,
        USAGE,
        text(b'"a"').replace(b"data: ", b"data:"),
        text(b'"a"') + text(b'"b"'),
        text(b'"a"', choice=1),
        chunk(b'"content":"a"', around=b',"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'),
        b'data: {"error":{"message":"overloaded","code":"overloaded"}}\n\n',
        DONE,
    ]
).map(lambda frame: [frame])
CHAT_RUNS = runs_of(
    text,
    thought,
    padded,
    arguments,
    lambda literal: arguments(literal, 1),
    lambda literal: text(literal, choice=1),
    lambda literal: text(literal).replace(b"\n", b"\r\n"),
    lambda literal: text(literal).replace(b":", b": ").replace(b",", b", "),
    lambda literal: chunk(b'"role":"assistant","content":' + literal),
    lambda literal: b"event: x\n" + text(literal),
    lambda literal: chunk(b'"content":' + literal + b',"\\u0063ontent":"a"'),
    lambda literal: chunk(b'"content":' + literal, around=b',"content":"a"'),
)
CHAT = st.lists(CHAT_RUNS | CHAT_RUNS | ODD_FRAMES, max_size=8).map(lambda runs: list(itertools.chain(*runs)))
HALVES = [b'data: "choices":[{"delta":{"content":"%b"}}]}\n\n' % letter for letter in (b"a", b"b")]
"""Without the line before them they are no JSON."""
LETTERS = [b"a", b"a", b"b"]
CUTS = st.lists(st.integers(0, 5000), max_size=6)


def pieces_of(frames: Sequence[bytes], cuts: Sequence[int], *, joined: bool) -> list[bytes]:
    """A piece for each frame unless they are ``joined``, and cut at some more places. Joined ones end their lines with line
    feeds, by which they are told apart: where not, a frame that cannot be shown takes those with it that came along."""
    wire = b"".join(frames)
    places = {0, len(wire)} if joined else {0, *itertools.accumulate(map(len, frames))}
    within = {cut % len(wire) for cut in cuts} if wire else set()
    if joined:
        within = {
            cut for cut in within if wire[max(cut - 1, 0) : cut + 1] != b"\n\n"
        }  # it would be read with the next one
    at = sorted({*places, *within}) if wire else []
    return [wire[start:end] for start, end in itertools.pairwise(at)]


@to_each
@settings(max_examples=100, deadline=None)
@given(frames=CHAT, cuts=CUTS, joined=st.booleans(), ends=st.booleans())
@example([text(b'"a"'), b'data: {"x":1,\n', *HALVES], [], False, True)
@example([chunk(b'"content":"%b","\\u0063ontent":"a"' % letter) for letter in LETTERS], [], False, True)
@example([b'data: {"content":"%b",%b' % (letter, HALVES[0][6:]) for letter in LETTERS], [], False, True)
def test_the_short_way_and_the_whole_one_lead_to_the_same(
    client: str, frames: list[bytes], cuts: list[int], joined: bool, ends: bool
) -> None:
    frames = [*frames, END, USAGE, DONE] if ends else frames
    if joined:
        frames = [frame.replace(b"\r\n", b"\n") for frame in frames]
    wire = b"".join(frames)
    short = Short(ChatStreamDecoder(), ENCODERS[client](), pieces_of(frames, cuts, joined=joined))
    book = ByTheBook(ChatStreamDecoder(), ENCODERS[client](), [wire[at : at + 1] for at in range(len(wire))])
    assert short.told == book.told


def event(kind: bytes, rest: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b",%b}\n\n' % (kind, kind, rest)


def delta(kind: bytes, member: bytes, literal: bytes, index: int = 0) -> bytes:
    told = b'"index":%d,"delta":{"type":"%b","%b":%b}' % (index, kind, member, literal)
    return event(b"content_block_delta", told)


def blanks(frame: bytes, count: int) -> bytes:
    return frame.replace(b"}}\n", b"}" + b" " * count + b"}\n")


START = event(b"message_start", b'"message":{"id":"msg_1","model":"up","usage":{"input_tokens":3,"output_tokens":1}}')
BLOCKS = st.sampled_from(
    [
        event(b"content_block_start", b'"index":0,"content_block":{"type":"text","text":""}'),
        event(b"content_block_start", b'"index":0,"content_block":{"type":"text","text":"a"}'),
        event(b"content_block_start", b'"index":0,"content_block":{"type":"thinking","thinking":""}'),
        event(b"content_block_start", b'"index":1,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}'),
        event(b"content_block_stop", b'"index":0'),
        event(b"content_block_stop", b'"index":1'),
        event(b"ping", b'"x":0'),
        delta(b"signature_delta", b"signature", b'"c2ln"'),
        delta(b"citations_delta", b"citation", b'"c"'),
        event(b"message_delta", b'"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}'),
        event(b"error", b'"error":{"type":"overloaded_error","message":"overloaded"}'),
        event(b"message_stop", b'"x":0'),
    ]
).map(lambda frame: [frame])
MESSAGES_RUNS = runs_of(
    lambda literal: delta(b"text_delta", b"text", literal),
    lambda literal: delta(b"thinking_delta", b"thinking", literal),
    lambda literal: delta(b"input_json_delta", b"partial_json", literal, 1),
    lambda literal: delta(b"text_delta", b"text", literal).replace(b"\n", b"\r\n"),
    lambda literal: blanks(delta(b"text_delta", b"text", literal), len(literal) % 4),
    lambda literal: blanks(delta(b"thinking_delta", b"thinking", literal), 3),
)
MESSAGES = st.lists(MESSAGES_RUNS | MESSAGES_RUNS | BLOCKS, max_size=8).map(lambda runs: list(itertools.chain(*runs)))


@to_each
@settings(max_examples=60, deadline=None)
@given(frames=MESSAGES, cuts=CUTS, joined=st.booleans())
def test_so_do_they_from_an_upstream_that_speaks_messages(
    client: str, frames: list[bytes], cuts: list[int], joined: bool
) -> None:
    frames = [START, *frames]
    if joined:
        frames = [frame.replace(b"\r\n", b"\n") for frame in frames]
    wire = b"".join(frames)
    short = Short(MessagesStreamDecoder(), ENCODERS[client](), pieces_of(frames, cuts, joined=joined))
    book = ByTheBook(MessagesStreamDecoder(), ENCODERS[client](), [wire[at : at + 1] for at in range(len(wire))])
    assert short.told == book.told


WORDS = [b'"one"', b'"two\\n"', b'"\\u00fcber"', '"你好"'.encode(), b'"\\"last\\""']


def spared(frames: Sequence[bytes], client: str = "messages") -> int:
    """Of these, after a frame that begins the answer."""
    reader = Counted()
    stream = TranslatedStream(reader, ENCODERS[client](), TurnState())
    stream.feed(chunk(b'"role":"assistant","content":""'))
    before = reader.frames
    for frame in frames:
        stream.feed(frame)
    return len(frames) - (reader.frames - before)


@to_each
def test_text_is_read_once_and_then_compared(client: str) -> None:
    assert spared(list(map(text, WORDS)), client) == len(WORDS) - 1
    assert spared(list(map(padded, WORDS)), client) == len(WORDS) - 1


def test_so_is_what_a_model_thinks_and_what_it_calls_tools_with() -> None:
    assert spared(list(map(thought, WORDS))) == len(WORDS) - 1
    assert spared([call(0), *map(arguments, WORDS)]) == len(WORDS) - 1


def test_something_else_between_is_read_and_so_is_the_next_one_like_those_before() -> None:
    frames = [*map(text, WORDS), b": ping\n\n", *map(text, WORDS)]
    assert spared(frames) == 2 * (len(WORDS) - 1)


def test_frames_that_come_together_are_told_apart() -> None:
    reader = Counted()
    stream = TranslatedStream(reader, ENCODERS["messages"](), TurnState())
    stream.feed(b"".join(map(text, WORDS)))
    assert reader.frames == 2  # the one that began it, and the one that began the run


def test_a_stream_in_which_no_two_frames_are_alike_is_read() -> None:
    ticking = [text(b'"tick"').replace(b'"created":1', b'"created":%d' % second) for second in range(20)]
    assert spared(ticking) == 0


def test_one_whose_clock_ticks_is_learned_again_and_again() -> None:
    ticking = [
        text(b'"tick"').replace(b'"created":1', b'"created":%d' % second) for second in range(20) for _ in range(3)
    ]
    assert spared(ticking) == 20 * 2


def test_what_is_longer_than_a_frame_may_be_is_an_error_either_way() -> None:
    long = text(b'"%b"' % (b"x" * (1 << 20)))
    stream = TranslatedStream(ChatStreamDecoder(), ENCODERS["messages"](), TurnState())
    stream.feed(text(b'"a"'))
    stream.feed(text(b'"b"'))
    with pytest.raises(UpstreamError):
        stream.feed(long)


@settings(max_examples=100, deadline=None)
@given(frames=CHAT, cuts=CUTS, joined=st.booleans())
def test_a_witness_that_is_spared_text_keeps_the_same(frames: list[bytes], cuts: list[int], joined: bool) -> None:
    pieces = pieces_of(frames, cuts, joined=joined)
    state, alone = TurnState(), ChatNativeStream(rename_to=None, include_usage=True)
    witnessed = WitnessedStream(ChatNativeStream(rename_to=None, include_usage=True), ChatStreamDecoder(), state)
    told = [(fed(witnessed, piece), witnessed.delivered_chars, witnessed.usage, witnessed.ended) for piece in pieces]
    assert told == [(fed(alone, piece), alone.delivered_chars, alone.usage, alone.ended) for piece in pieces]
    assert state.dump() == noted(pieces, ChatStreamDecoder()).dump()


@settings(max_examples=100, deadline=None)
@given(frames=MESSAGES, cuts=CUTS, joined=st.booleans())
def test_so_does_one_of_messages(frames: list[bytes], cuts: list[int], joined: bool) -> None:
    pieces = pieces_of([START, *frames], cuts, joined=joined)
    state = TurnState()
    witnessed = WitnessedStream(MessagesTap(rename_to=None), MessagesStreamDecoder(), state)
    for piece in pieces:
        fed(witnessed, piece)
    assert state.dump() == noted(pieces, MessagesStreamDecoder()).dump()


def fed(stream: ChatNativeStream | WitnessedStream, piece: bytes) -> bytes | str:
    try:
        return stream.feed(piece)
    except UpstreamError as error:
        return str(error)


def noted(pieces: Sequence[bytes], reader: StreamDecoder) -> TurnState:
    """By a witness that reads everything."""
    state = TurnState()
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                state.note(event)
    except UpstreamError:
        pass
    return state


def test_a_witness_does_not_read_what_the_stream_itself_does_not() -> None:
    witness = Counted()
    stream = WitnessedStream(ChatNativeStream(rename_to=None, include_usage=True), witness, TurnState())
    frames = [text(b'"one"'), text(b'"two"'), text(b'"three"'), thought(b'"four"')]
    for frame in frames:
        stream.feed(frame)
    assert (witness.frames, stream.delivered_chars) == (2, len("onetwothreefour"))
