"""Frames that are compared instead of parsed give what parsing them gives, whatever stands in them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_chat.alike import AlikeFrames
from relayhub.dialects.openai_chat.chunk import read_chunk
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.dialects.sse import data_of
from relayhub.types.errors import UpstreamError
from relayhub.types.limits import MAX_SSE_LINE

SPACED = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}, "finish_reason": null}]}\n\n'
TIGHT = b'data: {"id":"c","model":"up","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
ODD = st.sampled_from([b'"', b"\\", b'\\"', b"\\n", b"\x00", b"\n\n"])
RAW = st.binary(max_size=12) | st.text(max_size=8).map(str.encode) | ODD


def frame(content: str, **delta: object) -> bytes:
    choice = {"index": 0, "delta": {"content": content, **delta}, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "c", "model": "up", "choices": [choice]}) + b"\n\n"


def taught(template: bytes) -> AlikeFrames:
    alike = AlikeFrames()
    first = template % b"Hello"
    chunk = read_chunk(data_of(first) or b"")
    assert chunk is not None
    alike.learn(first, first, chunk)
    return alike


def parsing_stream(rename: str | None) -> ChatNativeStream:
    """One that compares nothing."""
    stream = ChatNativeStream(rename_to=rename, include_usage=True)
    assert isinstance(stream.comparison, AlikeFrames)
    stream.comparison.forget()
    return stream


def chars(alike: AlikeFrames, whole: bytes) -> int:
    """Of a frame, by itself and in a chunk."""
    count, line = alike.chars(whole), b"%x\r\n" % len(whole)
    assert alike.chunk_chars(line + whole + b"\r\n", line) == count
    return count


@given(raw=RAW, template=st.sampled_from([SPACED, TIGHT]))
def test_what_is_taken_for_alike_parses_to_as_many_characters(raw: bytes, template: bytes) -> None:
    whole = template % raw
    count = chars(taught(template), whole)
    if count >= 0:
        value = orjson.loads(data_of(whole) or b"")
        assert value["choices"][0]["delta"] == {"content": value["choices"][0]["delta"]["content"]}
        assert count == len(value["choices"][0]["delta"]["content"])


def test_plain_text_in_any_script_is_not_parsed() -> None:
    alike = taught(TIGHT)
    assert [chars(alike, TIGHT % text.encode()) for text in ("", "a", "你好", " x y ")] == [0, 1, 2, 5]


def test_everything_that_counts_is_read() -> None:
    alike = taught(TIGHT)
    told = [
        TIGHT % b'a\\"b',
        TIGHT.replace(b"null", b'"stop"') % b"a",
        TIGHT.replace(b'"index":0', b'"index":1') % b"a",
        TIGHT.replace(b"]}\n", b'],"usage":{"prompt_tokens":1}}\n') % b"a",
        frame("a", reasoning="b"),
    ]
    assert [chars(alike, one) for one in told] == [-1] * len(told)


@pytest.mark.parametrize("longest", [True, False])
def test_a_frame_as_long_as_a_line_may_be_passes_and_a_longer_one_is_read(longest: bool) -> None:
    text = b"x" * (MAX_SSE_LINE - len(TIGHT % b"") + (not longest))
    assert chars(taught(TIGHT), TIGHT % text) == (len(text) if longest else -1)


def test_a_chunk_that_is_not_whole_or_says_more_is_read() -> None:
    alike = taught(TIGHT)
    whole = TIGHT % b"a"
    line = b"%x\r\n" % len(whole)
    assert alike.chunk_chars(line + whole + b"\r\n", line) == 1
    for broken in (
        whole,
        whole + b"\n",
        whole + b"\r\nx",
        whole[:-1] + b"\r\n",
        b" " + whole + b"\r\n",
        whole * 2 + b"\r\n",
    ):
        assert alike.chunk_chars(line + broken, line) == -1
    assert alike.chunk_chars(line + whole + b"\r\n", b"1" + line) == -1
    alike.pause(True)
    assert alike.chunk_chars(line + whole + b"\r\n", line) == alike.chars(whole) == -1
    alike.pause(False)
    assert alike.chunk_chars(line + whole + b"\r\n", line) == alike.chars(whole) == 1


def test_a_frame_with_more_than_text_teaches_nothing() -> None:
    for odd in (frame("a", reasoning="b"), frame("a", tool_calls=[]), TIGHT.replace(b"null", b'"stop"') % b"a"):
        alike = AlikeFrames()
        chunk = read_chunk(data_of(odd) or b"")
        assert chunk is not None
        alike.learn(odd, odd, chunk)
        assert chars(alike, odd) == -1 or b"tool_calls" in odd


@pytest.mark.parametrize(
    ("colon", "learned"), [(b":", True), (b": ", True), (b" :", True), (b" : ", True), (b":  ", False), (b":\t", False)]
)
def test_the_text_is_found_however_its_key_is_written(colon: bytes, learned: bool) -> None:
    template = TIGHT.replace(b'"content":', b'"content"' + colon)
    assert chars(taught(template), template % b"other") == (len("other") if learned else -1)


@pytest.mark.parametrize("elsewhere", [b'"content":"x"', b'"content" : "x"', b'"content":null', b'"x":"content"'])
@pytest.mark.parametrize("place", [b'"id":"c"', b'"finish_reason":null'])
def test_where_the_name_of_the_text_stands_twice_nothing_is_learned(elsewhere: bytes, place: bytes) -> None:
    template = TIGHT.replace(place, place + b"," + elsewhere)
    assert chars(taught(template), template % b"Hello") == chars(taught(template), template % b"other") == -1


@pytest.mark.parametrize("text", [b"\\ud800", b"a\\ud83d", b"\\ud83d\\ude00", b"\\u0041", b"\\\\", b'\\"', b"\x01"])
def test_from_text_that_is_not_plain_nothing_is_learned(text: bytes) -> None:
    stream = ChatNativeStream(rename_to=None, include_usage=True)
    assert stream.feed(TIGHT % text) == parsing_stream(None).feed(TIGHT % text)
    assert stream.comparison.chars(TIGHT % b"Hello") == -1


@pytest.mark.parametrize("role", ["assistant", None])
def test_a_first_frame_that_names_the_speaker_teaches_nothing(role: str | None) -> None:
    stream = ChatNativeStream(rename_to=None, include_usage=True)
    first = frame("a") if role is None else frame("a", role=role)
    stream.feed(first)
    assert stream.comparison.chars(first) == (1 if role is None else -1)
    again = frame("b", role="assistant")
    stream.feed(again)
    assert stream.comparison.chars(again) == 1
    assert stream.delivered_chars == 2


def test_choices_without_an_index_count_by_their_places() -> None:
    stream = ChatNativeStream(rename_to=None, include_usage=True)
    stream.feed(b'data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"},"finish_reason":"stop"}]}\n\n')
    stream.feed(b'data: {"choices":[{"delta":{"content":"c"}},{"delta":{"content":"d"}}]}\n\n')
    assert stream.delivered_chars == 3
    with pytest.raises(UpstreamError):
        stream.finish()


@given(texts=st.lists(st.text(max_size=6), max_size=12), rename=st.sampled_from([None, "public"]))
def test_a_stream_gives_the_same_whether_frames_come_alone_or_in_one_piece(
    texts: list[str], rename: str | None
) -> None:
    """And as one that parses each of them."""
    ending = frame("").replace(b"null", b'"stop"')
    frames = [frame("Hi", role="assistant"), *map(frame, texts), ending, b"data: [DONE]\n\n"]
    alone = ChatNativeStream(rename_to=rename, include_usage=True)
    at_once = ChatNativeStream(rename_to=rename, include_usage=True)
    parsing = parsing_stream(rename)
    shown = parsing.feed(b"".join(frames))
    assert b"".join(map(alone.feed, frames)) == at_once.feed(b"".join(frames)) == shown
    assert alone.delivered_chars == at_once.delivered_chars == parsing.delivered_chars == 2 + sum(map(len, texts))
    assert alone.finish() == at_once.finish() == parsing.finish()


@given(raws=st.lists(RAW, min_size=1, max_size=6), template=st.sampled_from([SPACED, TIGHT]))
def test_whatever_stands_in_frames_that_come_together_they_are_read_as_by_a_parser(
    raws: list[bytes], template: bytes
) -> None:
    streams = ChatNativeStream(rename_to=None, include_usage=True), parsing_stream(None)
    first, rest = template % b"Hello", b"".join(template % raw for raw in raws)
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    told = [stream.feed(first) + stream.feed(rest + usage) + stream.feed(b"") for stream in streams]
    assert told[0] == told[1]
    assert streams[0].delivered_chars == streams[1].delivered_chars
    assert streams[0].usage == streams[1].usage


def test_after_a_finish_reason_nothing_more_is_counted() -> None:
    stream = ChatNativeStream(rename_to=None, include_usage=True)
    for one in (frame("ab"), frame("cd"), frame("").replace(b"null", b'"stop"'), frame("efgh")):
        stream.feed(one)
    assert stream.delivered_chars == 4


@pytest.mark.parametrize(
    "start", [b"data:", b"data: ", b"data:\t", b"id: 7\ndata: ", b": x\ndata: ", b"data: \n data: "]
)
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\nid: 7\n\n", b"\ndata: \n\n", b"\n}\n\n"])
@pytest.mark.parametrize("together", [False, True])
def test_a_frame_says_what_its_data_says_however_it_is_written(start: bytes, end: bytes, together: bool) -> None:
    """And of what is one line, all is compared that comes like it."""
    text = TIGHT[len(b"data: ") : -2] % b"Hello"
    for whole in (start + text + end, start + text.replace(b",", b",\n", 1) + end):
        stream = ChatNativeStream(rename_to=None, include_usage=True)
        told = stream.feed(whole + whole) if together else stream.feed(whole) + stream.feed(whole)
        data = data_of(whole)
        read = None if data is None else read_chunk(data)
        assert stream.delivered_chars == (0 if read is None else 2 * len("Hello"))
        assert told == (b"" if data is not None and read is None else whole + whole)
        one_line = start + end in (b"data:\n\n", b"data: \n\n", b"data:\t\n\n") and b"\n" not in whole[:-2]
        assert (stream.comparison.chars(whole) == len("Hello")) is one_line
