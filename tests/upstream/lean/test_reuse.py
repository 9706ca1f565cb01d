"""A connection is used again only if nothing speaks against it, and a request repeated only if it may be."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from relayhub.types.http import Effect, HttpRequest
from relayhub.upstream.lean.transport import LeanTransport
from tests.support.raw_upstream import Script, answer_then_close, chunked, http, raw_upstream
from tests.upstream.lean.sending import PATIENT, failure, post, until

OK = http(b"{}")


async def test_a_paid_request_is_not_repeated_when_a_kept_connection_ends_after_it(transport: LeanTransport) -> None:
    async with raw_upstream(OK, answer_then_close(b""), OK) as upstream:
        await post(transport, upstream.url)
        error = await failure(transport, upstream.url)
    assert (error.code, error.delivered, error.retryable) == ("upstream_disconnected", True, False)
    assert (len(upstream.requests), upstream.connections) == (2, 1)


async def test_a_free_request_is_repeated_once_on_a_new_connection(transport: LeanTransport) -> None:
    async with raw_upstream(OK, answer_then_close(b""), OK) as upstream:
        await post(transport, upstream.url)
        assert (await post(transport, upstream.url, effect=Effect.NONE)).status == 200
    assert (len(upstream.requests), upstream.connections) == (3, 2)


async def test_the_repetition_is_not_repeated(transport: LeanTransport) -> None:
    async with raw_upstream(OK, answer_then_close(b"")) as upstream:
        await post(transport, upstream.url)
        error = await failure(transport, upstream.url, effect=Effect.NONE)
    assert (error.code, error.delivered) == ("upstream_disconnected", True)
    assert (len(upstream.requests), upstream.connections) == (3, 2)


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_free_request_is_not_repeated_once_an_answer_has_begun(transport: LeanTransport, begun: bytes) -> None:
    async with raw_upstream(OK, answer_then_close(begun), OK) as upstream:
        await post(transport, upstream.url)
        await failure(transport, upstream.url, effect=Effect.NONE)
    assert len(upstream.requests) == 2


async def test_a_free_request_is_not_repeated_when_a_new_connection_ends(transport: LeanTransport) -> None:
    async with raw_upstream(answer_then_close(b""), OK) as upstream:
        await failure(transport, upstream.url, effect=Effect.NONE)
    assert len(upstream.requests) == 1


async def test_a_connection_that_has_ended_unnoticed_is_not_written_to(transport: LeanTransport) -> None:
    """The loop is busy while the upstream closes; the end lies in the socket when the next request comes."""
    close, closed = threading.Event(), threading.Event()
    accepted: list[socket.socket] = []

    def serve() -> None:
        with listener:
            for number in range(2):
                connection, _ = listener.accept()
                accepted.append(connection)
                connection.recv(1 << 16)
                connection.sendall(OK)
                if number == 0:
                    close.wait(5)
                connection.close()
                closed.set()

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = threading.Thread(target=serve)
    server.start()
    await post(transport, url)
    close.set()
    assert closed.wait(5)
    assert (await post(transport, url)).status == 200
    server.join(5)
    assert len(accepted) == 2


def script(*answers: bytes, gate: asyncio.Event | None = None) -> Script:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, answer in enumerate(answers):
            if number and gate is not None:
                await gate.wait()
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return run


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http(b"{}", headers="connection: close"), id="it says close"),
        pytest.param(OK.replace(b"1.1", b"1.0", 1), id="version 1.0"),
        pytest.param(OK + OK, id="a second answer right behind"),
        pytest.param(chunked(b"{}") + b"x", id="a byte after the last chunk"),
        pytest.param(http(b"{}", headers="keep-alive: timeout=1"), id="it keeps connections too briefly"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}", id="a body where none may be"),
    ],
)
async def test_answers_after_which_a_connection_is_dropped(transport: LeanTransport, answer: bytes) -> None:
    async with raw_upstream(script(answer), OK) as upstream:
        assert (await post(transport, upstream.url)).status in (200, 204)
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert (await post(transport, upstream.url)).body == b"{}"
    assert upstream.connections == 2


async def test_a_body_without_length_ends_with_its_connection(transport: LeanTransport) -> None:
    async with raw_upstream(answer_then_close(b"HTTP/1.1 200 OK\r\n\r\nall of it"), OK) as upstream:
        assert (await post(transport, upstream.url)).body == b"all of it"
        await post(transport, upstream.url)
    assert upstream.connections == 2


async def test_bytes_that_nobody_asked_for_drop_an_idle_connection(transport: LeanTransport) -> None:
    gate = asyncio.Event()
    async with raw_upstream(script(OK, OK, gate=gate), http(b'{"mine":1}')) as upstream:
        await post(transport, upstream.url)
        gate.set()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert (await post(transport, upstream.url)).body == b'{"mine":1}'


async def test_the_end_of_the_framing_may_come_after_the_reader_has_left(transport: LeanTransport) -> None:
    gate = asyncio.Event()

    async def late_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"data: [DONE]\n\n", end=False))
        await gate.wait()
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"{}")
        writer.write(OK)
        await writer.drain()

    async with raw_upstream(late_end) as upstream:
        async with transport.send(HttpRequest("POST", upstream.url, {}, b"{}"), PATIENT) as reply:
            assert await anext(reply.chunks()) == b"data: [DONE]\n\n"
        assert transport.pool.free == 0
        gate.set()
        await until(lambda: transport.pool.free == 1)
        assert (await post(transport, upstream.url)).body == b"{}"
    assert upstream.connections == 1


async def test_a_reader_that_leaves_a_large_answer_drops_the_connection(transport: LeanTransport) -> None:
    async with raw_upstream(script(http(b"x" * (8 << 20)))) as upstream:
        async with transport.send(HttpRequest("POST", upstream.url, {}, b"{}"), PATIENT) as reply:
            assert reply.status == 200
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert transport.pool.free == 0
