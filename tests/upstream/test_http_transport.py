"""The transport: every wait has a deadline, every failure says whether the request may have been executed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from relayhub.sdk.transport import Transport
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import Deadlines, HttpReply, HttpRequest
from relayhub.upstream.body import read_error, read_whole
from relayhub.upstream.client import HttpTransport
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from tests.support.raw_upstream import answer_then_close, answer_then_hang, chunked, hang, http, raw_upstream

LONG_S = 15.0
PATIENT = Deadlines(LONG_S, LONG_S, LONG_S, total_s=2 * LONG_S)
BRIEFLY_S = 0.2
"""The one deadline that is to be met."""


@pytest.fixture(params=[LeanTransport, HttpTransport])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    transport: Transport = request.param(NetworkOptions(), "relayhub/test")
    yield transport
    await transport.close()


async def post(transport: Transport, url: str, body: bytes = b"{}", deadlines: Deadlines = PATIENT) -> HttpReply:
    request = HttpRequest("POST", url, {"content-type": "application/json"}, body)
    async with transport.send(request, deadlines) as reply:
        return await read_whole(reply)


async def failure(transport: Transport, url: str, deadlines: Deadlines = PATIENT) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await post(transport, url, deadlines=deadlines)
    return caught.value


async def test_relays_status_headers_and_body(transport: Transport) -> None:
    async with raw_upstream(http(b'{"a":1}', status="201 Created", headers="X-Seen: Yes")) as upstream:
        reply = await post(transport, upstream.url)
    assert (reply.status, reply.headers["x-seen"], reply.body) == (201, "Yes", b'{"a":1}')


async def test_sends_only_the_headers_it_was_given_and_its_own(transport: Transport) -> None:
    async with raw_upstream(http(b"{}")) as upstream:
        await post(transport, upstream.url + "/v1/x?a=%2F", b'{"b":2}')
    head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert head.startswith(b"POST /v1/x?a=%2F HTTP/1.1")
    assert names == {b"host", b"content-type", b"content-length", b"user-agent", b"accept-encoding"}
    assert body == b'{"b":2}'


async def test_a_body_over_one_megabyte_arrives_whole(transport: Transport) -> None:
    body = b'"' + b"x" * (3 << 20) + b'"'
    async with raw_upstream(http(b"{}")) as upstream:
        await post(transport, upstream.url, body)
    assert upstream.requests[0].endswith(b"\r\n\r\n" + body)
    assert f"content-length: {len(body)}".encode() in upstream.requests[0][:500].lower()


async def test_connections_are_kept_for_the_next_request(transport: Transport) -> None:
    async with raw_upstream(http(b"{}"), chunked(b"data: 1\n\n")) as upstream:
        for _ in range(3):
            await post(transport, upstream.url)
    assert (len(upstream.requests), upstream.connections) == (3, 1)


async def test_a_refused_connection_was_certainly_not_delivered(transport: Transport) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = await failure(transport, f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert (error.code, error.retryable, error.delivered) == ("upstream_unreachable", True, False)


async def test_an_unknown_host_was_certainly_not_delivered(transport: Transport) -> None:
    error = await failure(transport, "http://no-such-host.invalid", replace(PATIENT, connect_s=BRIEFLY_S))
    assert (error.code, error.delivered) == ("upstream_unreachable", False)


async def test_a_connection_that_never_completes_ends_at_the_connect_deadline(transport: Transport) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        error = await failure(transport, f"http://127.0.0.1:{address[1]}", replace(PATIENT, connect_s=BRIEFLY_S))
        for filler in fillers:
            filler.close()
    assert (error.code, error.delivered) == ("upstream_unreachable", False)


async def test_tls_to_a_plain_server_was_certainly_not_delivered(transport: Transport) -> None:
    async with raw_upstream(http(b"{}")) as upstream:
        error = await failure(transport, upstream.url.replace("http", "https"), replace(PATIENT, connect_s=BRIEFLY_S))
    assert (error.code, error.delivered) == ("upstream_unreachable", False)


async def test_silence_after_the_request_ends_at_the_first_byte_deadline(transport: Transport) -> None:
    async with raw_upstream(hang) as upstream:
        error = await failure(transport, upstream.url, replace(PATIENT, first_byte_s=BRIEFLY_S))
        await asyncio.wait_for(upstream.closed.wait(), LONG_S)
    assert (error.kind, error.delivered, error.retryable) == (ErrorKind.UPSTREAM_TIMEOUT, True, False)


async def test_a_reset_before_the_head_is_ambiguous(transport: Transport) -> None:
    async with raw_upstream(answer_then_close(b"")) as upstream:
        error = await failure(transport, upstream.url)
    assert (error.code, error.delivered, error.retryable) == ("upstream_disconnected", True, False)


async def test_silence_in_the_body_ends_at_the_idle_deadline(transport: Transport) -> None:
    async with raw_upstream(answer_then_hang(chunked(b"data: 1\n\n", end=False))) as upstream:
        error = await failure(transport, upstream.url, replace(PATIENT, idle_s=BRIEFLY_S))
        await asyncio.wait_for(upstream.closed.wait(), LONG_S)
    assert (error.kind, error.delivered) == (ErrorKind.UPSTREAM_TIMEOUT, True)


async def test_a_body_that_never_ends_ends_at_the_total_deadline(transport: Transport) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(end=False))
        while not writer.is_closing():
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_upstream(drip) as upstream:
        error = await failure(transport, upstream.url, replace(PATIENT, total_s=2 * BRIEFLY_S))
    assert (error.kind, "complete answer" in error.message) == (ErrorKind.UPSTREAM_TIMEOUT, True)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", id="short content-length"),
        pytest.param(chunked(b"data: 1\n\n", end=False), id="chunked without an end"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", id="bad chunk size"),
        pytest.param(http(b"not gzip", headers="content-encoding: gzip"), id="gzip header, plain body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", id="bad header line"),
    ],
)
async def test_a_broken_answer_is_an_error_and_its_connection_is_not_reused(
    transport: Transport, answer: bytes
) -> None:
    async with raw_upstream(answer_then_close(answer), http(b"{}")) as upstream:
        error = await failure(transport, upstream.url)
        await post(transport, upstream.url)
    assert (error.kind, error.delivered) == (ErrorKind.UPSTREAM_FAILED, True)
    assert upstream.connections == 2


async def test_redirects_are_not_followed(transport: Transport) -> None:
    async with raw_upstream(http(b"", status="302 Found", headers="location: http://127.0.0.1:1/")) as upstream:
        assert (await post(transport, upstream.url)).status == 302


async def test_an_error_body_is_read_up_to_its_cap(transport: Transport) -> None:
    async with (
        raw_upstream(http(b"x" * (1 << 20), status="500 Oops")) as upstream,
        transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply,
    ):
        assert len((await read_error(reply)).body) == 64 << 10


async def test_leaving_early_drops_the_connection(transport: Transport) -> None:
    async with raw_upstream(answer_then_hang(chunked(b"data: 1\n\n", end=False))) as upstream:
        async with (
            transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply,
            aclosing(reply.chunks()) as chunks,
        ):
            assert await anext(chunks) == b"data: 1\n\n"
        await asyncio.wait_for(upstream.closed.wait(), LONG_S)


async def test_cancellation_drops_the_connection(transport: Transport) -> None:
    async with raw_upstream(hang) as upstream:
        task = asyncio.create_task(post(transport, upstream.url, deadlines=Deadlines()))
        while not upstream.requests:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait_for(upstream.closed.wait(), LONG_S)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_proxy_is_used_for_every_request() -> None:
    transport = HttpTransport(NetworkOptions(proxy="http://127.0.0.1:1"), "relayhub/test")
    async with raw_upstream(http(b"{}")) as upstream, raw_upstream(http(b'{"via":"proxy"}')) as proxy:
        transport = HttpTransport(NetworkOptions(proxy=proxy.url), "relayhub/test")
        reply = await post(transport, upstream.url + "/v1")
        await transport.close()
    assert reply.body == b'{"via":"proxy"}'
    assert proxy.requests[0].startswith(f"POST {upstream.url}/v1 HTTP/1.1".encode())
    assert upstream.requests == []
