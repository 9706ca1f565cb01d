"""The fault upstream itself: it does what it is told, byte for byte, and its counters are the truth."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayhub.testing import Hang
from relayhub.testing.faults import Close, Fault, FaultUpstream, Reset, answers, does, doors, pace, sizes
from tests.faults.asking import ask, chat_body, connected, read_all, read_until, request_bytes

GOOD = answers.whole(b"{}")


@pytest.fixture
def upstream() -> Iterator[FaultUpstream]:
    upstream = FaultUpstream()
    with upstream.in_thread():
        yield upstream


def exchange(upstream: FaultUpstream, name: str, *, close: bool = True) -> bytes:
    with connected(upstream.url) as raw:
        raw.sendall(request_bytes("/", chat_body(name), "k"))
        return read_all(raw) if close else read_until(raw, b"{}")


def test_it_sends_exactly_the_bytes_it_is_told(upstream: FaultUpstream) -> None:
    upstream.program("m", does(b"HTTP/1.1 299 \x00\xff\r\n", b"no end", Close()))
    assert exchange(upstream, "m") == b"HTTP/1.1 299 \x00\xff\r\nno end"
    assert upstream.counters("m").bytes_sent == len(b"HTTP/1.1 299 \x00\xff\r\nno end")


def test_answers_are_given_in_turn_and_the_last_one_repeats(upstream: FaultUpstream) -> None:
    upstream.program("m", answers.whole(b"1"), answers.whole(b"2"))
    assert [ask(upstream.url, "POST", "/", chat_body("m")).body for _ in range(3)] == [b"1", b"2", b"2"]
    assert upstream.counters("m").requests == 3


def test_requests_of_one_connection_share_its_number(upstream: FaultUpstream) -> None:
    upstream.program("m", GOOD)
    with connected(upstream.url) as raw:
        for _ in range(2):
            raw.sendall(request_bytes("/", chat_body("m"), "k"))
            read_until(raw, b"{}")
    exchange(upstream, "m", close=False)
    assert [request.connection for request in upstream.of("m")] == [1, 1, 2]
    assert upstream.counters("m").connections == 2


def test_a_reset_is_a_reset_and_a_close_is_an_end(upstream: FaultUpstream) -> None:
    upstream.program("reset", does(Reset()))
    upstream.program("close", does(b"x", Close()))
    with connected(upstream.url) as raw:
        raw.sendall(request_bytes("/", chat_body("reset"), "k"))
        with pytest.raises(ConnectionResetError):
            raw.recv(10)
    assert exchange(upstream, "close") == b"x"
    assert (upstream.counters("reset").aborts, upstream.counters("close").aborts) == (0, 0)


@pytest.mark.parametrize(
    "fault", [pace.silence(), pace.endless_stream(b"data: x\n\n"), pace.trickle(b"x" * 1000, 0.05)]
)
def test_a_client_that_leaves_is_an_abort(upstream: FaultUpstream, fault: Fault) -> None:
    upstream.program("m", fault)
    with connected(upstream.url) as raw:
        raw.sendall(request_bytes("/", chat_body("m"), "k"))
        assert upstream.wait_for(lambda: upstream.counters("m").open == 1)
    assert upstream.wait_for(lambda: upstream.counters("m").open == 0)
    assert upstream.counters("m").aborts == 1


def test_what_is_not_executed_is_not_counted_as_such(upstream: FaultUpstream) -> None:
    upstream.program("m", does(GOOD, executed=False), GOOD)
    for _ in range(3):
        exchange(upstream, "m", close=False)
    assert (upstream.counters("m").requests, upstream.counters("m").executions) == (3, 2)


def test_a_reader_that_stops_holds_the_flood_back(upstream: FaultUpstream) -> None:
    upstream.program("m", sizes.long_body(512 << 20))
    with connected(upstream.url, receive_buffer=64 << 10) as raw:
        raw.sendall(request_bytes("/", chat_body("m"), "k"))
        sent = [-1]
        while upstream.counters("m").bytes_sent != sent[-1]:
            sent.append(upstream.counters("m").bytes_sent)
            upstream.wait_for(lambda: upstream.counters("m").bytes_sent > sent[-1], 0.3)
        assert 0 < sent[-1] < 64 << 20


def test_an_unknown_name_is_noted(upstream: FaultUpstream) -> None:
    assert ask(upstream.url, "POST", "/", chat_body("nobody")).status == 404
    assert upstream.unknown == ["nobody"]


def test_a_request_in_doubt_is_dropped(upstream: FaultUpstream) -> None:
    upstream.program("m", GOOD)
    with connected(upstream.url) as raw:
        raw.sendall(request_bytes("/", chat_body("m"), "k", "transfer-encoding: chunked"))
        assert read_all(raw) == b""
    assert upstream.total.requests == 0


def test_chunked_requests_are_read(upstream: FaultUpstream) -> None:
    upstream.program("m", GOOD)
    with connected(upstream.url) as raw:
        body = answers.chunks(*[bytes([byte]) for byte in chat_body("m")]) + answers.LAST_CHUNK
        raw.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + body)
        assert read_until(raw, b"{}") == GOOD
    assert upstream.of("m")[0].body == chat_body("m")


def test_a_refusing_port_refuses_and_a_deaf_one_never_answers() -> None:
    with doors.refusing_port() as refusing, pytest.raises(ConnectionRefusedError), connected(refusing):
        pass
    with doors.deaf_port() as deaf, pytest.raises(TimeoutError), connected(deaf, timeout_s=0.3):
        pass


def test_certificates_are_what_they_say(tmp_path: Path) -> None:
    ours = doors.Authority.create(tmp_path)
    upstream = FaultUpstream(tls=ours.server())
    with upstream.in_thread():
        trusting = ssl.create_default_context(cafile=str(ours.ca_file))
        with connected(upstream.url) as raw, trusting.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
            assert secure.version() is not None
        with (
            connected(upstream.url) as raw,
            pytest.raises(ssl.SSLCertVerificationError),
            ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1"),
        ):
            pass


def test_what_is_done_to_a_new_connection_comes_before_any_request() -> None:
    greeting = FaultUpstream(accepts=(b"220 hello\r\n", Close()))
    silent = FaultUpstream(accepts=(Hang(),))
    with greeting.in_thread(), silent.in_thread():
        with connected(greeting.url) as raw:
            assert read_all(raw) == b"220 hello\r\n"
        with connected(silent.url, timeout_s=0.2) as raw:
            raw.sendall(request_bytes("/", b"{}", "k"))
            with pytest.raises(TimeoutError):
                raw.recv(1)
        assert (silent.total.connections, silent.total.requests) == (1, 0)
