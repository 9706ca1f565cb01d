"""Uploads lie on disk for as long as their call runs, and nowhere longer."""

from __future__ import annotations

import asyncio
import resource
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from relayhub.config import ServerConfig
from relayhub.types.errors import ErrorKind, HubError, RelayhubError
from relayhub.types.http import SpoolSlice
from relayhub.web.body import defer_expectation
from relayhub.web.spool import PIECE, FileSpool
from relayhub.web.upload import Upload, receive_form

HEAD = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"
WITHIN_S = 5.0


def open_files(folder: Path) -> int:
    """Files of this process in ``folder``, nameless ones included."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith(str(folder))
        except OSError:
            continue
    return count


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- the file ---------------------------------------------------------------------------------------------------------


async def test_what_was_written_is_read_wherever_it_stands(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 3000
    with FileSpool(tmp_path) as spool:
        for at in range(0, len(whole), 70_001):
            await spool.append(whole[at : at + 70_001])
        await spool.flush()
        assert spool.read_at(0, len(whole)) == whole
        assert spool.read_at(300_000, 100) == whole[300_000:300_100]
        assert spool.read_at(len(whole) - 3, 100) == whole[-3:]
        assert spool.read_at(len(whole), 100) == b""


async def test_the_file_has_no_name_and_goes_when_it_is_closed(tmp_path: Path) -> None:
    with FileSpool(tmp_path) as spool:
        await spool.append(b"x" * PIECE)
        assert list(tmp_path.iterdir()) == []
        assert open_files(tmp_path) == 1
    assert open_files(tmp_path) == 0
    with pytest.raises(ValueError, match="closed"):
        spool.read_at(0, 1)


async def test_writing_that_a_cancelled_call_left_behind_never_meets_a_closed_file(tmp_path: Path) -> None:
    for _ in range(20):
        spool = FileSpool(tmp_path)
        writing = asyncio.create_task(spool.append(b"x" * (4 * PIECE)))
        await asyncio.sleep(0)
        writing.cancel()
        spool.close()
        with (tmp_path / "next").open("wb") as following:  # very likely gets the same descriptor
            await asyncio.gather(writing, return_exceptions=True)
            await asyncio.to_thread(following.flush)
        assert (tmp_path / "next").stat().st_size == 0


async def test_a_full_disk_is_said_and_not_the_clients_fault(tmp_path: Path) -> None:
    with FileSpool(tmp_path) as spool, full_disk(PIECE), pytest.raises(HubError) as caught:
        await spool.append(b"x" * (2 * PIECE))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "upload_not_stored")
    assert caught.value.retry_after_s


def test_a_folder_that_is_gone_is_the_same(tmp_path: Path) -> None:
    with pytest.raises(HubError) as caught:
        FileSpool(tmp_path / "gone")
    assert caught.value.code == "upload_not_stored"
    assert "gone" not in caught.value.message


# --- receiving --------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Takes uploads and keeps what came of them."""

    server: ServerConfig
    port: int = 0
    peak: int = 0
    got: list[bytes] = field(default_factory=list)
    values: list[dict[str, str]] = field(default_factory=list)
    errors: list[RelayhubError] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        try:
            async with receive_form(request, ("model",), self.server) as upload:
                self._keep(upload)
            return web.Response(text="taken")
        except RelayhubError as error:
            self.errors.append(error)
            return web.Response(status=400, text=error.code)
        finally:
            self.ended.set()

    def _keep(self, upload: Upload) -> None:
        self.peak = tracemalloc.get_traced_memory()[1]
        self.values.append(dict(upload.form.values))
        part = upload.form.part("file")
        (whole,) = upload.body
        assert isinstance(whole, SpoolSlice)
        self.got.append(whole.spool.read_at(part.start, min(len(part), 1000)))

    async def connect(self, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = ["POST / HTTP/1.1", "host: x", "content-type: multipart/form-data; boundary=b", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return reader, writer

    async def send(self, body: bytes) -> str:
        reader, writer = await self.connect(f"content-length: {len(body)}", "connection: close")
        writer.write(body)
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.read()
        writer.close()
        return answer.rpartition(b"\r\n")[2].decode()


@asynccontextmanager
async def receiving(folder: Path, **settings: object) -> AsyncIterator[Receiver]:
    receiver = Receiver(ServerConfig.model_validate({**settings}).model_copy(update={"upload_dir": folder}))
    app = web.Application()
    app.router.add_post("/", receiver.handle, expect_handler=defer_expectation)
    runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()


async def test_a_form_is_received_and_its_space_freed(tmp_path: Path) -> None:
    async with receiving(tmp_path) as receiver:
        assert await receiver.send(HEAD + FILE + b"sound" + END) == "taken"
        assert receiver.values == [{"model": "m"}]
        assert receiver.got == [b"sound"]
        assert open_files(tmp_path) == 0


async def test_a_large_upload_is_never_held_whole(tmp_path: Path) -> None:
    sound = b"s" * (1 << 20)
    async with receiving(tmp_path) as receiver:
        _, writer = await receiver.connect(f"content-length: {len(HEAD + FILE + END) + 64 * len(sound)}")
        tracemalloc.start()
        try:
            writer.write(HEAD + FILE)
            for _ in range(64):
                writer.write(sound)
                await writer.drain()
            writer.write(END)
            async with asyncio.timeout(30):
                await receiver.ended.wait()
        finally:
            tracemalloc.stop()
        writer.close()
    assert receiver.got == [b"s" * 1000]
    assert receiver.peak < 8 << 20, f"{receiver.peak} bytes held of {64 << 20}"  # the sender's own megabytes included


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + FILE + b"s" * 2_000_000])
async def test_a_client_that_leaves_leaves_nothing_behind(tmp_path: Path, sent: bytes) -> None:
    async with receiving(tmp_path) as receiver:
        _, writer = await receiver.connect("content-length: 50000000")
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(WITHIN_S):
            while not open_files(tmp_path):
                await asyncio.sleep(0.01)
        writer.transport.abort()
        async with asyncio.timeout(WITHIN_S):
            await receiver.ended.wait()
        assert open_files(tmp_path) == 0
        assert receiver.got == []


