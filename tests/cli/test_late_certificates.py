"""A context that reads its certificates late trusts whom it would have trusted, and nobody before."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayhub.cli.late_certificates import LateContext, certificates_later
from relayhub.testing.faults.doors import Authority


def late_context() -> ssl.SSLContext:
    with certificates_later():
        return ssl.create_default_context()


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def heard(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return await reader.readline()
    finally:
        writer.close()


def test_nothing_is_read_when_it_is_made_but_all_is_demanded() -> None:
    context = late_context()
    assert type(context) is LateContext
    assert context.cert_store_stats()["x509"] == 0
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_one_that_verifies_nobody_reads_nothing_either() -> None:
    with certificates_later():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_default_verify_paths()
    assert type(context) is LateContext


def test_whoever_uses_one_at_once_gets_an_ordinary_one_and_nothing_is_left_behind() -> None:
    before = dict(vars(ssl.SSLContext))
    with certificates_later():
        context = ssl.create_default_context()
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        assert type(context) is ssl.SSLContext
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()
    assert dict(vars(ssl.SSLContext)) == before


def test_whoever_makes_one_later_or_for_a_server_gets_an_ordinary_one() -> None:
    with certificates_later():
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    assert type(server) is type(ssl.create_default_context()) is ssl.SSLContext


async def test_the_first_connection_has_the_systems_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path)
    async with tls_server(authority.server()) as port:
        stranger, friend = late_context(), late_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            await heard(port, stranger)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        assert await heard(port, friend) == b"hello\n"
        assert await heard(port, friend) == b"hello\n"
        assert type(friend) is ssl.SSLContext
