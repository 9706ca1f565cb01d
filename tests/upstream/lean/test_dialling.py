"""New connections: names, addresses, certificates, and a limit on all of it; whatever fails here was never delivered."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from relayhub.testing.faults import doors
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines
from relayhub.upstream.lean.dial import MAX_ORIGINS, Dialler
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.resolver import Address, Resolver, in_turn
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from tests.support.raw_upstream import chunked, http, raw_upstream
from tests.upstream.lean.sending import failure, post

OK = http(b"{}")


class Names:
    """A name server; ``gate``: it answers once that is open."""

    def __init__(self, *addresses: str, gate: threading.Event | None = None) -> None:
        self.addresses = addresses
        self.asked: list[str] = []
        self._gate = gate

    def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        if self._gate is not None and host.startswith("slow"):
            assert self._gate.wait(10)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, address) for address in self.addresses]


@asynccontextmanager
async def using(names: Names, ca_file: Path | None = None) -> AsyncIterator[LeanTransport]:
    transport = LeanTransport(NetworkOptions(ca_file=ca_file), "relayhub/test", Resolver(names))
    yield transport
    await transport.close()


def named(url: str, name: str) -> str:
    return url.replace("127.0.0.1", name)


async def test_a_name_is_asked_for_once_while_its_answer_is_fresh() -> None:
    names = Names("127.0.0.1")
    async with raw_upstream(OK) as upstream, using(names) as transport:
        await asyncio.gather(*(post(transport, named(upstream.url, "h.test")) for _ in range(8)))
        await post(transport, named(upstream.url, "h.test"))
    assert names.asked == ["h.test"]
    assert b"host: h.test:" in upstream.requests[0]


async def test_a_name_that_is_unknown_is_asked_for_again() -> None:
    names = Names()
    async with raw_upstream(OK) as upstream, using(names) as transport:
        error = await failure(transport, named(upstream.url, "h.test"))
        assert (error.code, error.delivered) == ("upstream_unreachable", False)
        names.addresses = ("127.0.0.1",)
        await post(transport, named(upstream.url, "h.test"))
    assert names.asked == ["h.test"] * 2


async def test_a_name_server_that_hangs_holds_up_its_own_name_only_and_that_up_to_the_limit() -> None:
    gate = threading.Event()
    names = Names("127.0.0.1", gate=gate)
    async with raw_upstream(OK) as upstream, using(names) as transport:
        brief = Deadlines(connect_s=0.1)
        slow = [named(upstream.url, f"slow{number}.test") for number in range(50)]
        errors = await asyncio.gather(*(failure(transport, url, deadlines=brief) for url in slow))
        assert {(error.code, error.delivered) for error in errors} == {("upstream_unreachable", False)}
        assert (await failure(transport, slow[0], deadlines=brief)).delivered is False
        assert names.asked.count("slow0.test") == 1
        assert (await post(transport, named(upstream.url, "quick.test"))).status == 200
        assert transport.pool.size == 1
        gate.set()


@pytest.mark.parametrize("host", ["", "a" * 64 + ".test", "a..test"])
async def test_a_name_that_cannot_be_looked_up_is_an_ordinary_failure(transport: LeanTransport, host: str) -> None:
    error = await failure(transport, f"http://{host}/")
    assert error.delivered is False


async def test_an_address_that_refuses_gives_way_to_the_next() -> None:
    async with raw_upstream(OK) as upstream, using(Names("127.0.0.2", "127.0.0.1")) as transport:
        assert (await post(transport, named(upstream.url, "h.test"))).status == 200


@contextmanager
def deaf(address: str, port: int) -> Iterator[None]:
    """An address where making a connection never ends."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind((address, port))
        listener.listen(0)
        for waiting in (one, two):
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


async def test_an_address_that_is_slow_is_overtaken_by_the_next() -> None:
    async with raw_upstream(OK) as upstream, using(Names("127.0.0.3", "127.0.0.1")) as transport:
        with deaf("127.0.0.3", upstream.port):
            assert (await post(transport, named(upstream.url, "h.test"))).status == 200


async def test_when_every_address_fails_the_first_one_says_why() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://h.test:{closed.getsockname()[1]}"
        async with using(Names("127.0.0.1", "127.0.0.2")) as transport:
            error = await failure(transport, url)
    assert "refused" in (error.detail or "").lower()


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, "a"), (six, "b"), (six, "c"), (four, "d")]
    assert [name for _, name in in_turn(found)] == ["a", "d", "b", "c"]
    assert in_turn([]) == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> doors.Authority:
    return doors.Authority.create(tmp_path_factory.mktemp("authority"))


async def test_tls_with_a_trusted_certificate(authority: doors.Authority) -> None:
    large = b"x" * (2 << 20)
    async with (
        raw_upstream(http(large), chunked(b"a", b"b"), tls=authority.server()) as upstream,
        using(Names("127.0.0.1"), authority.ca_file) as transport,
    ):
        assert (await post(transport, upstream.url, large)).body == large
        assert (await post(transport, upstream.url)).body == b"ab"
        assert (len(upstream.requests), upstream.connections) == (2, 1)


@pytest.mark.parametrize("problem", ["untrusted", "expired", "another address", "another name"])
async def test_tls_with_anything_else_is_certainly_not_delivered(authority: doors.Authority, problem: str) -> None:
    valid_until = timedelta(days=-1 if problem == "expired" else 1)
    shown = authority.server("127.0.0.9" if problem == "another address" else "127.0.0.1", valid_until)
    async with (
        raw_upstream(OK, tls=shown) as upstream,
        using(Names("127.0.0.1"), None if problem == "untrusted" else authority.ca_file) as transport,
    ):
        url = named(upstream.url, "h.test") if problem == "another name" else upstream.url
        error = await failure(transport, url)
        assert (error.code, error.delivered) == ("upstream_unreachable", False)
        assert "certificate" in (error.detail or "").lower()
        assert upstream.requests == []
        assert transport.pool.size == 0


async def test_heads_of_many_addresses_are_not_all_kept() -> None:
    dialler, until = Dialler(None, Resolver()), asyncio.get_running_loop().time() + 30
    for number in range(3 * MAX_ORIGINS):
        with pytest.raises(UpstreamError):
            await dialler.dial(Origin(False, f"127.9.0.{number + 1}", 1), until, lambda _: None)
    assert len(dialler._newest) <= MAX_ORIGINS


async def test_a_handshake_that_stalls_ends_at_the_connect_deadline(transport: LeanTransport) -> None:
    gone = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    error = await failure(transport, url, deadlines=Deadlines(connect_s=0.2))
    assert (error.code, error.delivered) == ("upstream_unreachable", False)
    await asyncio.wait_for(gone.wait(), 5)
    assert transport.pool.size == 0
    server.close()
