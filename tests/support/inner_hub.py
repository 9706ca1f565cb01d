"""A whole hub in the test's own process, and clients that see the bytes of its answers."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from relayhub.accounts.issuing import issue_key
from relayhub.app import Hub, open_hub
from relayhub.config import read
from relayhub.plugins.host import PluginHost
from relayhub.sdk.clock import SystemClock
from relayhub.upstream.lean.outgoing import target_of
from relayhub.upstream.lean.pool import Pool
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.web.overload import OVERLOAD
from tests.support.raw_upstream import Script, read_request

GRANT = 10**12
CONFIG = """
server: {{port: 0, {server}}}
store: {{path: hub.db}}
quota: {{{quota}}}
providers:
  up:
    type: openai
    base_url: {url}/v1
    api_key: sk-up
    {provider}
    models: {{m: {{upstream: m-up, price: {{input: "1", output: "2"}}}}}}
"""
NO_TWO_ALIKE = {"id", "at", "account_id", "key_id", "call_id", "hold_id", "duration_ms", "first_byte_ms"}
"""Of a usage row."""


PATIENCE_S = 10.0


class Gate:
    """A step of the store's writer that can be made to wait, or to fail, in the writer's own thread."""

    def __init__(self) -> None:
        self.step = ""
        self.error: Exception | None = None
        self.acknowledged: Callable[[], object] | None = None
        """Called once, on the loop, when it has been said what a transaction came to. Tasks have not heard it yet."""
        self._reached = threading.Event()
        self._opened = threading.Event()

    def close(self, step: str = "before_begin") -> None:
        self._reached.clear()
        self._opened.clear()
        self.step = step

    def open(self) -> None:
        self.step = ""
        self._opened.set()

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def __call__(self, step: str) -> None:
        if self.error is not None and step == "before_begin":
            raise self.error
        if step == "after_acknowledge" and self.acknowledged is not None:
            acknowledged, self.acknowledged = self.acknowledged, None
            acknowledged()
        if step == self.step:
            self._reached.set()
            self._opened.wait(20)


@dataclass
class Answer:
    """What a client was told. ``whole``: to its end, as the framing has it; the connection stands."""

    data: bytes
    whole: bool

    @property
    def status(self) -> int | None:
        return int(self.data.split()[1]) if self.data else None

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def plain(self) -> str:
        """Without what is another one each time, and in one chunk."""
        head, _, rest = self.data.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            rest = _joined(rest)
        text = re.sub(rb"[a-z]{2,8}_[0-9A-HJKMNP-TV-Z]{26}", b"<id>", head + b"\r\n\r\n" + rest)
        text = re.sub(rb'"(id|request_id)":\s*"[^"]*"', b'"id":"<id>"', text)
        return re.sub(rb"\r\ndate: [^\r]*", b"", text).decode("latin-1")


@dataclass
class RawClient:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: str
    behind: bytes = b""

    def ask(self, *, content: str = "Hi", **fields: object) -> None:
        message = {"role": "user", "content": content}
        data = json.dumps({"model": "m", "max_tokens": 100, "messages": [message], **fields}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {self.key}\r\n"
        self.writer.write(
            f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data
        )

    async def answer(self) -> Answer:
        """Until it is complete, or the connection has ended."""
        data = bytearray(self.behind)
        async with asyncio.timeout(PATIENCE_S):
            while (end := _end_of(data)) is None:
                piece = await self.reader.read(1 << 16)
                if not piece:
                    return Answer(bytes(data), whole=False)
                data += piece
        self.behind = bytes(data[end:])
        return Answer(bytes(data[:end]), whole=True)

    async def until(self, text: bytes) -> None:
        """It has come, and stays to be read."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.behind:
                self.behind += await self.reader.read(1 << 16) or _ended()

    def leave(self) -> None:
        self.writer.transport.abort()


def _joined(chunks: bytes) -> bytes:
    """What has come of a chunked body; the end shows."""
    whole, at = [], 0
    while at < len(chunks):
        start = chunks.index(b"\r\n", at) + 2
        size = int(chunks[at:start], 16)
        whole.append(chunks[start : start + size] or b"<end>")
        at = start + size + 2
    return b"".join(whole)


def _ended() -> bytes:
    raise AssertionError("the hub has closed the connection")


def _end_of(data: bytearray) -> int | None:
    start = data.find(b"\r\n\r\n") + 4
    if start < 4:
        return None
    head = bytes(data[:start]).lower()
    if b"transfer-encoding: chunked" in head:
        last = data.find(b"\r\n0\r\n\r\n", start - 2)
        return None if last < 0 else last + 7
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    end = start + int(length[1])
    return None if len(data) < end else end


