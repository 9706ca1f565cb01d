"""A film of 200 MB comes from the upstream, is kept, and goes out again: the process never holds more than a little of it."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from relayhub.testing import Answer, SimulatedJob
from tests.faults.memory import MIB, forget_peak, peak_bytes, resident_bytes
from tests.support.job_crashes import AT_ONCE, CONFIG, Client, Stage, Studio, prompt_in, template
from tests.support.server import Server

SIZE = 200 * MIB
PIECE = bytes(range(256)) * 4096
"""A MiB. The film is this one piece again and again, after its head."""
HEAD = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
GROWTH = 16 * MIB


class LargeStudio(Studio):
    def result(self, job: SimulatedJob, name: str) -> Answer:
        if prompt_in(job) == "warm":
            return super().result(job, name)
        headers = {"content-type": "video/mp4", "content-length": str(SIZE)}
        return Answer(body=(HEAD + PIECE[len(HEAD) :], *([PIECE] * (SIZE // MIB - 1))), headers=headers)


def digest() -> str:
    whole = hashlib.sha256(HEAD + PIECE[len(HEAD) :])
    for _ in range(SIZE // MIB - 1):
        whole.update(PIECE)
    return whole.hexdigest()


@dataclass
class Growth:
    """Bytes that the process held at most beyond what it held before."""

    bytes: int = 0


@contextmanager
def growth(server: Server) -> Iterator[Growth]:
    pid = server.process.pid
    forget_peak(pid)
    before, grown = resident_bytes(pid), Growth()
    yield grown
    grown.bytes = peak_bytes(pid) - before


@dataclass
class Film:
    stage: Stage
    server: Server
    path: str
    grown: Growth = field(default_factory=Growth)

    @contextmanager
    def open(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)
        try:
            connection.request(
                "GET", self.path, headers={"authorization": f"Bearer {self.stage.client.key}", **headers}
            )
            yield connection.getresponse()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Film]:
    home = tmp_path_factory.mktemp("large") / "home"
    key = template(home)
    studio = LargeStudio()
    with studio.in_thread() as url:
        stage = Stage(home, studio, CONFIG.format(url=url, first_s=1), Client(key))
        with stage.hub() as server:
            warm_up(stage, server)
            studio.foretell(AT_ONCE)
            with growth(server) as grown:
                stage.client.submit(server, "large")
                stage.all_ended(server)
            yield Film(stage, server, content(stage, "large"), grown)


def content(stage: Stage, prompt: str) -> str:
    return f"/v1/videos/{stage.client.promised[prompt]}/content"


def warm_up(stage: Stage, server: Server) -> None:
    """What a first request loads and keeps is not of the film."""
    stage.studio.foretell(AT_ONCE)
    stage.client.submit(server, "warm")
    stage.all_ended(server)
    with Film(stage, server, content(stage, "warm")).open() as reply:
        read(reply)


def read(reply: http.client.HTTPResponse) -> str:
    whole = hashlib.sha256()
    while data := reply.read(MIB):
        whole.update(data)
    return whole.hexdigest()


def test_it_is_kept_without_being_held(film: Film) -> None:
    assert film.server.rows("SELECT size FROM artifacts ORDER BY size DESC LIMIT 1") == [{"size": SIZE}]
    assert film.grown.bytes <= GROWTH, f"{film.grown.bytes / MIB:.1f} MiB"


def test_it_is_served_without_being_held(film: Film) -> None:
    with growth(film.server) as grown, film.open() as reply:
        assert (reply.status, reply.headers["content-length"]) == (200, str(SIZE))
        assert reply.headers["content-type"] == "video/mp4"
        assert read(reply) == digest()
    assert grown.bytes <= GROWTH, f"{grown.bytes / MIB:.1f} MiB"


def test_parts_of_it_are_served(film: Film) -> None:
    start = SIZE - 10 * MIB - 7
    with growth(film.server) as grown:
        with film.open(range=f"bytes={start}-{start + 99}") as reply:
            assert reply.status == 206
            assert reply.headers["content-range"] == f"bytes {start}-{start + 99}/{SIZE}"
            assert reply.read() == (PIECE + PIECE)[start % MIB : start % MIB + 100]
        with film.open(range="bytes=-5") as reply:
            assert reply.read() == PIECE[-5:]
        with film.open(range=f"bytes={SIZE}-") as reply:
            assert reply.status == 416
    assert grown.bytes <= GROWTH


def test_slow_readers_and_those_who_leave_hold_nothing(film: Film) -> None:
    with growth(film.server) as grown:
        readers = [threading.Thread(target=leave_half_way, args=(film,)) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(30)
    assert grown.bytes <= GROWTH, f"{grown.bytes / MIB:.1f} MiB"
    with film.open(range="bytes=0-9") as reply:
        assert reply.read() == HEAD[:10]


def leave_half_way(film: Film) -> None:
    with film.open() as reply:
        assert reply.read(5 * MIB)
