"""Links chosen by clients are fetched under a guard: no private address, no redirect, nothing unbounded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relayhub.types.errors import ClientError
from relayhub.upstream.media import MediaFetcher, MediaLimits

OWN = MediaLimits(max_bytes=1000, timeout_s=5, private_hosts={"127.0.0.1", "localhost"})


@asynccontextmanager
async def serving(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{rest:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def refused(url: str, limits: MediaLimits = OWN) -> str:
    with pytest.raises(ClientError) as caught:
        await MediaFetcher(limits, "test").fetch(url, "messages[0].content[1]")
    assert caught.value.param == "messages[0].content[1]"
    return caught.value.message


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=b"\x89PNG", content_type="image/png")


async def test_a_file_comes_inline_with_its_type() -> None:
    async with serving(picture) as url:
        media = await MediaFetcher(OWN, "test").fetch(f"{url}/a.png", "p")
    assert (base64.b64decode(media.data or ""), media.media_type, media.url) == (b"\x89PNG", "image/png", None)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "[::ffff:127.0.0.1]"],
)
async def test_private_addresses_are_refused_before_anything_is_sent(host: str) -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response()

    async with serving(handler) as url:
        port = url.rpartition(":")[2]
        assert "public" in await refused(f"http://{host}:{port}/", MediaLimits(timeout_s=5))
    assert not asked


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/x", "gopher://x", "http:///x"])
async def test_other_schemes_are_refused(url: str) -> None:
    assert "http" in await refused(url)


async def test_redirects_are_not_followed() -> None:
    followed = []

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/inner":
            followed.append(request)
        return web.Response(status=302, headers={"location": "/inner"})

    async with serving(handler) as url:
        assert "302" in await refused(f"{url}/outer")
    assert not followed


async def test_size_is_bounded() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=bytes(1001))

    async with serving(handler) as url:
        assert "1000 bytes" in await refused(f"{url}/big")


async def test_time_is_bounded() -> None:
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with serving(handler) as url:
        limits = MediaLimits(timeout_s=0.05, private_hosts={"127.0.0.1"})
        assert "0.05 s" in await refused(f"{url}/slow", limits)
        never.set()


async def test_an_unreachable_server_is_the_clients_error_without_details() -> None:
    async with serving(picture) as url:
        gone = url
    assert gone.rpartition(":")[2] not in await refused(f"{gone}/a.png")