@dataclass
class InnerHub:
    hub: Hub
    home: Path
    key: str
    key_id: str
    gate: Gate
    troubles: list[Mapping[str, object]] = field(default_factory=list)
    """What the event loop's exception handler was told."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[RawClient]:
        address = urlsplit(self.hub.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 16)
        try:
            yield RawClient(reader, writer, self.key)
        finally:
            writer.transport.abort()

    async def chat(self, *, stream: bool = False) -> Answer:
        async with self.client() as client:
            client.ask(stream=stream)
            return await client.answer()

    @property
    def pool(self) -> Pool:
        transport = self.hub.generations.current.providers["up"].transport
        assert isinstance(transport, LeanTransport)
        return transport.pool

    @property
    def in_flight(self) -> int:
        return self.hub.runner.app[OVERLOAD].in_flight

    def counts(self) -> dict[str, int]:
        """All of them are to be 0 once everybody has gone."""
        health = self.hub.generations.current.router.health
        return {
            "in_flight": self.in_flight,
            "open_calls": len(self.hub.open_calls),
            "busy": health.busy("up"),
            "busy_routes": sum(one.busy for one in health.observed("up")),
            "upstream_connections_in_use": self.pool.size - self.pool.free,
            "holds": self.sql("SELECT count(*) FROM holds")[0][0],
        }

    def circuits(self) -> list[tuple[object, ...]]:
        health = self.hub.generations.current.router.health
        return [(one.model, one.state, one.cause, one.failures) for one in health.observed("up")]

    def drop_free_connections(self, url: str) -> None:
        """To the upstream there."""
        while (connection := self.pool.take(target_of(url).origin)) is not None:
            connection.drop()

    def forget_failures(self) -> None:
        self.hub.generations.current.router.health.forget("up")

    async def calm(self) -> None:
        """Everything is over."""
        await until(lambda: not any(self.counts().values()), lambda: str(self.counts()))

    def sql(self, statement: str) -> list[tuple[int, ...]]:
        with closing(sqlite3.connect(self.home / "hub.db")) as books:
            return books.execute(statement).fetchall()

    def usage(self) -> list[dict[str, object]]:
        """The oldest first."""
        with closing(sqlite3.connect(self.home / "hub.db")) as books:
            books.row_factory = sqlite3.Row
            rows = [dict(row) for row in books.execute("SELECT * FROM usage ORDER BY rowid")]
        return [
            {"answered": row["first_byte_ms"] is not None}
            | {name: value for name, value in row.items() if name not in NO_TWO_ALIKE}
            for row in rows
        ]

    def ledger(self) -> list[tuple[int, ...]]:
        return self.sql("SELECT kind, amount_nano FROM ledger WHERE kind != 'grant' ORDER BY rowid")


async def until(condition: Callable[[], bool], tell: Callable[[], str] = str, within_s: float = PATIENCE_S) -> None:
    """Turn the loop until it is so. ``tell``: what is wrong."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:g} s: {tell()}") from None


@dataclass
class Scripted:
    """An upstream that answers the next request with the next of ``answers``, and then with ``usual``."""

    usual: bytes
    answers: list[bytes | Script] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.requests.append(await read_request(reader))
                answer = self.answers.pop(0) if self.answers else self.usual
                if not isinstance(answer, bytes):
                    await answer(reader, writer)
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Scripted]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()


@asynccontextmanager
async def inner_hub(
    home: Path, url: str, *, server: str = "", quota: str = "", provider: str = ""
) -> AsyncIterator[InnerHub]:
    """``server``, ``quota``, ``provider``: further settings. Whatever the event loop complains of fails the test."""
    file = home / "relayhub.yaml"
    file.write_text(CONFIG.format(url=url, server=server, quota=quota, provider=provider))
    plugins, gate = PluginHost.load(), Gate()
    config = read(file, {}).validate(plugins.settings_models())
    async with open_hub(config, plugins, SystemClock(), gate) as hub:
        account = await hub.store.accounts.create("acme")
        await hub.store.ledger.grant(account.id, GRANT, actor="test", reason="to begin with")
        issued = await issue_key(hub.store.keys, "key", account.id)
        await hub.keyring.refresh()
        await hub.listen()
        inner = InnerHub(hub, home, issued.secret, issued.key.id, gate)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: inner.troubles.append(context))
        try:
            yield inner
        finally:
            gate.open()
        assert inner.troubles == []
