"""The config is replaced, or the server is told to go, while calls are under way: each ends as it began, and none fails."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.testing import Gate
from relayhub.testing.faults import Fault, FaultUpstream, answers, does, pace
from relayhub.types.json import JsonObject
from tests.e2e.test_reload import told, write
from tests.e2e.test_shutdown import accepts
from tests.faults.asking import CHAT, chat_body, connected, read_until, request_bytes
from tests.faults.bench import UPSTREAM_KEY, Bench, Json, config, provider
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.support.openai_wire import DONE, chunk, completion, usage_chunk
from tests.support.server import Server, running

PATIENT: Json = {"connect_s": 5, "first_byte_s": 30, "idle_s": 30, "total_s": 60}
HASTY: Json = {**PATIENT, "first_byte_s": 0.4, "idle_s": 0.4}
CENT_NANO = 10_000_000
GOOD = answers.whole(completion("m"))
FIRST = chunk("m", content="Hello")
REST = answers.chunks(chunk("m", finish="stop"), usage_chunk("m", 10, 5), DONE) + answers.LAST_CHUNK
STREAM = answers.streamed(FIRST, end=False) + REST
WAYS: tuple[tuple[str, ...], ...] = ((), ("connection: close",))
"""Header lines of a call: by the door, and by the framework, which the short way leaves such calls to."""


def numbered(url: str, number: int, *models: str, timeouts: Json = PATIENT) -> Json:
    """A provider whose key ends in ``number``, and whose calls cost as many cents. Some neighbours have another way to the
    upstream, too."""
    price = {"price": {"call": f"{number / 100:.2f}"}}
    key = f"{UPSTREAM_KEY}-{number}"
    connections = 200 + number // 4
    return provider(
        url, api_key=key, timeouts=timeouts, max_connections=connections, models=dict.fromkeys(models, price)
    )


def versioned(url: str, number: int, timeouts: Json = PATIENT, **others: Json) -> str:
    """A config that can be told by its number."""
    return config({"up": numbered(url, number, "call-*", timeouts=timeouts), **others})


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    return versioned(upstream.url, 1)


@pytest.fixture
def bench(shared_bench: Bench, hub_config: str) -> Iterator[Bench]:
    """Each test finds, and leaves, the config that the server began with."""
    yield shared_bench
    reload(shared_bench.hub, hub_config)
    check_balances(shared_bench.hub)


def reload(hub: Server, text: str, *, ok: bool = True) -> JsonObject:
    write(hub, text)
    answer = asyncio.run(told(hub, "reload"))
    assert answer["ok"] is ok, answer
    return answer


def sent_with(upstream: FaultUpstream, model: str) -> Counter[int]:
    """How many calls of a model were sent with the key of which config."""
    return Counter(int(request.values("authorization")[0].rpartition("-")[2]) for request in upstream.of(model))


def charged_by(hub: Server, model: str) -> Counter[int]:
    """How many completed calls of a model were charged by the price of which config."""
    rows = hub.rows("SELECT cost_nano FROM usage WHERE model = ? AND outcome = 'completed'", model)
    return Counter(int(str(row["cost_nano"])) // CENT_NANO for row in rows)


@contextmanager
def under_way(hub: Server, key: str, model: str, count: int, *, stream: bool = True) -> Iterator[list[socket.socket]]:
    """Clients whose calls are with the upstream; of streams each has seen the first event. Both ways take turns."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(hub.url, timeout_s=20)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(request_bytes(CHAT, chat_body(model, stream=stream), key, *WAYS[number % 2]))
            assert not stream or FIRST in read_until(client, FIRST)
        yield clients


def ends(clients: list[socket.socket]) -> list[bytes]:
    """What is still sent to each client of a stream, its end as chunks end included."""
    return [read_until(client, b"\r\n0\r\n\r\n") for client in clients]


def held_stream(gate: Gate) -> Fault:
    return does(answers.streamed(FIRST, end=False), gate, REST)


