"""Handing a body on: the same for every transport, whether it pushes or is pulled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from relayhub.sdk.transport import Transport
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.body import relay
from relayhub.upstream.client import HttpTransport
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.network import open_transport
from relayhub.upstream.options import NetworkOptions
from tests.support.raw_upstream import Script, answer_then_close, chunked, raw_upstream


@pytest.fixture(params=[LeanTransport, HttpTransport])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    transport: Transport = request.param(NetworkOptions(), "relayhub/test")
    yield transport
    await transport.close()


class Reader:
    """Takes bytes; pauses after every piece, and wants no more once it has seen ``last``."""

    def __init__(self, last: bytes = b"never") -> None:
        self.seen = b""
        self.pauses = 0
        self._last = last

    def take(self, data: bytes) -> bool:
        self.seen += data
        return False

    async def go_on(self) -> bool:
        self.pauses += 1
        return self._last not in self.seen


async def relayed(transport: Transport, answer: bytes | Script, reader: Reader) -> None:
    async with raw_upstream(answer) as upstream, transport.send(HttpRequest("GET", upstream.url), Deadlines()) as reply:
        await relay(reply, reader.take, reader.go_on)


async def test_a_whole_body_is_handed_on(transport: Transport) -> None:
    reader = Reader()
    await relayed(transport, chunked(b"a", b"b", b"c"), reader)
    assert reader.seen == b"abc"
    assert reader.pauses >= 1


async def test_nothing_comes_after_the_reader_has_enough(transport: Transport) -> None:
    reader = Reader(last=b"[DONE]")
    await relayed(transport, chunked(b"data: [DONE]\n\n", end=False), reader)
    assert (reader.seen, reader.pauses) == (b"data: [DONE]\n\n", 1)


async def test_a_body_that_breaks_off_is_an_error_after_what_came(transport: Transport) -> None:
    reader = Reader()
    with pytest.raises(UpstreamError) as caught:
        await relayed(transport, answer_then_close(chunked(b"a", end=False)), reader)
    assert caught.value.code == "upstream_truncated"
    assert reader.seen in (b"a", b"")  # a pulled body may lose what came in the same moment


async def test_what_the_reader_raises_comes_out(transport: Transport) -> None:
    class Bad(Reader):
        def take(self, data: bytes) -> bool:
            raise KeyError(data)

    with pytest.raises(KeyError):
        await relayed(transport, chunked(b"a"), Bad())


async def test_a_transport_of_a_plugins_own_is_pulled() -> None:
    class Reply:
        status = 200
        headers: Mapping[str, str] = {}

        async def chunks(self) -> AsyncGenerator[bytes, None]:
            yield b"a"
            yield b"b"

    reader = Reader(last=b"a")
    await relay(Reply(), reader.take, reader.go_on)
    assert (reader.seen, reader.pauses) == (b"a", 1)


async def test_only_a_proxy_needs_the_other_client() -> None:
    """The lean client cannot ask a proxy; through the other one the proxy is asked for the whole address, and its body is
    handed on like any other."""
    reader = Reader()
    async with (
        raw_upstream(chunked(b"through ", b"the proxy")) as proxy,
        _opened(NetworkOptions()) as direct,
        _opened(NetworkOptions(proxy=proxy.url)) as proxied,
    ):
        assert isinstance(direct, LeanTransport)
        async with proxied.send(HttpRequest("GET", "http://up.example/v1"), Deadlines()) as reply:
            await relay(reply, reader.take, reader.go_on)
    assert reader.seen == b"through the proxy"
    assert proxy.requests[0].startswith(b"GET http://up.example/v1 HTTP/1.1\r\n")


@asynccontextmanager
async def _opened(options: NetworkOptions) -> AsyncIterator[Transport]:
    transport = open_transport(options, "relayhub/test")
    try:
        yield transport
    finally:
        await transport.close()
