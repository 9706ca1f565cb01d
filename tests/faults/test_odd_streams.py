"""An upstream that speaks its wire oddly: what is legal passes, what is not is an error that everybody can see."""

from __future__ import annotations

import json

import pytest

from relayhub.testing.faults import answers, does
from relayhub.testing.faults.answers import whole
from tests.faults.bench import Bench
from tests.support.openai_wire import DONE, chunk, completion, error, usage_chunk

EVENT = chunk("m", content="x")
STOP = chunk("m", finish="stop")
USAGE = usage_chunk("m", 7, 3)


def texts(body: bytes) -> str:
    """The words of a stream, as a client reads them."""
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix(b"\xef\xbb\xbf").split(b"\n")
    values = [line.partition(b":")[2].strip() for line in lines if line.startswith(b"data:")]
    chunks = [json.loads(value) for value in values if value != b"[DONE]"]
    return "".join(piece["delta"].get("content", "") for value in chunks for piece in value["choices"])


LEGAL = {
    "CRLF": lambda frames: frames.replace(b"\n", b"\r\n"),
    "CR": lambda frames: frames.replace(b"\n", b"\r"),
    "no space after data:": lambda frames: frames.replace(b"data: ", b"data:"),
    "byte order mark": lambda frames: b"\xef\xbb\xbf" + frames,
    "comments and empty frames": lambda frames: b": hello\n\n\n\n" + frames.replace(b"\n\n", b"\n\n: ping\n\n"),
    "ids, names and retry": lambda frames: frames.replace(b"data: ", b"event: message\nid: 7\nretry: 10\ndata: "),
}


@pytest.mark.fault("U15", "legal but odd frames: CRLF, CR, BOM, comments, no space, ids")
@pytest.mark.parametrize("name", LEGAL)
def test_odd_frames_say_the_same(bench: Bench, name: str) -> None:
    """The same words, the normal end, and the upstream's usage on the row."""
    model = f"odd-{name.replace(' ', '-').replace(':', '').replace(',', '')}"
    frames = LEGAL[name](chunk(model, content="Hé") + chunk(model, content="llo") + STOP + USAGE + DONE)
    bench.upstream.program(model, answers.streamed(frames))
    answer = bench.chat(model, stream=True)
    assert (texts(answer.body), answer.done) == ("Héllo", True)
    row = bench.row(model)
    assert (row["outcome"], row["input_tokens"], row["output_tokens"], row["measured"]) == ("completed", 7, 3, 1)


@pytest.mark.fault("U15", "the frames are cut into pieces of one to seven bytes")
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_it_does_not_matter_where_frames_are_cut(bench: Bench, size: int) -> None:
    """The same words, the normal end, and the upstream's usage on the row."""
    frames = chunk("cut", content="Hé🙂llo") + STOP + USAGE + DONE
    pieces = [frames[start : start + size] for start in range(0, len(frames), size)]
    bench.upstream.program(f"cut-{size}", answers.streamed(*pieces))
    answer = bench.chat(f"cut-{size}", stream=True)
    assert (texts(answer.body), answer.done) == ("Hé🙂llo", True)
    assert bench.row(f"cut-{size}")["measured"] == 1


@pytest.mark.fault("U16", "one event whose JSON is broken")
def test_a_broken_event_is_left_out(bench: Bench) -> None:
    """It is left out, as nobody could read it; the stream goes on to its normal end with its usage recorded."""
    frames = (
        chunk("broken", content="a"),
        b'data: {"choices":[{"del\n\n',
        chunk("broken", content="b"),
        STOP,
        USAGE,
        DONE,
    )
    bench.upstream.program("broken", answers.streamed(*frames))
    answer = bench.chat("broken", stream=True)
    assert answer.done
    assert [json.loads(event[6:])["choices"][0]["delta"].get("content") for event in answer.events[:2]] == ["a", "b"]
    assert b'"del\n' not in answer.body
    row = bench.row("broken")
    assert (row["outcome"], row["measured"], row["output_tokens"]) == ("completed", 1, 3)


