"""An upstream that is slow or never ends: every wait has a limit, and nobody else waits with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import pytest

from relayhub.testing import Gate
from relayhub.testing.faults import FaultUpstream, Ticks, Trickle, answers, does, pace
from tests.faults.asking import CHAT, chat_body, connected, read_until, request_bytes
from tests.faults.bench import CONNECT_S, FIRST_BYTE_S, IDLE_S, LATE_S, TOTAL_S, Bench, Json, config, provider
from tests.support.openai_wire import DONE, chunk, completion

GOOD = answers.whole(completion("m"))
EVENT = chunk("m", content="x")
FEW = 4
PATIENT: Json = {"connect_s": CONNECT_S, "first_byte_s": 60, "idle_s": 60, "total_s": 60}
"""For calls that are to hang for as long as their test takes, however slow the machine is."""

HUNG = 200
EVENTS = 5
STREAMS = 5
MEASURED = 50
TRIES = 3
"""What else a machine does may slow one of them; what the hub does slows each."""


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    return config(
        {
            "few": provider(upstream.url, "few", max_connections=FEW, timeouts=PATIENT),
            "patient": provider(upstream.url, "hung", "paced", timeouts={**PATIENT, "connect_s": 30}),
            "first": provider(upstream.url, "hangs-*"),
            "late": provider(upstream.url, "late", timeouts={**PATIENT, "first_byte_s": 2 * FIRST_BYTE_S}),
            "good": provider(upstream.url, "*"),
            "second": provider(upstream.url, "hangs-*"),
        }
    )


@contextmanager
def hanging(bench: Bench, model: str, calls: int) -> Iterator[None]:
    """So many clients wait for an upstream that hangs; all are there, at the upstream, from the block's begin to its end."""
    bench.upstream.program(model, pace.silence())
    counters = bench.upstream.counters(model)
    with ExitStack() as clients:
        for _ in range(calls):
            raw = clients.enter_context(connected(bench.hub.url))
            raw.sendall(request_bytes(CHAT, chat_body(model), bench.key))
        assert bench.upstream.wait_for(lambda: counters.open == calls, 20)
        yield
        assert (counters.open, counters.aborts) == (calls, counters.requests - calls)
    assert bench.upstream.wait_for(lambda: counters.open == 0, 20)


@pytest.mark.fault("U07", "the head comes late, but within its limit")
def test_a_late_head_is_waited_for(bench: Bench) -> None:
    """200, one request."""
    bench.upstream.program("late", pace.slow_head(GOOD, FIRST_BYTE_S))
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
    assert bench.upstream.wait_for(lambda: counters.open == 0)
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
def test_the_wait_for_a_connection_is_bounded(bench: Bench) -> None:
    """502 at the connect limit: nothing was sent."""
    with hanging(bench, "few", FEW):
        answer = bench.fails_free("few", 502)
        assert CONNECT_S - 0.05 <= answer.took_s <= CONNECT_S + LATE_S
        assert bench.upstream.counters("few").requests == FEW


@pytest.mark.fault("L6", "one upstream hangs with 200 calls open, another one is well")
def test_a_hung_upstream_slows_nobody_else(bench: Bench) -> None:
    """The good one's median stays within 10 ms of what it was, its slowest answers within 100 ms."""
    bench.upstream.program("well", GOOD)
    before: list[list[float]] = []
    during: list[list[float]] = []
    for _ in range(TRIES):
        before.append([bench.chat("well").took_s for _ in range(MEASURED)])
        with hanging(bench, "hung", HUNG):
            during.append([bench.chat("well").took_s for _ in range(MEASURED)])
        added_s = min(map(median, during)) - min(map(median, before))
        slowest_s = min(map(max, during)) - min(map(max, before))
        if added_s <= 0.01 and slowest_s <= 0.1:
            break
    assert added_s <= 0.01, (before, during)
    assert slowest_s <= 0.1, (before, during)


@pytest.mark.fault("L5", "events come one at a time, each once the client has the one before")
def test_each_event_passes_at_once(bench: Bench) -> None:
    """Each is with the client before the upstream sends the next: 20 ms at most are added, and the first one does not wait
    either."""
    through = [delays_s(bench, bench.hub.url) for _ in range(STREAMS)]
    direct = [delays_s(bench, bench.upstream.url) for _ in range(STREAMS)]
    for number in range(EVENTS):
        added_s = median(one[number] for one in through) - median(one[number] for one in direct)
        assert added_s <= 0.02, (number, through, direct)


def delays_s(bench: Bench, url: str) -> list[float]:
    """How long after it was sent each event of a stream was there; the next one is not sent before that."""
    sent: list[float] = []
    seen: list[float] = []

    def event() -> bytes:
        sent.append(time.monotonic())
        return answers.chunks(chunk("paced", content=f"<{len(sent)}>"))

    gates = [Gate() for _ in range(EVENTS)]
    steps = [step for gate in gates for step in (Ticks(event, 1, 0.0), gate)]
    end = answers.chunks(chunk("paced", finish="stop"), DONE) + answers.LAST_CHUNK
    bench.upstream.program("paced", does(answers.streamed(end=False), *steps, end))
    with connected(url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("paced", stream=True), bench.key))
        for number, gate in enumerate(gates, 1):
            wanted = f"<{number}>".encode()
            assert wanted in read_until(raw, wanted)
            seen.append(time.monotonic())
            bench.upstream.open(gate)
        assert DONE in read_until(raw, DONE)
    return [there - at for at, there in zip(sent, seen, strict=True)]
