"""L6: one upstream that hangs does not slow the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from relayhub.testing.faults import answers, pace
from tests.faults.promises.client import Asked, at_rate
from tests.faults.promises.figure import Figure, quantile
from tests.faults.promises.ground import UNHURRIED, Ground, standing, until, upstreams
from tests.support.openai_wire import completion

FIRST_BYTE_S = 1.0
SPARE = 5
"""Tasks more than at the beginning that are no leak."""

EASE, LEAST = 0.2, 0.2
"""Of the time, so much may calls of the good one take if they come one after the other. On a machine where they would take
more, both have fewer, down to this share of the rate, and for as much longer."""


async def measure(home: Path, rate: float, seconds: float, rounds: int) -> list[Figure]:
    """In turns: the good one alone, then beside the hung one, each for its share of ``seconds``; so that what else the
    machine does is the same for both."""
    timeouts = {**UNHURRIED, "first_byte_s": FIRST_BYTE_S}
    alone: list[Asked] = []
    beside: list[Asked] = []
    hung: list[Asked] = []
    async with standing(home, lambda url: upstreams(url, timeouts, a="hung", b="good")) as ground:
        ground.upstream.program("good", answers.whole(completion("good")))
        ground.upstream.program("hung", pace.silence())
        tasks = ground.tasks
        await at_rate(rate, 1.0, lambda: ground.clients.chat("good"))
        call_s = quantile([(await ground.clients.chat("good")).took_s for _ in range(50)], 0.5)
        eased = max(min(rate, EASE / call_s), rate * LEAST)
        rate, seconds = eased, seconds * rate / eased
        share_s = seconds / rounds / 2
        for _ in range(rounds):
            alone += await at_rate(rate, share_s, lambda: ground.clients.chat("good"))
            good, bad = await _side_by_side(ground, rate, share_s)
            beside, hung = beside + good, hung + bad
            ground.upstream.forget()
        await ground.clients.close()
        back_s = await until(lambda: ground.tasks <= tasks + SPARE, 10)
        executions = ground.upstream.counters("hung").executions
    load = f"{rate:.3g}/s good, {rate:.3g}/s hung, {seconds:.3g} s"
    added_ms = (quantile(_took(beside), 0.99) - quantile(_took(alone), 0.99)) * 1000
    late_s = quantile([one.took_s - FIRST_BYTE_S for one in hung], 1.0)
    return [
        Figure("L6", f"added to the good one's p99; {load}", added_ms, 10, "ms", timed=True),
        Figure("L6", "answers of the good one other than 200", _others(alone + beside, 200), 0, exactly=True),
        Figure("L6", "answers of the hung one other than 504", _others(hung, 504), 0, exactly=True),
        Figure(
            "L6", f"error of the hung one later than its limit of {FIRST_BYTE_S:g} s, by", late_s, 0.5, "s", timed=True
        ),
        Figure("L6", "calls of the hung one sent more than once", executions - len(hung), 0, exactly=True),
        Figure("L6", "tasks back to where they were after", back_s, 5, "s", timed=True),
        *ground.others(),
    ]


async def _side_by_side(ground: Ground, rate: float, seconds: float) -> tuple[list[Asked], list[Asked]]:
    good, hung = await asyncio.gather(
        at_rate(rate, seconds, lambda: ground.clients.chat("good")),
        at_rate(rate, seconds, lambda: ground.clients.chat("hung")),
    )
    return good, hung


def _took(asked: Sequence[Asked]) -> list[float]:
    return [one.took_s for one in asked]


def _others(asked: Sequence[Asked], status: int) -> int:
    return len(asked) - Counter(one.status for one in asked)[status]