# --- reloads ----------------------------------------------------------------------------------------------------------

RELOADS = 100
CALLERS = 6

BAD: Mapping[str, Callable[[str], str]] = {
    "no YAML": lambda good: good[:-1],
    "a field that does not exist": lambda good: good.replace("base_url", "base_ulr"),
    "a price below zero": lambda good: good.replace('"call": "', '"call": "-'),
    "a secret that is not there": lambda good: good.replace(UPSTREAM_KEY, "${NOBODY_SET_THIS}"),
}


@pytest.mark.fault(
    "P08", "100 reloads while calls go on all the time, half of them with a config that is bad in some way"
)
def test_reloads_under_load_fail_no_call(bench: Bench) -> None:
    """A bad config is refused and the one before serves on; no call fails, and each is sent with the key and charged by the
    price of one and the same config."""
    upstream, spoilt = bench.upstream, list(BAD.values())
    upstream.program("call-whole", GOOD)
    upstream.program("call-stream", STREAM)
    with calling(bench) as answered:
        for number in range(RELOADS):
            good = versioned(upstream.url, number + 2)
            text = spoilt[number // 2 % len(spoilt)](good) if number % 2 else good
            answer = reload(bench.hub, text, ok=text == good)
            assert answer["ok"] or answer["problems"]
            assert answered.acquire(timeout=10)
    assert bench.chat("call-whole").status == 200
    last_good = RELOADS  # the last reload had a bad one
    assert upstream.of("call-whole")[-1].values("authorization") == [f"Bearer {UPSTREAM_KEY}-{last_good}"]
    check_balances(bench.hub)
    for model in ("call-whole", "call-stream"):
        sent = sent_with(upstream, model)
        assert charged_by(bench.hub, model) == sent
        assert sum(sent.values()) == upstream.counters(model).executions
        assert len(sent) > RELOADS // 8, "the calls did not go on"
        assert not {number for number in sent if number % 2 and number > 1}, "a bad config was in force"


@contextmanager
def calling(bench: Bench) -> Iterator[threading.Semaphore]:
    """Callers who call, streamed and not, until the block ends; every call is answered to its end. The semaphore counts the
    answers."""
    over, answered = threading.Event(), threading.Semaphore(0)

    def calls(stream: bool) -> None:
        while not over.is_set():
            answer = bench.chat("call-stream" if stream else "call-whole", stream=stream)
            assert (answer.status, answer.whole, answer.done) == (200, True, stream), answer
            answered.release()

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(calls, number % 2 == 0) for number in range(CALLERS)]
        try:
            yield answered
        finally:
            over.set()
            for caller in callers:
                caller.result()


@pytest.mark.fault("R04", "prices, keys and deadlines change twice while 40 calls are under way, streamed and not")
def test_a_call_keeps_the_config_that_it_began_with(bench: Bench) -> None:
    """Each ends normally, within the deadlines and at the price that were in force when it began; a later call goes by
    the new ones."""
    upstream, gate = bench.upstream, Gate()
    upstream.program("call-open", *[held_stream(gate)] * 20, STREAM)
    upstream.program("call-waiting", *[pace.held(GOOD, gate)] * 20, GOOD)
    upstream.program("call-silent", pace.silence())
    waiting = under_way(bench.hub, bench.key, "call-waiting", 20, stream=False)
    with under_way(bench.hub, bench.key, "call-open", 20) as streams, waiting as unanswered:
        assert upstream.wait_for(lambda: upstream.counters("call-waiting").open == 20)
        reload(bench.hub, versioned(upstream.url, 7, HASTY))
        bench.fails_free("call-silent", 504)  # which takes as long as any call may wait from now on
        reload(bench.hub, versioned(upstream.url, 9))
        assert bench.chat("call-open", stream=True).done
        assert bench.chat("call-waiting").status == 200
        assert (upstream.counters("call-open").open, upstream.counters("call-waiting").open) == (20, 20)
        upstream.open(gate)
        assert [text.count(DONE) for text in ends(streams)] == [1] * 20
        assert [client.recv(12, socket.MSG_WAITALL) for client in unanswered] == [b"HTTP/1.1 200"] * 20
    check_balances(bench.hub)
    for model in ("call-open", "call-waiting"):
        assert sent_with(upstream, model) == charged_by(bench.hub, model) == {1: 20, 9: 1}


