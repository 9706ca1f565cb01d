"""Transcripts: a form out of which one field changes, and answers in every format."""

from __future__ import annotations

import orjson
import pytest

from relayhub.dialects.multipart import FormScanner
from relayhub.dialects.openai_native import OpenAIAudio
from relayhub.dialects.openai_native.audio import WANTED, AudioEnvelope, read_audio_usage, read_envelope
from relayhub.types.errors import ClientError, UpstreamError
from relayhub.types.http import SpoolSlice
from relayhub.types.json import Json
from relayhub.types.usage import Usage
from tests.dialects.native import events, relayed, reply, seen_as

CODEC = OpenAIAudio()
AUDIO = b"\x00\xff" * 5000


class Memory:
    """A spool that is none."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read_at(self, start: int, size: int) -> bytes:
        return self.content[start : start + size]


def form(**fields: str) -> bytes:
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.insert(1, b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n' + AUDIO)
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def envelope(**fields: str) -> AudioEnvelope:
    return read(form(**{"model": "public", **fields}))


def read(body: bytes) -> AudioEnvelope:
    scanner = FormScanner(b"b", WANTED)
    scanner.feed(body)
    return read_envelope(scanner.finish())


def test_the_envelope_is_read_from_the_fields() -> None:
    found = envelope(stream="True", user="u-1", response_format="srt", prompt="x" * 90)
    assert (found.model, found.stream, found.user, found.response_format) == ("public", True, "u-1", "srt")


def test_a_recording_is_no_text() -> None:
    found = envelope(prompt="x" * 90)
    assert found.text_bytes == len("public") + 90
    assert found.media_tokens == len(AUDIO) / 200


def test_a_recording_without_a_file_name_is_no_text_either() -> None:
    found = read(form(model="m").replace(b'; filename="a.mp3"', b""))
    assert (found.text_bytes, found.media_tokens) == (1, 50)


@pytest.mark.parametrize(("said", "stream"), [("true", True), ("1", True), ("FALSE", False), ("0", False), ("", False)])
def test_flags_of_forms(said: str, stream: bool) -> None:
    assert envelope(stream=said).stream is stream


def test_an_unclear_flag_is_refused() -> None:
    with pytest.raises(ClientError) as caught:
        envelope(stream="maybe")
    assert caught.value.param == "stream"


def test_the_model_is_required() -> None:
    with pytest.raises(ClientError) as caught:
        read(form(prompt="x"))
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "model")


def test_only_the_model_is_replaced_and_the_rest_stays_on_disk() -> None:
    body = form(prompt="first", model="public", language="en")
    spool = Memory(body)
    whole = (SpoolSlice(spool, 0, len(body)),)
    sent = CODEC.native_request(whole, model="up/stream-1", envelope=read(body))
    assert b"".join(
        piece if isinstance(piece, bytes) else piece.spool.read_at(piece.start, len(piece)) for piece in sent
    ) == body.replace(b"public", b"up/stream-1")
    assert [piece for piece in sent if isinstance(piece, bytes)] == [b"up/stream-1"]


def test_the_same_name_changes_nothing() -> None:
    body = form(model="public")
    whole = (SpoolSlice(Memory(body), 0, len(body)),)
    assert CODEC.native_request(whole, model="public", envelope=read(body)) is whole


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}, Usage(14, 45)),
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2)),
        ({"type": "duration", "seconds": 9}, Usage()),
        ({"seconds": 9.4}, Usage()),
        ({"seconds": 9}, Usage()),
        ({"type": "tokens", "input_tokens": "many"}, None),
        (None, None),
    ],
)
def test_usage_in_tokens_or_by_time(said: Json, usage: Usage | None) -> None:
    assert read_audio_usage(said) == usage


@pytest.mark.parametrize("form_of_answer", ["json", "verbose_json", "diarized_json", "next_years_json"])
def test_json_answers(form_of_answer: str) -> None:
    body = b'{"text":"h\xc3\xa9llo", "segments":[], "usage":{"type":"tokens","input_tokens":2,"output_tokens":1}}'
    answer = CODEC.native_reply(reply(body), seen_as(envelope(response_format=form_of_answer)))
    assert (answer.body, answer.usage, answer.chars) == (body, Usage(2, 1), 5)
    assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("form_of_answer", "content_type", "told"),
    [
        ("text", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip", "application/x-subrip"),
        ("vtt", "text/vtt", "text/vtt"),
        ("text", "", "text/plain; charset=utf-8"),
    ],
)
def test_texts_pass_with_their_type(form_of_answer: str, content_type: str, told: str) -> None:
    answer = CODEC.native_reply(reply(b"h\xc3\xa9\n", content_type), seen_as(envelope(response_format=form_of_answer)))
    assert (answer.body, answer.content_type, answer.usage, answer.chars) == (b"h\xc3\xa9\n", told, None, 3)


def test_a_text_may_come_as_json_after_all() -> None:
    body = b'{"text": "abc", "usage": {"type": "duration", "seconds": 2}}'
    answer = CODEC.native_reply(reply(body), seen_as(envelope(response_format="text")))
    assert (answer.body, answer.usage, answer.chars) == (body, Usage(), 3)


def test_a_transcript_may_look_like_json() -> None:
    answer = CODEC.native_reply(reply(b"{um}", "text/plain"), seen_as(envelope(response_format="text")))
    assert (answer.body, answer.chars) == (b"{um}", 4)


@pytest.mark.parametrize("form_of_answer", ["json", "text"])
def test_an_error_in_a_200_is_one(form_of_answer: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        CODEC.native_reply(reply(b'{"error":{"message":"x"}}'), seen_as(envelope(response_format=form_of_answer)))
    assert caught.value.code == "upstream_error"


@pytest.mark.parametrize("body", [b"text", b"{}", b'{"text": null}', b"[]"])
def test_json_that_is_no_transcript_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        CODEC.native_reply(reply(body), seen_as(envelope()))
    assert caught.value.code == "upstream_invalid_response"


SSE = {"content-type": "text/event-stream"}
HE, LLO = (b'{"type":"transcript.text.delta","delta":"%s"}' % text for text in (b"He", b"llo"))
FINISHED = (
    b'{"type":"transcript.text.done","text":"Hello","usage":{"type":"tokens","input_tokens":9,"output_tokens":4}}'
)
CHUNK = b'{"object":"transcription.chunk","model":"upstream","choices":[{"delta":{"content":"Hello"}}]}'
COUNTED = b'{"object":"transcription.chunk","model":"upstream","usage":{"prompt_tokens":9,"completion_tokens":4}}'


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("after", [b"", events(b"[DONE]"), events(HE)])
def test_the_last_event_is_held_back_and_nothing_follows_it(size: int, after: bytes) -> None:
    stream = CODEC.native_stream(SSE, seen_as(envelope(stream="true")))
    assert relayed(stream, events(HE, LLO, FINISHED) + after, size) == (events(HE, LLO), events(FINISHED))
    assert (stream.usage, stream.delivered_chars, stream.ended) == (Usage(9, 4), 5, True)


@pytest.mark.parametrize("size", [1, 10_000])
def test_compatible_upstreams_end_with_done(size: int) -> None:
    stream = CODEC.native_stream(SSE, seen_as(envelope(stream="true")))
    before, last = relayed(stream, events(CHUNK, COUNTED, b"[DONE]"), size)
    assert before == events(CHUNK, COUNTED).replace(b"upstream", b"public")
    assert last == events(b"[DONE]")
    assert (stream.usage, stream.delivered_chars) == (Usage(9, 4), 5)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (events(HE, LLO), "upstream_truncated"),
        (events(CHUNK), "upstream_truncated"),
        (b"", "upstream_truncated"),
        (events(b"[DONE]"), "upstream_invalid_response"),
        (events(HE, b'{"type":"error","message":"x"}'), "upstream_error"),
        (events(HE, b'{"error":{"message":"x","code":"rate_limit_exceeded"}}'), "upstream_rate_limited"),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_an_end_that_is_none_is_an_error(sent: bytes, code: str, size: int) -> None:
    stream = CODEC.native_stream(SSE, seen_as(envelope(stream="true")))
    assert relayed(stream, sent, size)[1] == code


def test_a_model_that_does_not_stream_is_told_as_events() -> None:
    stream = CODEC.native_stream({"content-type": "application/json; charset=utf-8"}, seen_as(envelope(stream="true")))
    before, last = relayed(stream, b'{"text":"Hello","usage":{"type":"duration","seconds":3}}', 5)
    assert before == b""
    told = [orjson.loads(frame.removeprefix(b"data: ")) for frame in last.split(b"\n\n") if frame]
    assert told == [
        {"type": "transcript.text.delta", "delta": "Hello"},
        {"type": "transcript.text.done", "text": "Hello", "usage": {"type": "duration", "seconds": 3}},
    ]
    assert (stream.usage, stream.delivered_chars) == (Usage(), 5)


def test_subtitles_that_were_asked_for_as_a_stream_are_told_as_events() -> None:
    stream = CODEC.native_stream({"content-type": "text/vtt"}, seen_as(envelope(stream="true", response_format="vtt")))
    assert b'"delta":"WEBVTT"' in relayed(stream, b"WEBVTT", 2)[1]  # type: ignore[operator]


@pytest.mark.parametrize("body", [b'{"text":"Hel', b"{}", b'{"error":{"message":"x"}}'])
def test_half_a_whole_answer_is_none(body: bytes) -> None:
    stream = CODEC.native_stream({"content-type": "application/json"}, seen_as(envelope(stream="true")))
    assert isinstance(relayed(stream, body, 4)[1], str)
