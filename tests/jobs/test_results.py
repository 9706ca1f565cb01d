"""Results: kept whole or not at all, served under links of ours, deleted in time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from relayhub.jobs.files import FileStore, TooLarge
from relayhub.jobs.lending import Lending
from relayhub.jobs.links import Links
from relayhub.jobs.results import FETCH
from relayhub.testing import FakeClock
from relayhub.types.chat import Media
from relayhub.types.errors import ClientError, UpstreamError
from relayhub.types.job import StoredArtifact
from relayhub.types.media import InputRole, MediaInput, VideoRequest
from relayhub.types.sniffing import media_type_of
from relayhub.upstream.download import Downloader
from tests.jobs.bench import Bench

RESULT = StoredArtifact("file_1", "task_1", 0, "video/mp4", 3, "file_1", 2000.0)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    files = FileStore(tmp_path, 100)

    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        assert list(tmp_path.glob("*/*")) == [files.path("file_1").with_name("file_1.part")]
        raise ConnectionResetError

    with pytest.raises(Exception):  # noqa: B017  # whichever: what counts is what is left
        await files.write("file_1", broken())
    assert list(tmp_path.glob("*/*")) == []
    written = await files.write("file_1", pieces(b"abc", b"def"))
    assert (written.size, written.head) == (6, b"abcdef")
    assert files.path("file_1").read_bytes() == b"abcdef"
    assert files.path("file_1").stat().st_mode & 0o077 == 0, "nobody else on this machine may read it"


async def test_more_than_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        await FileStore(tmp_path, 5).write("file_1", pieces(b"abc", b"def"))
    assert list(tmp_path.glob("*/*")) == []


async def test_expired_results_and_files_of_nobody_are_deleted(bench: Bench) -> None:
    job = await bench.until_over(await bench.submit())
    (result,) = await bench.jobs.results(job.id)
    path = bench.files.path(result.file or "")
    stray = bench.files.path("file_stray")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    fresh = bench.files.path("file_fresh")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(b"x")
    os.utime(stray, (0, 0))
    os.utime(path, (0, 0))
    await bench.engine.sweep()
    assert (path.exists(), stray.exists(), fresh.exists()) == (True, False, True)
    bench.clock.advance(7 * 86400 + 1)
    await bench.engine.sweep()
    assert not path.exists()
    assert [one.file for one in await bench.jobs.results(job.id)] == [None], "that there was one stays known"


async def test_names_of_requests_are_forgotten_after_a_day(bench: Bench) -> None:
    await bench.submit(once="n1")

    async def kept() -> int:
        async with bench.jobs._engine.reading() as connection:
            return int((await connection.exec_driver_sql("SELECT count(*) FROM idempotency")).scalar_one())

    await bench.engine.sweep()
    assert await kept() == 1
    bench.clock.advance(24 * 3600 + 1)
    await bench.engine.sweep()
    assert await kept() == 0


def test_a_link_is_ours_names_one_file_and_ends() -> None:
    links = Links(lambda: "https://hub.example/ai", lambda: [b"key"])
    url = urlsplit(links.to(RESULT))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.netloc, url.path) == ("hub.example", "/ai/files/file_1")
    assert links.allows("file_1", query["expires"], query["sign"], 1999.0)
    assert not links.allows("file_1", query["expires"], query["sign"], 2000.0)
    assert not links.allows("file_2", query["expires"], query["sign"], 1999.0)
    assert not links.allows("file_1", "9999999999", query["sign"], 1999.0)
    assert not links.allows("file_1", query["expires"], query["sign"][:-1] + "x", 1999.0)
    assert not links.allows("file_1", "٣", query["sign"], 1999.0)
    assert not links.allows("file_1", "", "", 1999.0)
    assert not Links(lambda: "", lambda: [b"other"]).allows("file_1", query["expires"], query["sign"], 1999.0)


async def test_what_is_lent_can_be_read_for_a_day(tmp_path: Path) -> None:
    clock, files = FakeClock(1000.0), FileStore(tmp_path, 100)
    lending = Lending(files, Links(lambda: "https://hub.example", lambda: [b"key"]), clock, public=True)
    given = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")
    lent = await lending.with_links(VideoRequest("m", inputs=(given, given)))
    links = [urlsplit(one.media.url or "") for one in lent.inputs]
    assert len({link.path for link in links}) == 2
    assert files.path(links[0].path.rpartition("/")[2]).read_bytes().startswith(b"\x89PNG")
    assert parse_qs(links[0].query)["expires"] == [str(1000 + 86_400)]


async def test_what_is_refused_has_lent_nothing(bench: Bench) -> None:
    """Else anybody with a key and no quota could fill the disk."""
    given = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")
    with pytest.raises(ClientError):
        await bench.submit(VideoRequest("film", inputs=(given, given), seconds=10_000))
    with pytest.raises(ClientError):
        await bench.submit(VideoRequest("film", inputs=(given,), seed=3))
    assert list(bench.files._folder.glob("*/*")) == []
    await bench.submit(VideoRequest("film", inputs=(given,)), once="n1")
    assert len(list(bench.files._folder.glob("*/*"))) == 1
    await bench.submit(VideoRequest("film", inputs=(given,)), once="n1")
    assert len(list(bench.files._folder.glob("*/*"))) == 1, "the second one was the first one's job"


async def test_of_what_cannot_be_lent_all_together_nothing_is_left(tmp_path: Path) -> None:
    files = FileStore(tmp_path, 10)
    lending = Lending(files, Links(lambda: "https://hub.example", lambda: [b"key"]), FakeClock(), public=True)
    inputs = [MediaInput(InputRole.IMAGE, Media(data=data), "image") for data in ("iVBORw0KGgo=", "A" * 40)]
    with pytest.raises(ClientError):
        await lending.with_links(VideoRequest("m", inputs=tuple(inputs)))
    assert list(tmp_path.glob("*/*")) == []


async def test_somebody_elses_link_is_not_taken_back(tmp_path: Path) -> None:
    files = FileStore(tmp_path, 100)
    lending = Lending(files, Links(lambda: "https://hub.example", lambda: [b"key"]), FakeClock(), public=True)
    given = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")
    first = await lending.with_links(VideoRequest("m", inputs=(given,)))
    second = VideoRequest("m", inputs=(*first.inputs, given))
    await lending.take_back(second, await lending.with_links(second))
    assert len(list(tmp_path.glob("*/*"))) == 1


async def test_without_a_public_address_nothing_can_be_lent(tmp_path: Path) -> None:
    lending = Lending(FileStore(tmp_path, 100), Links(lambda: "", lambda: [b"key"]), FakeClock(), public=False)
    given = MediaInput(InputRole.IMAGE, Media(data="AAAA"), "image")
    with pytest.raises(ClientError) as refused:
        await lending.with_links(VideoRequest("m", inputs=(given,)))
    assert refused.value.param == "image"
    linked = VideoRequest("m", inputs=(MediaInput(InputRole.IMAGE, Media(url="https://x.example/a"), "image"),))
    assert await lending.with_links(linked) is linked


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypmp42\0\0", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0", "video/quicktime"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "image/png"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"<html><script>", None),
        (b"", None),
    ],
)
def test_what_a_file_is(head: bytes, kind: str | None) -> None:
    assert media_type_of(head) == kind


# --- fetching from strangers --------------------------------------------------------------------------------------------


class Stranger:
    """A web server that an upstream links to."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        match request.path:
            case "/inside":
                raise web.HTTPFound("http://127.0.0.1:1/metadata")
            case "/loop":
                raise web.HTTPFound(f"{self.url}/loop")
            case "/once":
                raise web.HTTPFound("/video.mp4")
            case "/gone":
                raise web.HTTPForbidden
            case _:
                return web.Response(body=b"film", content_type="video/mp4")


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    stranger = Stranger()
    runner = web.ServerRunner(web.Server(stranger.answer))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stranger.url = f"http://localhost:{runner.addresses[0][1]}"
    yield stranger
    await runner.cleanup()