async def test_an_upload_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with receiving(tmp_path, upload_timeout_s=0.2) as receiver:
        _, writer = await receiver.connect("content-length: 5000")
        writer.write(HEAD)
        async with asyncio.timeout(WITHIN_S):
            await receiver.ended.wait()
        writer.close()
        assert [error.code for error in receiver.errors] == ["request_timeout"]
        assert open_files(tmp_path) == 0


async def test_an_upload_that_says_it_is_too_large_is_not_even_asked_for(tmp_path: Path) -> None:
    async with receiving(tmp_path, upload_limit=1000) as receiver:
        reader, writer = await receiver.connect("content-length: 1001", "expect: 100-continue")
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400")
        assert [error.code for error in receiver.errors] == ["body_too_large"]


async def test_an_upload_that_says_nothing_is_stopped_at_the_limit(tmp_path: Path) -> None:
    async with receiving(tmp_path, upload_limit=1000) as receiver:
        _, writer = await receiver.connect("transfer-encoding: chunked")
        writer.write(b"7d0\r\n" + (HEAD + FILE).ljust(2000, b"s") + b"\r\n0\r\n\r\n")
        async with asyncio.timeout(WITHIN_S):
            await receiver.ended.wait()
        writer.close()
        assert [error.code for error in receiver.errors] == ["body_too_large"]


async def test_an_upload_within_the_limit_is_asked_for(tmp_path: Path) -> None:
    body = HEAD + FILE + END
    async with receiving(tmp_path) as receiver:
        reader, writer = await receiver.connect(f"content-length: {len(body)}", "expect: 100-continue")
        async with asyncio.timeout(WITHIN_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_multipart"),
        (b"{}", "invalid_multipart"),
        (HEAD + FILE + b"sound", "invalid_multipart"),
        (HEAD + HEAD + FILE + END, "invalid_multipart"),
    ],
)
async def test_what_is_no_form_is_refused(tmp_path: Path, body: bytes, code: str) -> None:
    async with receiving(tmp_path) as receiver:
        assert await receiver.send(body) == code
        assert open_files(tmp_path) == 0


async def test_a_full_disk_refuses_the_upload(tmp_path: Path) -> None:
    async with receiving(tmp_path) as receiver:
        with full_disk(PIECE):
            assert await receiver.send(HEAD + FILE + b"s" * (4 * PIECE) + END) == "upload_not_stored"
        assert open_files(tmp_path) == 0