@pytest.mark.fault("U17", "a clean end after a finish_reason, without [DONE] and without usage")
def test_a_finish_reason_is_an_end(bench: Bench) -> None:
    """The normal end; the row is estimated."""
    bench.upstream.program("finished", answers.streamed(EVENT, STOP))
    assert bench.chat("finished", stream=True).done
    row = bench.row("finished")
    assert (row["outcome"], row["measured"]) == ("completed", 0)


@pytest.mark.fault("U17", "a clean end without a finish_reason")
def test_an_end_without_a_finish_reason_is_none(bench: Bench) -> None:
    """What came is delivered and charged, then an error event; never [DONE]."""
    bench.upstream.program("unfinished", answers.streamed(EVENT))
    bench.breaks_visibly("unfinished")


@pytest.mark.fault("U18", "an error event in the middle of a stream")
def test_an_error_in_band_is_relayed_and_what_came_is_charged(bench: Bench) -> None:
    """An error event, no [DONE], no second attempt; what came is charged."""
    frame = b'data: {"error":{"message":"no luck","type":"server_error"}}\n\n'
    bench.upstream.program("in-band", answers.streamed(EVENT, frame, DONE))
    assert bench.breaks_visibly("in-band").body.startswith(EVENT)
    assert bench.upstream.counters("in-band").requests == 1


@pytest.mark.fault("U18", "an error instead of the first event, in a 200")
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_in_a_200_is_an_error(bench: Bench, stream: bool) -> None:
    """502, charge 0."""
    body = error("it broke", type_="server_error")
    answer = answers.streamed(b"data: " + body + b"\n\n") if stream else whole(body)
    bench.upstream.program(f"as-200-{stream}", does(answer, executed=False))
    bench.fails_free(f"as-200-{stream}", 502, stream=stream)


@pytest.mark.fault("U20", "JSON where a stream was asked for")
def test_json_for_a_stream_is_an_error(bench: Bench) -> None:
    """502, charge 0; never a hang."""
    bench.upstream.program("json-for-stream", whole(completion("m")))
    assert bench.fails_free("json-for-stream", 502, stream=True).took_s < 1


@pytest.mark.fault("U20", "a stream where JSON was asked for")
def test_a_stream_for_json_is_an_error(bench: Bench) -> None:
    """502, charge 0; never a hang."""
    bench.upstream.program("stream-for-json", answers.streamed(EVENT, STOP, DONE))
    assert bench.fails_free("stream-for-json", 502).took_s < 1


UNREADABLE = {
    "cut": b'{"choices": [',
    "empty": b"",
    "white": b" \r\n",
    "html": b"<html>hello</html>",
    "array": b"[]",
    "null": b"null",
    "deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "deep arrays": b"[" * 200_000,
    "not a number": b'{"choices": NaN}',
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.fault("U30", "a body that is not JSON, empty, of another shape, or nested 200 000 deep")
@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_read_is_an_error(bench: Bench, name: str) -> None:
    """502, charge 0."""
    model = f"unreadable-{name.replace(' ', '-')}"
    bench.upstream.program(model, whole(UNREADABLE[name]))
    bench.fails_free(model, 502)


@pytest.mark.fault("U32", "bytes that are not UTF-8 inside an event")
def test_invalid_utf8_passes_or_is_an_error_but_never_ours(bench: Bench) -> None:
    """Passed, replaced, or an error event; never an internal error."""
    bench.upstream.program("bytes", answers.streamed(EVENT, EVENT.replace(b'"x"', b'"\xff\xfe"'), STOP, USAGE, DONE))
    answer = bench.chat("bytes", stream=True)
    assert answer.status == 200
    assert b"internal_error" not in answer.body
    assert bench.row("bytes")["outcome"] in ("completed", "upstream_error")


@pytest.mark.fault("U32", "nonsense for a stream")
@pytest.mark.parametrize("seed", range(8))
def test_nonsense_is_an_error(bench: Bench, seed: int) -> None:
    """502, charge 0."""
    import random

    noise = random.Random(seed).randbytes(5000)
    bench.upstream.program(f"noise-{seed}", answers.streamed(noise))
    bench.fails_free(f"noise-{seed}", 502, stream=True)
