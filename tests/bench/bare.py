"""The plainest proxy that one writes with aiohttp: an ``Application``, a ``ClientSession``, the body read as JSON for its
model. No keys but one, no limits, no books. ``python -m tests.bench.bare PORT UPSTREAM_PORT``"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from tests.bench.wire import CLIENT_KEY, UPSTREAM_KEY

BACKLOG = 4096
BODY_LIMIT_BYTES = 1 << 26


class Bare:
    """One upstream for every model."""

    def __init__(self, session: ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def relay(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("authorization") != f"Bearer {CLIENT_KEY}":
            raise web.HTTPUnauthorized
        body = await request.read()
        if not json.loads(body).get("model"):
            raise web.HTTPBadRequest
        headers = {"authorization": f"Bearer {UPSTREAM_KEY}", "content-type": "application/json"}
        async with self._session.post(self._upstream + request.path, data=body, headers=headers) as answer:
            kind = answer.headers["content-type"]
            if not kind.startswith("text/event-stream"):
                return web.Response(status=answer.status, body=await answer.read(), headers={"content-type": kind})
            response = web.StreamResponse(status=answer.status, headers={"content-type": kind})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


async def serve(port: int, upstream_port: int) -> None:
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=None)) as session:
        application = web.Application(client_max_size=BODY_LIMIT_BYTES)
        application.router.add_post("/{path:.*}", Bare(session, f"http://127.0.0.1:{upstream_port}").relay)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
