"""A client that is slow on purpose or gone: it holds little, not for long, and pays for what it got."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from relayhub.testing.faults import FaultUpstream, answers, pace
from relayhub.web.listener import HEAD_S
from tests.faults.asking import CHAT, chat_body, connected, read_all, read_until, request_bytes
from tests.faults.bench import LATE_S, Bench, config, provider
from tests.faults.memory import MIB, open_files, resident_bytes
from tests.support.openai_wire import DONE, chunk, completion

GOOD = answers.whole(completion("m"))
BODY_S = 1.0
FLOOD = chunk("m", content="word " * 1000)
HALVES = 300


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    patient = {"connect_s": 5, "first_byte_s": 30, "idle_s": 30, "total_s": 60}
    return config({"up": provider(upstream.url, "*", timeouts=patient)}, {"body_timeout_s": BODY_S})


@dataclass(frozen=True, slots=True)
class Half:
    """What a client was told that has sent half of a request's head, and how long after it came this was."""

    text: bytes
    took_s: float


@pytest.fixture(scope="module", autouse=True)
def halves(shared_bench: Bench) -> Iterator[Future[list[Half]]]:
    """They are there during all tests of this file; the last one looks at what became of them."""
    with ExitStack() as stack:
        since: dict[socket.socket, float] = {}
        for number in range(HALVES):
            began = time.monotonic()
            raw = stack.enter_context(connected(shared_bench.hub.url))
            raw.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: hub\r\nx-number: {number}".encode())
            since[raw] = began
        yield stack.enter_context(ThreadPoolExecutor(1)).submit(ends, since)
        for raw in since:
            with suppress(OSError):  # it has ended
                raw.shutdown(socket.SHUT_RDWR)


def ends(since: dict[socket.socket, float]) -> list[Half]:
    """Of all these connections, each looked at when it happens."""
    found: list[Half] = []
    with selectors.DefaultSelector() as waiting:
        for raw in since:
            waiting.register(raw, selectors.EVENT_READ, raw)
        while waiting.get_map() and (ready := waiting.select(HEAD_S + 5)):
            now = time.monotonic()
            for raw in (key.data for key, _ in ready):
                waiting.unregister(raw)
                found.append(Half(read_all(raw), now - since[raw]))
    return found


@pytest.mark.fault("C01", "the client leaves before the first byte")
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_first_byte(bench: Bench, stream: bool) -> None:
    """The upstream's connection is closed within 2 s; the row says who left."""
    model = f"left-{stream}"
    bench.upstream.program(model, pace.silence())
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=stream), bench.key))
        assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 1, 2)
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, 2)
    assert bench.row(model)["outcome"] == "client_left"
    assert bench.upstream.counters(model).aborts == 1


@pytest.mark.fault("L10", "the client leaves after the first event, in the middle, before the last")
@pytest.mark.parametrize("seen", [1, 5, 9])
def test_a_client_that_leaves_in_mid_stream_pays_for_what_it_got(bench: Bench, seen: int) -> None:
    """The upstream's connection is closed within 2 s; what was delivered is charged, never more than the whole."""
    model = f"partly-{seen}"
    pieces = [chunk(model, content=f"word {number} " * 30) for number in range(10)]
    bench.upstream.program(
        model, pace.stalls_after(*pieces[:seen]), answers.streamed(*pieces, chunk(model, finish="stop"), DONE)
    )
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=True), bench.key))
        read_until(raw, pieces[seen - 1])
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, 2)
    partly = bench.charged(model)
    assert bench.row(model)["outcome"] == "client_left"
    assert bench.chat(model, stream=True).done
    assert 0 < partly <= bench.charged(model) - partly


@pytest.mark.fault("C05", "the body of a request comes too slowly, or never")
@pytest.mark.parametrize("sent", [0, 10])
def test_a_slow_body_is_a_408(bench: Bench, sent: int) -> None:
    """408 at the body limit, the last answer on this connection; nothing is sent upstream, charge 0."""
    body = chat_body("slow-body")
    with connected(bench.hub.url) as raw:
        started = time.monotonic()
        raw.sendall(request_bytes(CHAT, body[:sent], bench.key, length=len(body)))
        answer = read_until(raw, b"}")
        assert BODY_S - 0.05 <= time.monotonic() - started <= BODY_S + LATE_S
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert bench.upstream.counters("slow-body").requests == 0


