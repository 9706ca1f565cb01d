"""A job stays with the credential that submitted it, and no plugin sees how."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from relayhub.jobs.binding import CREDENTIAL, bound, credential_of, label_of, provider_of, upstream_job
from relayhub.routing.credentials import Providers
from relayhub.testing import Fault, JobStep
from relayhub.types.job import Job
from relayhub.types.media import JobState
from tests.jobs.bench import open_bench
from tests.routing.routes import provider


def submitted(folder: Path) -> Job:
    async def inside() -> Job:
        async with open_bench(folder) as bench:
            return await bench.submit()

    return asyncio.run(inside())


def test_the_accounts_own_credential_is_asked_and_no_other(tmp_path: Path) -> None:
    job = submitted(tmp_path)
    several = Providers([provider("toy", "a"), provider("toy", "b")])
    on_b = replace(job, handle=bound(job.handle, "b"))
    assert credential_of(on_b) == "b"
    assert label_of(on_b) == "toy#b"
    found = provider_of(several, on_b)
    assert found is not None
    assert found.credential == "b"
    assert provider_of(several, replace(job, handle=bound({}, "gone"))) is None


def test_a_wire_gets_back_the_handle_that_it_gave(tmp_path: Path) -> None:
    job = replace(submitted(tmp_path), upstream_id="up-1")
    assert upstream_job(replace(job, handle=bound({"region": "x"}, "b"))).handle == {"region": "x"}
    assert upstream_job(replace(job, handle={"region": "x"})).handle == {"region": "x"}
    assert CREDENTIAL not in bound({"region": "x"}, None)


def test_a_job_of_several_credentials_is_submitted_polled_and_moved_on_with_its_own(tmp_path: Path) -> None:
    """The first one is limited, so the second has it, in the store too, and alone is asked how it goes."""

    async def inside() -> None:
        async with open_bench(tmp_path, names=("one", "two"), credentials=True) as bench:
            bench.upstreams[0].simulator.inject(Fault(429, step=JobStep.SUBMIT))
            job = await bench.now(await bench.submit())
            assert (job.provider, credential_of(job), job.attempts) == ("toy", "two", 2)
            before = len(bench.upstreams[0].transport.sent)
            ended = await bench.until_over(job)
            assert ended.state is JobState.SUCCEEDED
            assert len(bench.upstreams[0].transport.sent) == before
            assert credential_of(ended) == "two"
            await bench.exact()

    asyncio.run(inside())
