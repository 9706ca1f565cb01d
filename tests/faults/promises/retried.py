"""L12: retries do not make a failing upstream's day worse, and it is used again once it works."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from relayhub.testing.faults import answers, refusals
from tests.faults.promises.client import Asked, at_rate
from tests.faults.promises.figure import Figure
from tests.faults.promises.ground import Ground, standing, upstreams
from tests.support.openai_wire import completion, error

MODEL = "m"
SETTLES_S = 5.0
"""So long the retries may be more than their share."""

RECOVERS_S = 10.0
GOOD = answers.whole(completion(MODEL))


async def measure(home: Path, rate: float, seconds: float) -> list[Figure]:
    """Two upstreams have the model, and both answer everything with 503 for ``seconds``."""
    async with standing(home, lambda url: upstreams(url, a=MODEL, b=MODEL)) as ground:
        ground.upstream.program(MODEL, GOOD)
        await at_rate(rate, 1.0, lambda: ground.clients.chat(MODEL))
        ground.upstream.program(MODEL, refusals.refusal("503 Service Unavailable", error("down", type_="server_error")))
        early, _ = await _attempts(ground, rate, SETTLES_S)
        failing, attempts = await _attempts(ground, rate, seconds - SETTLES_S)
        ground.upstream.program(MODEL, GOOD)
        loop = asyncio.get_running_loop()
        mended_at = loop.time()
        after = await at_rate(rate, RECOVERS_S + 2, lambda: ground.clients.chat(MODEL))
        executed = ground.upstream.counters(MODEL).executions
        await ground.clients.close()
        rows = ground.hub.rows("SELECT count(*) AS n FROM usage WHERE outcome = 'completed'")
        answered = int(str(rows[0]["n"]))
    wrong = sorted(Counter(one.status for one in early + failing if one.status != 503).items())
    load = f"{rate:g}/s, two upstreams, all 503 for {seconds:g} s"
    return [
        Figure("L12", f"attempts for each request after {SETTLES_S:g} s; {load}", attempts / len(failing), 1.2),
        Figure(
            "L12",
            f"answers other than 503 meanwhile{' ' + str(wrong) if wrong else ''}",
            sum(n for _, n in wrong),
            0,
            exactly=True,
        ),
        Figure(
            "L12",
            "every call answered again after the fault's end, within",
            _recovered_s(after, mended_at),
            RECOVERS_S,
            "s",
            timed=True,
        ),
        Figure("L12", "calls charged more or less often than executed", executed - answered, 0, exactly=True),
        *ground.others(),
    ]


async def _attempts(ground: Ground, rate: float, seconds: float) -> tuple[list[Asked], int]:
    before = ground.upstream.counters(MODEL).requests
    asked = await at_rate(rate, seconds, lambda: ground.clients.chat(MODEL))
    attempts = ground.upstream.counters(MODEL).requests - before
    ground.upstream.forget()
    return asked, attempts


def _recovered_s(asked: list[Asked], since: float) -> float:
    """When the last call that failed was made."""
    return max((one.at - since for one in asked if one.status != 200), default=0.0)