@pytest.mark.fault("L7", "a client reads nothing while the upstream floods")
def test_a_client_that_does_not_read_holds_the_upstream_back(bench: Bench) -> None:
    """The upstream is held back below 32 MiB; once the client is gone its connection is closed within 2 s."""
    bench.upstream.program("unread", pace.endless_stream(FLOOD))
    counters = bench.upstream.counters("unread")
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("unread", stream=True), bench.key))
        assert bench.upstream.wait_for(lambda: counters.open == 1, 2)
        sent = [-1]
        while counters.bytes_sent != sent[-1]:
            sent.append(counters.bytes_sent)
            bench.upstream.wait_for(lambda: counters.bytes_sent > sent[-1], 0.5)
        assert counters.bytes_sent <= 32 * MIB
    assert bench.upstream.wait_for(lambda: counters.open == 0, 2)
    assert bench.row("unread")["outcome"] == "client_left"


@pytest.mark.fault("L7", "ten clients read nothing while their upstreams flood")
def test_memory_does_not_grow_with_clients_that_do_not_read(bench: Bench) -> None:
    """Memory stops growing below 1 MiB for each; their connections are closed once they are gone."""
    clients = 10
    bench.upstream.program("many", pace.endless_stream(FLOOD))
    counters = bench.upstream.counters("many")
    pid = bench.hub.process.pid
    before, files = resident_bytes(pid), open_files(pid)
    with ExitStack() as waiting:
        for _ in range(clients):
            raw = waiting.enter_context(connected(bench.hub.url, receive_buffer=64 << 10))
            raw.sendall(request_bytes(CHAT, chat_body("many", stream=True), bench.key))
        assert bench.upstream.wait_for(lambda: counters.open == clients, 5)
        sent = [-1]
        while counters.bytes_sent != sent[-1]:
            sent.append(counters.bytes_sent)
            bench.upstream.wait_for(lambda: counters.bytes_sent > sent[-1], 0.5)
        assert resident_bytes(pid) - before <= clients * MIB
    assert bench.upstream.wait_for(lambda: counters.open == 0, 4)
    bench.hub.wait_until(lambda: open_files(pid) <= files + 5, within_s=3)


@pytest.mark.fault("L7", "a client reads one byte now and then")
def test_a_client_that_reads_slowly_gets_everything(bench: Bench) -> None:
    """Every byte arrives in order, and the normal end."""
    pieces = [chunk("sips", content=f"{number} " * 50) for number in range(200)]
    bench.upstream.program("sips", answers.streamed(*pieces, chunk("sips", finish="stop"), DONE))
    seen = b""
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("sips", stream=True), bench.key, "connection: close"))
        while data := raw.recv(997):
            seen += data
    assert [piece for piece in pieces if piece not in seen] == []
    assert DONE in seen


@pytest.mark.fault("C21", "the client closes its sending side after the request")
def test_a_half_closed_connection_counts_as_left(bench: Bench) -> None:
    """Taken for a client that has left, as over TCP both look alike: the upstream is closed within 2 s, the row says so."""
    bench.upstream.program("half", pace.silence())
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("half"), bench.key))
        assert bench.upstream.wait_for(lambda: bench.upstream.counters("half").open == 1, 2)
        raw.shutdown(1)
        assert bench.upstream.wait_for(lambda: bench.upstream.counters("half").open == 0, 2)
    assert bench.row("half")["outcome"] == "client_left"


@pytest.mark.fault("T8", "300 clients send half of a head and stay (slowloris)")
def test_half_sent_heads_are_not_waited_for(bench: Bench, halves: Future[list[Half]]) -> None:
    """408 and a closed connection after 10 s; everybody else is served meanwhile."""
    bench.upstream.program("meanwhile", GOOD)
    assert bench.chat("meanwhile").status == 200
    found = halves.result(4 * HEAD_S)
    assert [half.text[:13] for half in found] == [b"HTTP/1.1 408 "] * HALVES
    assert min(half.took_s for half in found) >= HEAD_S - 0.05
    assert max(half.took_s for half in found) <= HEAD_S + 2 * LATE_S
