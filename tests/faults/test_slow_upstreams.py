"""An upstream that is slow or never ends: every wait has a limit, and nobody else waits with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from relayhub.testing import Wait
from relayhub.testing.faults import Fault, FaultUpstream, Trickle, answers, does, pace
from tests.faults.asking import CHAT, chat_body, connected, read_until, request_bytes
from tests.faults.bench import CONNECT_S, FIRST_BYTE_S, IDLE_S, LATE_S, TOTAL_S, Bench, config, provider
from tests.support.openai_wire import DONE, chunk, completion

GOOD = answers.whole(completion("m"))
EVENT = chunk("m", content="x")
FEW = 4


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    return config(
        {
            "few": provider(upstream.url, "few", max_connections=FEW),
            "hung": provider(upstream.url, "hung", "hangs-*"),
            "good": provider(upstream.url, "*"),
            "second": provider(upstream.url, "hangs-*"),
        }
    )


@pytest.fixture
def busy(bench: Bench) -> Iterator[ExitStack]:
    """Connections of clients that wait for a provider that hangs."""
    with ExitStack() as clients:
        yield clients
    assert bench.upstream.wait_for(lambda: bench.upstream.total.open == 0, 3)


@pytest.mark.fault("U07", "the head comes late, but within its limit")
def test_a_late_head_is_waited_for(bench: Bench) -> None:
    """200, one request."""
    bench.upstream.program("late", pace.slow_head(GOOD, FIRST_BYTE_S * 0.6))
    assert bench.chat("late").status == 200
    assert bench.upstream.counters("late").requests == 1


@pytest.mark.fault("U08", "no head ever comes")
@pytest.mark.parametrize("stream", [False, True])
def test_no_head_is_a_timeout_and_never_sent_again(bench: Bench, stream: bool) -> None:
    """504 at the first-byte limit, charge 0, executed once though another upstream has the model."""
    model = f"hangs-{stream}"
    bench.upstream.program(model, pace.silence(), GOOD)
    answer = bench.fails_free(model, 504, stream=stream)
    assert FIRST_BYTE_S - 0.05 <= answer.took_s <= FIRST_BYTE_S + LATE_S
    counters = bench.upstream.counters(model)
    assert bench.upstream.wait_for(lambda: counters.open == 0, 1)
    assert (counters.requests, counters.executions, counters.aborts) == (1, 1, 1)


@pytest.mark.fault("U08", "the head comes one byte at a time")
def test_a_trickled_head_counts_as_none(bench: Bench) -> None:
    """504 at the first-byte limit, charge 0."""
    bench.upstream.program("drip", pace.trickle(GOOD, 0.05))
    assert bench.fails_free("drip", 504).took_s <= FIRST_BYTE_S + LATE_S


@pytest.mark.fault("U08", "the stream falls silent after some events")
def test_silence_in_a_stream_is_an_error_event(bench: Bench) -> None:
    """What came is delivered and charged, then an error event at the idle limit; never [DONE]."""
    bench.upstream.program("silent", pace.stalls_after(EVENT))
    answer = bench.breaks_visibly("silent")
    assert answer.error["code"] == "upstream_timeout"
    assert IDLE_S - 0.05 <= answer.took_s <= IDLE_S + LATE_S


@pytest.mark.fault("U44", "a whole answer of one byte every 50 ms, for ever")
def test_a_body_that_trickles_for_ever_meets_the_total_limit(bench: Bench) -> None:
    """504 at the total limit, charge 0; the connection is dropped."""
    body = answers.head(headers=[*answers.JSON, ("content-length", "100000")])
    bench.upstream.program("forever", does(body, Trickle(b" " * 1000, 0.05)))
    answer = bench.fails_free("forever", 504)
    assert TOTAL_S - 0.05 <= answer.took_s <= TOTAL_S + LATE_S


@pytest.mark.fault("U44", "a stream whose events never end")
def test_a_stream_that_never_ends_meets_the_total_limit(bench: Bench) -> None:
    """What came is delivered and charged, then an error event at the total limit."""
    bench.upstream.program("endless", pace.endless_stream(EVENT, every_s=0.1))
    answer = bench.breaks_visibly("endless")
    assert TOTAL_S - 0.05 <= answer.took_s <= TOTAL_S + LATE_S


@pytest.mark.fault("L6", "more calls to a hung upstream than it may have connections")
def test_the_wait_for_a_connection_is_bounded(bench: Bench, busy: ExitStack) -> None:
    """502 at the connect limit: nothing was sent."""
    bench.upstream.program("few", pace.silence())
    for _ in range(FEW):
        raw = busy.enter_context(connected(bench.hub.url))
        raw.sendall(request_bytes(CHAT, chat_body("few"), bench.key))
    assert bench.upstream.wait_for(lambda: bench.upstream.counters("few").open == FEW, 2)
    answer = bench.fails_free("few", 502)
    assert answer.took_s <= CONNECT_S + LATE_S
    assert bench.upstream.counters("few").requests == FEW


@pytest.mark.fault("L6", "one upstream hangs with 200 calls open, another one is well")
def test_a_hung_upstream_slows_nobody_else(bench: Bench, busy: ExitStack) -> None:
    """The good one's median stays within 10 ms of what it was, its slowest answers within 100 ms."""
    bench.upstream.program("hung", pace.silence())
    bench.upstream.program("well", GOOD)
    before = sorted(bench.chat("well").took_s for _ in range(50))
    started = time.monotonic()
    for _ in range(200):
        raw = busy.enter_context(connected(bench.hub.url))
        raw.sendall(request_bytes(CHAT, chat_body("hung"), bench.key))
    assert bench.upstream.wait_for(lambda: bench.upstream.counters("hung").open >= 190, FIRST_BYTE_S)
    during = sorted(bench.chat("well").took_s for _ in range(50))
    assert time.monotonic() - started < 2 * FIRST_BYTE_S
    assert during[25] - before[25] <= 0.01
    assert during[-1] <= before[-1] + 0.1


@pytest.mark.fault("L5", "events come one at a time, with pauses between them")
def test_each_event_passes_at_once(bench: Bench) -> None:
    """Each is with the client before the upstream sends the next: 20 ms at most, and the first one does not wait either."""
    pieces = [chunk("paced", content=str(number)) for number in range(5)]
    bench.upstream.program("paced", pace_of(pieces, 0.2))
    seen: list[float] = []
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("paced", stream=True), bench.key))
        for piece in pieces:
            read_until(raw, piece)
            seen.append(time.monotonic())
        assert DONE in read_until(raw, DONE)
    gaps = [later - earlier for earlier, later in pairwise(seen)]
    assert all(0.15 <= gap <= 0.25 for gap in gaps), gaps


def pace_of(pieces: list[bytes], every_s: float) -> Fault:
    steps = [step for piece in pieces for step in (answers.chunks(piece), Wait(every_s))]
    return does(
        answers.streamed(end=False), *steps, answers.chunks(chunk("paced", finish="stop"), DONE) + answers.LAST_CHUNK
    )
