"""Speech: one call, one usage row, whatever breaks while it is spoken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from relayhub.accounts.admission import Admission
from relayhub.accounts.pricing import Price
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.speech import SpeechCall, SpeechCalls
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.provider import Provider
from relayhub.store.usage import UsageFilter
from relayhub.testing import FakeClock
from relayhub.types.call import Operation, Principal
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.media import MediaUsage, SpeechRequest
from tests.support.books import Books, open_books
from tests.testing.toy_media import KEY, WAV, Settings, ToyReader, ToySpeech, in_base64, lines

CHARACTERS = 12
COST = 1000 * CHARACTERS
PRICE = Price(characters=1000 * 10**6)
TEXT = "Hello there."


@dataclass
class Pieces:
    """A reply, piece by piece."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            yield piece


class Speaking:
    """A transport that says the same to everybody."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[Pieces]:
        yield Pieces(self.pieces)

    async def close(self) -> None:
        return


@dataclass
class Ear:
    """A :class:`relayhub.gateway.speech.Listener`."""

    heard: bytes = b""
    over: bool = False

    @property
    def begun(self) -> bool:
        return bool(self.heard)

    async def write(self, audio: bytes, media_type: str) -> None:
        self.heard += audio

    async def end(self, audio: bytes, media_type: str, usage: MediaUsage | None) -> None:
        self.heard += audio
        self.over = True


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with open_books(tmp_path / "books.db", total=100 * COST) as books:
        yield books


async def speak(books: Books, wire: type[ToySpeech], *pieces: bytes) -> Ear:
    able = Capabilities({}, speech=wire(Settings(api_key=SecretStr(KEY))))
    provider = Provider("toy", "toy", able, Speaking(*pieces), Deadlines(), {}, {})  # type: ignore[arg-type]
    catalog = Catalog([ModelSpec("voice", Route(provider, "v", PRICE, 0), operations=frozenset({Operation.SPEECH}))], 0)
    clock, key = FakeClock(), books.issued.key
    calls = SpeechCalls(catalog, Admission(books.store.ledger, clock), OpenCalls(), clock)
    ear = Ear()
    call = SpeechCall("req_1", Principal(key.id, key.name, books.account_id), SpeechRequest("voice", TEXT, "a"), 0.0)
    with suppress(UpstreamError):
        await calls.serve(call, ear)
    return ear


async def row_of(books: Books) -> tuple[object, object]:
    """Of the one row, and of the account: how it ended, and what was charged."""
    (row,) = await books.store.usage.rows(UsageFilter(), 10)
    assert (await books.money())[2] == 0
    return row["outcome"], (await books.money())[1]


LONG = WAV * 20
SAID = lines({"audio": in_base64(LONG)}), lines({"audio": in_base64(LONG)}), lines({"characters": CHARACTERS})


async def test_what_was_spoken_is_charged(books: Books) -> None:
    ear = await speak(books, ToySpeech, *SAID)
    assert (ear.heard, ear.over) == (LONG * 2, True)
    assert await row_of(books) == ("completed", COST)


class Stumbling(ToyReader):
    def heard(self, line: bytes) -> bytes:
        if b"characters" in line:
            raise RuntimeError("a bug")
        return super().heard(line)


class Stumbles(ToySpeech):
    """Breaks after it has begun to speak."""

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> ToyReader:
        return Stumbling()


async def test_a_plugin_that_breaks_in_the_middle_leaves_its_row_and_its_bill(books: Books) -> None:
    ear = await speak(books, Stumbles, *SAID)
    assert ear.begun
    assert not ear.over
    assert await row_of(books) == ("upstream_error", COST)


class Mute(ToySpeech):
    """Breaks before it says a word."""

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> ToyReader:
        raise RuntimeError("a bug")


async def test_a_plugin_that_breaks_before_the_first_byte_costs_nothing_and_leaves_its_row(books: Books) -> None:
    await speak(books, Mute, *SAID)
    assert await row_of(books) == ("upstream_error", 0)
