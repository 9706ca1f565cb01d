"""A request as it came over the wire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Received:
    """``head``: the bytes before the body, the empty line included; ``headers``: in order, names lower case;
    ``connection``: the number of the connection it came over."""

    head: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for found, value in self.headers if found == name]


def model_of(request: Received) -> str:
    """The ``model`` of a JSON body, which most upstreams are told; else the path."""
    try:
        value = orjson.loads(request.body)
    except ValueError:
        return request.target
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else request.target


async def receive(reader: asyncio.StreamReader, connection: int) -> Received:
    """The next request on the connection. Raises ``IncompleteReadError`` where it ends, ``ValueError`` for a head that
    leaves the end of its body in doubt."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = tuple(_header(line) for line in head.split(b"\r\n")[1:-2])
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise ValueError(f"the request's framing is in doubt: {headers}")  # the caller drops the connection
    body = await _chunks(reader) if codings else await reader.readexactly(int(lengths[0]) if lengths else 0)
    return Received(head, headers, body, connection)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return bytes(body)
