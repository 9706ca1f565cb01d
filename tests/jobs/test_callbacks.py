"""Calls from upstreams bring the next look forward, and do nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from relayhub.testing import Fate, JobStep
from relayhub.types.job import Job
from relayhub.types.media import JobState
from tests.jobs.bench import CENT, Bench, open_bench


def address(bench: Bench) -> tuple[str, str]:
    """Job and token, as the upstream was told them."""
    url = str(next(iter(bench.simulator.jobs.values())).asked["hook"])
    assert url.startswith("https://hub.example/files/callbacks/")
    job_id, token = url.split("/")[-2:]
    return job_id, token


def said(job: Job) -> bytes:
    return json.dumps({"id": job.upstream_id, "status": "done"}).encode()


async def test_a_call_brings_the_next_look_forward(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=0, run_s=1))
    job = await bench.submit()
    job_id, token = address(bench)
    assert job_id == job.id
    bench.clock.advance(2)
    assert await bench.engine.turn() == 0, "it is not due yet"
    assert await bench.callbacks.heard(job_id, token, {}, said(job))
    await bench.turn()
    assert (await bench.now(job)).state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_what_a_call_says_is_not_believed(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=1000))
    job = await bench.submit()
    job_id, token = address(bench)
    await bench.callbacks.heard(job_id, token, {}, said(job))
    await bench.turn()
    assert (await bench.now(job)).state is JobState.QUEUED


async def test_a_stranger_cannot_call(bench: Bench) -> None:
    job = await bench.submit()
    job_id, token = address(bench)
    assert not await bench.callbacks.heard(job_id, token[:-1] + "x", {}, said(job))
    assert not await bench.callbacks.heard("task_other", token, {}, said(job))
    assert not await bench.callbacks.heard(job_id, "é", {}, said(job))
    bench.clock.advance(1)
    assert await bench.engine.turn() == 0


async def test_a_call_about_another_job_changes_nothing(bench: Bench) -> None:
    await bench.submit()
    job_id, token = address(bench)
    await bench.callbacks.heard(job_id, token, {}, b'{"id": "job-000099"}')
    await bench.callbacks.heard(job_id, token, {}, b"not json")
    assert await bench.engine.turn() == 0


async def test_calls_and_polls_together_settle_once(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=0, run_s=1))
    job = await bench.submit()
    job_id, token = address(bench)
    bench.clock.advance(10)
    await asyncio.gather(
        *(bench.callbacks.heard(job_id, token, {}, said(job)) for _ in range(5)), bench.turn(), bench.turn()
    )
    await bench.turn(1)
    assert len(await bench.usage()) == 1
    await bench.settled(5 * CENT)


async def test_after_its_end_a_call_is_only_noted(bench: Bench) -> None:
    job = await bench.until_over(await bench.submit())
    job_id, token = address(bench)
    polls = bench.simulator.steps[JobStep.POLL]
    assert await bench.callbacks.heard(job_id, token, {}, said(job))
    await bench.turn(100)
    assert bench.simulator.steps[JobStep.POLL] == polls


async def test_without_a_public_address_nobody_is_asked_to_call(tmp_path: Path) -> None:
    async with open_bench(tmp_path, public=False) as bench:
        await bench.submit()
        assert next(iter(bench.simulator.jobs.values())).asked["hook"] is None
