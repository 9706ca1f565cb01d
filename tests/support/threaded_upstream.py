"""A raw upstream in a thread of its own, for servers that outlive one test: the model in a request picks the answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.raw_upstream import Script, read_request

Answer = bytes | Script


@dataclass
class ThreadedUpstream:
    """``answers``: by upstream model name. ``requests``: bodies, in order. ``open``: connections that have carried a
    request and are still open."""

    named_by: str = "model"
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[dict[str, object]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def of(self, model: str) -> list[dict[str, object]]:
        return [request for request in self.requests if request.get("model") == model]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        model = ""
        try:
            while True:
                head, _, body = (await read_request(reader)).partition(b"\r\n\r\n")
                request = json.loads(body or b"{}")
                model = request.get(self.named_by, "")
                with self.changed:
                    self.heads.append(head)
                    self.requests.append(request)
                    self.open[model] = self.open.get(model, 0) + 1
                    self.changed.notify_all()
                answer = self.answers[model]
                if not isinstance(answer, bytes):
                    await answer(reader, writer)
                    break
                writer.write(answer)
                await writer.drain()
                self._closed(model)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            self._closed(model)

    def _closed(self, model: str) -> None:
        with self.changed:
            self.open[model] = 0
            self.changed.notify_all()


@contextmanager
def threaded_upstream(named_by: str = "model") -> Iterator[ThreadedUpstream]:
    """``named_by``: the field of a request that picks its answer."""
    upstream = ThreadedUpstream(named_by)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.port = server.sockets[0].getsockname()[1]
        return server

    async def stop() -> None:
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
