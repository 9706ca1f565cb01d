"""An upstream whose answer breaks off or whose framing is in doubt: an error, and the connection is dropped."""

from __future__ import annotations

import pytest

from relayhub.testing.faults import Fault, answers, does, framing
from relayhub.testing.faults.steps import Close
from tests.faults.bench import FIRST_BYTE_S, IDLE_S, LATE_S, Bench
from tests.support.openai_wire import DONE, chunk, completion

GOOD = answers.whole(completion("m"))
EVENT = chunk("m", content="x")


@pytest.mark.fault("U10", "the connection is reset after the request was read, before the head")
@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_before_the_head_is_ambiguous(bench: Bench, stream: bool) -> None:
    """502 at once, charge 0, sent exactly once: it may have been executed."""
    model = f"reset-{stream}"
    bench.upstream.program(model, framing.reset_at(GOOD, 0))
    answer = bench.fails_free(model, 502, stream=stream)
    assert answer.took_s < LATE_S
    assert answer.error["code"] == "upstream_disconnected"
    assert bench.upstream.counters(model).executions == 1


@pytest.mark.fault("U10", "the connection is reset or closed in the middle of the head")
@pytest.mark.parametrize("fault", [framing.reset_at(GOOD, 20), framing.ends_at(GOOD, 20)], ids=["reset", "closed"])
def test_a_head_that_breaks_off_is_ambiguous_too(bench: Bench, fault: Fault, request: pytest.FixtureRequest) -> None:
    """502, charge 0, sent exactly once."""
    model = request.node.name
    bench.upstream.program(model, fault)
    bench.fails_free(model, 502)
    assert bench.upstream.counters(model).requests == 1


@pytest.mark.fault("U13", "the body is shorter than its Content-Length")
def test_a_short_body_is_an_error(bench: Bench) -> None:
    """502, charge 0."""
    bench.upstream.program("short", framing.short_body(completion("short")))
    assert bench.fails_free("short", 502).error["code"] == "upstream_truncated"


@pytest.mark.fault("U13", "the connection breaks at every byte of a good answer in turn")
def test_no_prefix_of_an_answer_passes_for_an_answer(bench: Bench) -> None:
    """502 wherever it breaks, charge 0, sent exactly once."""
    whole = answers.whole(completion("prefix"))
    places = [*range(1, len(whole), 23), len(whole) - 1]
    bench.upstream.program("prefix", *(framing.ends_at(whole, place) for place in places))
    for _ in places:
        assert bench.chat("prefix").status == 502
    assert bench.upstream.counters("prefix").requests == len(places)
    assert bench.charged("prefix") == 0


@pytest.mark.fault("U14", "a line in mid-stream that is no chunk size")
@pytest.mark.parametrize("size", [b"zz", b"-1", b"0x5", b"+5", b"1" * 40, b"5 5"])
def test_a_bad_chunk_size_ends_the_stream_with_an_error(bench: Bench, size: bytes) -> None:
    """What came is delivered and charged, then an error event within the idle limit; the connection is dropped."""
    model = f"chunk-{size.decode()}"
    bench.upstream.program(model, framing.bad_chunk_size(EVENT, size=size))
    answer = bench.breaks_visibly(model)
    assert answer.took_s <= framing.APART_S + IDLE_S + LATE_S
    assert answer.body.startswith(EVENT)
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, 2)


@pytest.mark.fault("U14", "a chunk, a whole line or the last chunk is missing when the connection ends")
@pytest.mark.parametrize(
    "fault",
    [
        framing.chunk_cut_short(EVENT),
        does(answers.streamed(EVENT, b'data: {"choi', end=False), Close()),
        does(answers.streamed(EVENT, end=False), Close()),
        framing.reset_at(answers.streamed(EVENT, end=False), len(answers.streamed(EVENT, end=False))),
    ],
    ids=["chunk", "line", "last chunk", "reset"],
)
def test_a_stream_that_is_cut_never_ends_normally(bench: Bench, fault: Fault, request: pytest.FixtureRequest) -> None:
    """What came is delivered and charged, then an error event; never [DONE]."""
    model = request.node.callspec.id.replace(" ", "-")
    bench.upstream.program(model, fault)
    assert bench.breaks_visibly(model).body.startswith(EVENT)


