"""L5: each event of a stream passes at once, by itself, and silence is filled with signs of life."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.testing import Wait
from relayhub.testing.faults import Fault, Ticks, answers, does
from tests.faults.promises.client import Clients, Pipe
from tests.faults.promises.figure import Figure, quantile
from tests.faults.promises.ground import Ground, standing, upstreams
from tests.support.openai_wire import DONE, chunk

SENT = re.compile(rb'"content":"(\d+\.\d+)"')
EVERY_S = 0.25
DIRECT_SHARE = 0.2
"""Of the streams, beside the server: what the machine and this program take is not the server's delay."""


@dataclass(slots=True)
class Seen:
    """``reads``: that brought any event at all."""

    delays_s: list[float] = field(default_factory=list)
    reads: int = 0
    whole: int = 0

    async def follow(self, pipe: Pipe) -> None:
        reader, writer = pipe
        last = b""
        while data := await reader.read(1 << 16):
            now = time.monotonic()
            sent = [float(at) for at in SENT.findall(data)]
            self.delays_s += [now - at for at in sent]
            self.reads += bool(sent)
            last = (last + data)[-200:]
            if DONE in last:
                self.whole += 1
                break
        writer.close()


def stamped() -> bytes:
    return answers.chunks(chunk("m", content=f"{time.monotonic():.6f}"))


def program(events: int) -> Fault:
    end = answers.chunks(chunk("m", finish="stop"), DONE) + answers.LAST_CHUNK
    return does(answers.streamed(end=False), Ticks(stamped, events, EVERY_S), end)


async def measure(home: Path, streams: int, seconds: float, keep_alive_s: float) -> list[Figure]:
    events = max(int(seconds / EVERY_S), 1)
    server = {"keep_alive_s": keep_alive_s, "head_wait_s": keep_alive_s}
    async with standing(home, lambda url: upstreams(url, up="*"), server=server) as ground:
        ground.upstream.program("passing", program(events))
        beside = Clients(ground.upstream.url, ground.clients.key)
        through, direct = Seen(), Seen()
        ways = [(ground.clients, through)] * streams + [(beside, direct)] * int(streams * DIRECT_SHARE)
        following: list[asyncio.Task[None]] = []
        for clients, seen in random.Random(1).sample(
            ways, len(ways)
        ):  # one after the other: not all at the same moments
            following.append(asyncio.create_task(seen.follow(await clients.stream("passing"))))
            await asyncio.sleep(EVERY_S / len(ways))
        await asyncio.gather(*following)
        silence_s = await _silence(ground, keep_alive_s)
    added = {share: quantile(through.delays_s, share) - quantile(direct.delays_s, share) for share in (0.5, 0.99)}
    load = f"{streams} streams, an event every {EVERY_S * 1000:g} ms"
    return [
        Figure("L5", f"delay added to an event, p50; {load}", added[0.5] * 1000, 2, "ms", timed=True),
        Figure("L5", f"delay added to an event, p99; {load}", added[0.99] * 1000, 20, "ms", timed=True),
        Figure(
            "L5",
            "events that shared a read with another",
            (len(through.delays_s) - through.reads) / len(through.delays_s) * 100,
            1,
            "%",
            timed=True,
        ),
        Figure("L5", "streams without their normal end", streams - through.whole, 0, exactly=True),
        Figure("L5", "events lost", streams * events - len(through.delays_s), 0, exactly=True),
        Figure(
            "L5",
            f"sign of life later than after {keep_alive_s:g} s of silence, by",
            max(silence_s - keep_alive_s, 0) * 1000,
            250,
            "ms",
            timed=True,
        ),
        *ground.others(),
    ]


async def _silence(ground: Ground, keep_alive_s: float) -> float:
    """From the last event to the comment."""
    end = answers.chunks(chunk("m", finish="stop"), DONE) + answers.LAST_CHUNK
    first = answers.streamed(chunk("m", content="0"), end=False)
    ground.upstream.program("silent", does(first, Wait(keep_alive_s * 1.5), end))
    reader, writer = await ground.clients.stream("silent")
    await reader.readuntil(b'"content":"0"')
    began = time.monotonic()
    await reader.readuntil(b"\n:")
    took_s = time.monotonic() - began
    await reader.readuntil(DONE)
    writer.close()
    return took_s
