"""Forms for media: what they say is read beside the loop, which serves everybody else."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from relayhub.config import ServerConfig
from relayhub.types.chat import Media
from relayhub.web.context import CONTEXT
from relayhub.web.given import Received, receive
from relayhub.web.spool import FileSpool

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


def form(prompt: str = "a cat") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("prompt", prompt)
    data.add_field("image", PNG, filename="cat.png")
    return data


async def received(*forms: aiohttp.FormData, name: str | None = "n1") -> list[Received]:
    found: list[Received] = []

    async def take(request: web.Request) -> web.Response:
        found.append(await receive(request))
        return web.Response()

    app = web.Application()
    app[CONTEXT] = SimpleNamespace(server=ServerConfig())  # type: ignore[misc]
    app.router.add_post("/", take)
    async with TestClient(TestServer(app)) as client:
        for one in forms:
            headers = {} if name is None else {"idempotency-key": name}
            assert (await client.post("/", data=one, headers=headers)).status == 200
    return found


async def test_a_form_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    read_at = FileSpool.read_at

    def read(self: FileSpool, start: int, size: int) -> bytes:
        threads.add(threading.current_thread())
        return read_at(self, start, size)

    monkeypatch.setattr(FileSpool, "read_at", read)
    (one,) = await received(form())
    assert one.given.text("prompt") == "a cat"
    (image,) = one.given.take("image")[1:]
    assert isinstance(image, Media)
    assert image.media_type == "image/png"
    assert threads
    assert threading.main_thread() not in threads


async def test_the_same_form_is_the_same_request_whatever_its_boundary() -> None:
    first, again, other = await received(form(), form(), form("a dog"))
    assert first.digest == again.digest != other.digest


async def test_what_has_no_name_needs_no_digest() -> None:
    (one,) = await received(form(), name=None)
    assert (one.once, one.digest) == (None, "")
