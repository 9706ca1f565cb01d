"""Load and mock upstream against each other, and the load against upstreams that break what it counts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bench.load import Figures, Load, Spread, Task
from tests.bench.wire import STREAM_HEAD, chunk_template, plain_body, stream_tail

CHUNK = chunk_template() % 1
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Answering = Callable[[socket.socket], None]


@contextmanager
def upstream(answer: Answering) -> Iterator[int]:
    """One that reads what one read brings and answers it with ``answer``, connection by connection, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1 << 16)
                        answer(connection)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def one_call(port: int) -> Figures:
    return Load(Task(port, connections=1, patience_s=2)).run()


def one_stream(port: int) -> Figures:
    return Load(Task(port, streams=1, chunks=2, ramp_s=0, patience_s=2)).run()


def test_connections_ask_again_until_their_time_is_over(upstream_port: int) -> None:
    figures = Load(Task(upstream_port, connections=3, seconds=0.3)).run()
    assert figures.done > 30
    assert figures.errors == 0
    assert 0.3 <= figures.wall_s < 2
    assert figures.took is not None
    assert 0 < figures.took.p50_us <= figures.took.p99_us <= figures.took.max_us


def test_connections_ask_until_there_were_so_many_calls(upstream_port: int) -> None:
    figures = Load(Task(upstream_port, connections=3, calls=50)).run()
    assert (figures.done, figures.errors) == (50, 0)


def test_a_body_of_a_megabyte_arrives_and_is_answered(upstream_port: int) -> None:
    assert 1_000_000 < len(plain_body(1024)) <= 1 << 20
    figures = Load(Task(upstream_port, connections=2, seconds=0.2, size_kib=1024)).run()
    assert figures.done >= 2
    assert figures.errors == 0


def test_streams_come_chunk_by_chunk_at_their_pace(upstream_port: int) -> None:
    figures = Load(Task(upstream_port, streams=4, chunks=10, interval_ms=20, ramp_s=0.1)).run()
    assert (figures.done, figures.chunks, figures.errors) == (4, 40, 0)
    assert figures.took is not None
    assert figures.took.p50_us >= 9 * 20_000, "nine pauses lie between ten chunks"
    assert figures.delay is not None
    assert figures.delay.p50_us < 20_000, "a chunk is timed from its own writing, not from its stream's beginning"


def test_an_answer_that_is_not_200_is_counted() -> None:
    with upstream(lambda to: to.sendall(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy")) as port:
        figures = one_call(port)
    assert (figures.done, figures.not_200, figures.errors) == (0, 1, 1)
    assert "503" in figures.first_error
    assert "busy" in figures.first_error


@pytest.mark.parametrize("said", [b"", REPLY[:20], REPLY[:-1]], ids=["nothing", "half a head", "half a body"])
def test_an_answer_that_is_broken_off_is_counted(said: bytes) -> None:
    with upstream(lambda to: to.sendall(said)) as port:
        figures = one_call(port)
    assert (figures.done, figures.broken, figures.errors) == (0, 1, 1)


def test_a_gateway_that_nobody_runs_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    figures = one_call(port)
    assert (figures.done, figures.broken) == (0, 1)
    assert "refused" in figures.first_error


def test_a_stream_with_a_chunk_missing_is_counted() -> None:
    with upstream(lambda to: to.sendall(STREAM_HEAD + CHUNK + stream_tail(2))) as port:
        figures = one_stream(port)
    assert (figures.done, figures.short, figures.errors) == (0, 1, 1)


def test_a_stream_without_its_end_is_counted() -> None:
    with upstream(lambda to: to.sendall(STREAM_HEAD + CHUNK + CHUNK)) as port:
        figures = one_stream(port)
    assert (figures.done, figures.broken, figures.errors) == (0, 1, 1)


def test_an_answer_that_never_comes_is_given_up_and_counted() -> None:
    over = threading.Event()

    def wait(_: socket.socket) -> None:
        over.wait(30)

    with upstream(wait) as port:
        figures = Load(Task(port, connections=1, patience_s=0.2)).run()
        over.set()
    assert (figures.done, figures.unfinished, figures.errors) == (0, 1, 1)


def test_a_chunk_that_arrives_in_two_parts_is_one_chunk() -> None:
    middle = len(STREAM_HEAD) + len(CHUNK) - 20
    whole = STREAM_HEAD + CHUNK + CHUNK + stream_tail(2)
    first_is_read = threading.Event()

    def answer(to: socket.socket) -> None:
        to.sendall(whole[:middle])
        first_is_read.wait(0.1)
        to.sendall(whole[middle:])

    with upstream(answer) as port:
        figures = one_stream(port)
    assert (figures.done, figures.chunks, figures.errors) == (1, 2, 0)


def test_a_spread_is_in_microseconds() -> None:
    assert Spread.of([]) is None
    assert Spread.of([nanoseconds * 1000 for nanoseconds in range(100, 0, -1)]) == Spread(51.0, 100.0, 100.0)
