"""An upstream whose streams stay open until the test lets them end, and clients that hold many of them open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from relayhub.testing import Answer, Gate, Recorded, UpstreamSimulator
from tests.support.openai_wire import DONE, chunk, completion, usage_chunk


class GatedUpstream(UpstreamSimulator):
    """Streams say one word, and the rest once :attr:`gate` is open; anything else is answered at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def answer(self, request: Recorded) -> Answer:
        if request.method == "GET":
            return Answer.json({"object": "list", "data": []})
        asked = request.json()
        model = str(asked["model"])
        if not asked.get("stream"):
            return Answer(body=completion(model))
        body: list[bytes | Gate] = [
            chunk(model, content="Hello"),
            self.gate,
            chunk(model, content=" there."),
            chunk(model, finish="stop"),
            usage_chunk(model, 10, 5),
            DONE,
        ]
        return Answer(body=body, headers={"content-type": "text/event-stream"})

    def keys(self) -> list[str]:
        """What the hub signed in with, in the order of the requests."""
        return [request.headers.get("authorization", "").removeprefix("Bearer ") for request in self.requests]


@dataclass
class OpenStreams:
    """Streams that have begun. ``texts``: what each of them was sent, once they have ended."""

    tasks: list[asyncio.Task[bytes]] = field(default_factory=list)

    async def ended(self, within_s: float) -> list[bytes]:
        async with asyncio.timeout(within_s):
            return await asyncio.gather(*self.tasks)

    def still_open(self) -> int:
        return sum(not task.done() for task in self.tasks)


@asynccontextmanager
async def open_streams(
    url: str, key: str, count: int, model: str = "m", *, at_a_time: int = 40
) -> AsyncIterator[OpenStreams]:
    """``count`` streams of which each client has seen the first word."""
    begun, starting = asyncio.Semaphore(0), asyncio.Semaphore(at_a_time)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one() -> bytes:
            await starting.acquire()
            asked = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
            headers = {"authorization": f"Bearer {key}"}
            async with session.post(f"{url}/v1/chat/completions", json=asked, headers=headers) as answer:
                text = b""
                async for piece in answer.content.iter_any():
                    if not text:
                        begun.release()
                        starting.release()
                    text += piece
                return text if answer.status == 200 else b"%d " % answer.status + text

        streams = OpenStreams([asyncio.create_task(one()) for _ in range(count)])
        try:
            async with asyncio.timeout(90):
                for _ in range(count):
                    await begun.acquire()
            yield streams
        finally:
            for task in streams.tasks:
                task.cancel()
            await asyncio.gather(*streams.tasks, return_exceptions=True)


async def ask(url: str, key: str, model: str = "m") -> tuple[int, dict[str, object]]:
    """One whole answer: its status and body."""
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {key}"}) as answer,
    ):
        return answer.status, await answer.json()
