"""What goes wrong with an upstream is logged without the credentials that were sent to it."""

from __future__ import annotations

import asyncio

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.client import HttpTransport
from relayhub.upstream.options import NetworkOptions

KEY = "sk-test-upstream-secret"
BAD_HEADS = (b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", b"")


@pytest.mark.parametrize("head", BAD_HEADS)
async def test_no_credential_stands_in_the_detail_of_a_failure(head: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = HttpTransport(NetworkOptions(), "tests")
    request = HttpRequest("GET", f"http://127.0.0.1:{port}/?key={KEY}", {"authorization": f"Bearer {KEY}"})
    with pytest.raises(UpstreamError) as failed:
        async with transport.send(request, Deadlines()):
            pass
    assert KEY not in str(failed.value)
    assert KEY not in (failed.value.detail or "")
    await transport.close()
    server.close()
    await server.wait_closed()
