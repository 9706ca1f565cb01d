"""Receiving a form: onto disk, and read on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from relayhub.config import ServerConfig
from relayhub.dialects.multipart import Form, FormScanner, boundary_of, malformed
from relayhub.types.http import Body, SpoolSlice
from relayhub.web.body import body_too_large, body_too_slow, invite_body
from relayhub.web.spool import FileSpool


@dataclass(frozen=True, slots=True)
class Upload:
    """``body``: the form as it came, on disk; ``content_type``: as the client said it."""

    body: Body
    form: Form
    content_type: str


@asynccontextmanager
async def receive_form(request: web.Request, wanted: Collection[str], server: ServerConfig) -> AsyncIterator[Upload]:
    """The form for as long as the block runs. ``wanted``: the fields whose values are read. Raises ``ClientError``: 415
    for anything but a form, 413, 408, 400 naming what is wrong with it; ``HubError`` where the disk takes no more."""
    content_type = ", ".join(request.headers.getall("content-type", []))
    scanner = FormScanner(boundary_of(content_type), wanted)
    await invite_body(request, server.upload_limit)
    with FileSpool(server.upload_dir) as spool:
        try:
            async with asyncio.timeout(server.upload_timeout_s):
                await _receive(request, scanner, spool, server.upload_limit)
        except TimeoutError:
            raise body_too_slow(server.upload_timeout_s) from None
        form = scanner.finish()
        yield Upload((SpoolSlice(spool, 0, form.size),), form, content_type)


async def _receive(request: web.Request, scanner: FormScanner, spool: FileSpool, limit: int) -> None:
    size = 0
    try:
        while data := await request.content.readany():
            size += len(data)
            if size > limit:
                raise body_too_large(limit)
            scanner.feed(data)
            await spool.append(data)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise malformed("the connection broke off before its end") from error
    await spool.flush()