@pytest.mark.fault("R05", "a provider is removed, replaced by another one of its name and removed again in mid-stream")
def test_streams_of_a_provider_that_is_gone_end_normally(bench: Bench) -> None:
    """20 streams end normally, and their rows keep the provider's name and the price it had; while it is gone its model is a
    404, and what replaces it is charged by its own price."""
    upstream, gate = bench.upstream, Gate()
    upstream.program("gone", *[held_stream(gate)] * 20, GOOD)
    without = versioned(upstream.url, 1)
    reload(bench.hub, versioned(upstream.url, 1, goes=numbered(upstream.url, 3, "gone")))
    with under_way(bench.hub, bench.key, "gone", 20) as streams:
        reload(bench.hub, without)
        assert bench.chat("gone").status == 404
        reload(bench.hub, versioned(upstream.url, 1, goes=numbered(upstream.url, 5, "gone")))
        assert bench.chat("gone").status == 200
        reload(bench.hub, without)
        assert bench.chat("gone").status == 404
        assert upstream.counters("gone").open == 20
        upstream.open(gate)
        assert [text.count(DONE) for text in ends(streams)] == [1] * 20
    check_balances(bench.hub)
    assert sent_with(upstream, "gone") == charged_by(bench.hub, "gone") == {3: 20, 5: 1}
    assert bench.hub.rows("SELECT DISTINCT provider FROM usage WHERE model = 'gone'") == [{"provider": "goes"}]


# --- SIGTERM ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("L8", "SIGTERM with 30 open streams and 20 calls that have no answer yet")
def test_what_is_under_way_ends_normally_before_the_server_does(upstream: FaultUpstream, tmp_path: Path) -> None:
    """New connections are refused, a new call on a kept one is 503 with Retry-After and never sent; every stream ends
    normally, every call is answered, each is charged once, and the exit is clean."""
    gate = Gate()
    upstream.program("call-last", held_stream(gate))
    upstream.program("call-late", pace.held(GOOD, gate))
    upstream.program("call-new", GOOD)
    with running(tmp_path, versioned(upstream.url, 1)) as hub:
        key = new_key(hub, "k")
        address = urlsplit(hub.url)
        late = under_way(hub, key, "call-late", 20, stream=False)
        with under_way(hub, key, "call-last", 30) as streams, late as unanswered, connected(hub.url) as kept:
            assert upstream.wait_for(lambda: upstream.counters("call-late").open == 20)
            kept.sendall(request_bytes(CHAT, chat_body("call-new"), key))
            assert b"200 OK" in read_until(kept, b"\n}")
            hub.terminate()
            hub.wait_until(lambda: not accepts(str(address.hostname), address.port or 80), within_s=5)
            kept.sendall(request_bytes(CHAT, chat_body("call-new"), key))
            refusal = read_until(kept, b"}}")
            assert refusal.startswith(b"HTTP/1.1 503"), refusal
            assert b"retry-after: " in refusal.lower()
            assert b'"draining"' in refusal
            assert (upstream.counters("call-last").open, upstream.counters("call-late").open) == (30, 20)
            upstream.open(gate)
            assert [text.count(DONE) for text in ends(streams)] == [1] * 30
            assert [client.recv(12, socket.MSG_WAITALL) for client in unanswered] == [b"HTTP/1.1 200"] * 20
        assert hub.wait() == 0
        check_balances(hub)
        check_ledger(hub)
    assert upstream.counters("call-new").executions == 1
    for model, count in (("call-last", 30), ("call-late", 20), ("call-new", 1)):
        assert charged_by(hub, model) == {1: count}