async def fetched(downloader: Downloader, url: str) -> bytes:
    async with downloader.open(url) as download:
        return b"".join([data async for data in download.chunks])


async def test_private_addresses_are_not_fetched_from(stranger: Stranger) -> None:
    with pytest.raises(UpstreamError, match="not a public one"):
        await fetched(Downloader("tests", FETCH), f"{stranger.url}/video.mp4")
    assert stranger.asked == []


async def test_named_hosts_may_be_private_and_each_redirect_is_checked(stranger: Stranger) -> None:
    downloader = Downloader("tests", FETCH, {"localhost"})
    assert await fetched(downloader, f"{stranger.url}/video.mp4") == b"film"
    assert await fetched(downloader, f"{stranger.url}/once") == b"film"
    with pytest.raises(UpstreamError, match="not a public one"):
        await fetched(downloader, f"{stranger.url}/inside")
    with pytest.raises(UpstreamError, match="too often"):
        await fetched(downloader, f"{stranger.url}/loop")
    with pytest.raises(UpstreamError, match="403"):
        await fetched(downloader, f"{stranger.url}/gone")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.example/a", "http://", "javascript:alert(1)", ""])
async def test_only_web_links_are_followed(url: str) -> None:
    with pytest.raises(UpstreamError):
        await fetched(Downloader("tests", FETCH), url)


async def test_a_name_that_does_not_exist_is_a_failure_not_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere, raising=False)
    with pytest.raises(UpstreamError, match="connection failed"):
        await fetched(Downloader("tests", FETCH), "http://nowhere.example/a")