DOUBTFUL = {
    "length and chunks": framing.length_and_chunks(completion("d"), after=answers.whole(completion("smuggled"))),
    "two lengths": framing.two_lengths(completion("d")),
    "unknown coding": framing.unknown_coding(completion("d")),
    "another protocol": framing.not_http(),
    "garbage": does(b"\x00\x01\x02\r\n\r\n", Close()),
    "no status": does(b"HTTP/1.1 OK\r\n\r\n", Close()),
    "status out of range": does(b"HTTP/1.1 99999 OK\r\ncontent-length: 0\r\n\r\n", Close()),
    "space in a header's name": does(b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\n{}", Close()),
    "negative length": does(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Close()),
}


@pytest.mark.fault("U14", "a head whose framing can be read in two ways, or in none")
@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_head_is_an_error_and_its_connection_is_never_used_again(bench: Bench, name: str) -> None:
    """502, charge 0; the next call makes a connection of its own and gets its own answer."""
    model = f"doubt-{name.replace(' ', '-')}"
    bench.upstream.program(model, DOUBTFUL[name], GOOD)
    answer = bench.fails_free(model, 502)
    assert answer.took_s <= FIRST_BYTE_S + IDLE_S + LATE_S
    assert bench.chat(model).status == 200
    assert bench.upstream.counters(model).connections == 2


@pytest.mark.fault("U14", "a second answer right behind the first")
def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(bench: Bench) -> None:
    """The first call is answered; the connection is dropped, and the next call gets its own answer."""
    smuggled = answers.whole(completion("unasked", content="smuggled"))
    bench.upstream.program("unasked", framing.unasked_answer(completion("unasked"), smuggled), GOOD)
    assert bench.chat("unasked").status == 200
    for _ in range(3):
        assert b"smuggled" not in bench.chat("unasked").body


@pytest.mark.fault("U35", "the connection kept alive is closed by the upstream between two calls")
def test_a_kept_connection_that_was_closed_costs_nobody_a_call(bench: Bench) -> None:
    """Nothing was sent over it, so the call is made over a new one: 20 of 20 are answered, each sent once."""
    bench.upstream.program("closed", does(answers.whole(completion("closed")), Close()))
    assert [bench.chat("closed").status for _ in range(20)] == [200] * 20
    counters = bench.upstream.counters("closed")
    assert (counters.requests, counters.executions) == (20, 20)


@pytest.mark.fault("U35", "the connection kept alive is reset after the next request was sent over it")
def test_a_kept_connection_that_breaks_after_the_request_is_ambiguous(bench: Bench) -> None:
    """502, charge 0, not sent again: it may have been executed."""
    bench.upstream.program("kept", does(GOOD), framing.reset_at(GOOD, 0))
    assert bench.chat("kept").status == 200
    assert bench.chat("kept").status == 502
    assert bench.upstream.counters("kept").requests == 2


@pytest.mark.fault("U36", "100 and 103 before the answer")
def test_interim_answers_are_ignored(bench: Bench) -> None:
    """200; the client sees the final answer only."""
    bench.upstream.program("interim", framing.interim(answers.whole(completion("interim")), times=3))
    answer = bench.chat("interim")
    assert (answer.status, answer.body) == (200, completion("interim"))
    assert "link" not in answer.headers


@pytest.mark.fault("U36", "trailer fields after the last chunk")
def test_trailers_are_ignored(bench: Bench) -> None:
    """The stream ends normally; no trailer reaches the client."""
    frames = chunk("trailers", content="x", finish="stop")
    bench.upstream.program("trailers", framing.trailers(frames, DONE, count=10))
    answer = bench.chat("trailers", stream=True)
    assert answer.body == frames + DONE
    assert b"x-trailer" not in answer.body


@pytest.mark.fault("U36", "trailer fields without end")
def test_trailers_are_capped(bench: Bench) -> None:
    """The connection is dropped; no trailer reaches the client."""
    frames = chunk("endless", content="x", finish="stop")
    bench.upstream.program("endless", framing.trailers(frames, DONE, count=None))
    answer = bench.chat("endless", stream=True)
    assert b"x-trailer" not in answer.body
    assert bench.upstream.wait_for(lambda: bench.upstream.counters("endless").open == 0, 2)
    assert bench.upstream.counters("endless").bytes_sent < 32 << 20
