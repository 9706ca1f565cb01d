"""Looking after jobs: polled at their pace, settled once, never lost."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest

from relayhub.jobs.engine import Parallel
from relayhub.jobs.pace import MAX_REMEMBERED, Progress
from relayhub.store.store import Store
from relayhub.testing import Answer, Cut, Fate, Fault, Hang, JobStep
from relayhub.types.errors import ClientError
from relayhub.types.http import HttpRequest
from relayhub.types.media import Found, JobFailure, JobState, JobUpdate, MediaUsage, PollPace, UpstreamJob, VideoRequest
from tests.jobs.bench import CENT, Bench, lose_answers, open_bench
from tests.testing.toy_media import ToyJobs


async def test_a_job_is_followed_to_its_end_and_settled_by_what_was_billed(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=10, run_s=20))
    job = await bench.submit(VideoRequest("film", "a cat", seconds=7))
    states = []
    for _ in range(12):
        await bench.turn(4)
        states.append((await bench.now(job)).state)
    assert states[0] is JobState.QUEUED
    assert states[-1] is JobState.SUCCEEDED
    assert JobState.IN_PROGRESS in states
    await bench.settled(7 * CENT)
    (row,) = await bench.usage()
    assert (row["outcome"], row["measured"], row["operation"], row["cost_nano"]) == (
        "completed",
        True,
        "video",
        7 * CENT,
    )


async def test_it_is_asked_at_its_own_pace(bench: Bench) -> None:
    class Patient(ToyJobs):
        pace = PollPace(first_s=5, every_s=8, slow_after_s=40, slow_every_s=20, patient_after_s=100, patient_every_s=60)

    bench.upstreams[0].wire.pace = Patient.pace
    bench.simulator.foretell(Fate(queue_s=0, run_s=10_000))
    await bench.submit()
    looks = []
    for second in range(300):
        before = bench.simulator.steps[JobStep.POLL]
        await bench.turn(1)
        if bench.simulator.steps[JobStep.POLL] > before:
            looks.append(second + 1)
    assert looks == [5, 13, 21, 29, 37, 45, 65, 85, 105, 165, 225, 285]


async def test_results_are_home_before_a_client_is_told(bench: Bench) -> None:
    job = await bench.submit()
    states: list[str] = []

    def look(request: HttpRequest) -> None:
        if "/simulated-results/" in request.url:
            states.append(bench.simulator.state(bench.simulator.jobs["job-000001"]).value)

    bench.transport.after = look
    done = await bench.until_over(job)
    assert states == ["succeeded"]
    (result,) = await bench.jobs.results(done.id)
    assert result.media_type == "video/mp4"
    assert bench.files.path(result.file or "").read_bytes().startswith(b"\0\0\0\x18ftyp")


async def test_a_result_that_cannot_be_fetched_yet_is_fetched_later(bench: Bench) -> None:
    bench.simulator.inject(Fault(503, step=JobStep.FETCH), Fault(Cut(), step=JobStep.FETCH))
    job = await bench.submit()
    done = await bench.until_over(job)
    assert done.state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_a_result_that_can_never_be_had_is_not_charged(bench: Bench) -> None:
    bench.simulator.inject(*(Fault(404, step=JobStep.FETCH) for _ in range(2000)))
    bench.upstreams[0].wire.pace = PollPace(every_s=600, limit_s=3600)
    done = await bench.until_over(await bench.submit(), step_s=600, most=200)
    assert (done.state, done.error_code) == (JobState.FAILED, "result_lost")
    await bench.settled(0)


async def test_a_result_above_the_limit_is_not_kept(bench: Bench) -> None:
    big = Answer(200, bytes(2 << 20), {"content-type": "video/mp4"})
    bench.simulator.result = lambda _job, _name: big  # type: ignore[method-assign]
    done = await bench.until_over(await bench.submit())
    assert (done.state, done.error_code) == (JobState.FAILED, "result_lost")
    assert list(bench.files._folder.glob("*/*")) == [], "nothing is left of it"
    await bench.settled(0)


async def test_a_failure_is_told_and_costs_nothing(bench: Bench) -> None:
    bench.simulator.foretell(Fate(failure=("policy", "no")))
    done = await bench.until_over(await bench.submit())
    assert (done.state, done.error_message, done.progress) == (JobState.FAILED, "It broke.", 100)
    await bench.settled(0)


async def test_a_failure_that_its_upstream_charges_for_is_charged(tmp_path: Path) -> None:
    class Charging(ToyJobs):
        def poll(self, job):  # type: ignore[no-untyped-def]
            update = yield from super().poll(job)
            failed = JobUpdate(JobState.FAILED, failure=JobFailure("content_policy", "no", charged=True))
            return failed if update.state is JobState.SUCCEEDED else update

    async with open_bench(tmp_path, wire=Charging) as bench:
        done = await bench.until_over(await bench.submit())
        assert done.state is JobState.FAILED
        await bench.settled(5 * CENT)


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 401, Cut(), Hang()])
async def test_trouble_with_asking_says_nothing_about_the_job(bench: Bench, fault: int | Cut | Hang) -> None:
    job = await bench.submit()
    bench.simulator.inject(*(Fault(fault, step=JobStep.POLL) for _ in range(4)))
    done = await bench.until_over(job)
    assert done.state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_a_job_that_its_upstream_no_longer_knows_is_lost_after_three_looks(bench: Bench) -> None:
    job = await bench.submit()
    bench.simulator.jobs["job-000001"].forgotten = True
    await bench.turn(5)
    await bench.turn(30)
    assert (await bench.now(job)).is_open
    done = await bench.until_over(job)
    assert (done.state, done.error_code) == (JobState.FAILED, "upstream_lost")
    await bench.settled(0)


async def test_a_late_success_is_settled_and_delivered(bench: Bench) -> None:
    bench.simulator.foretell(Fate(run_s=20 * 3600))
    done = await bench.until_over(await bench.submit(), step_s=1200, most=100)
    assert done.state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_after_the_upstreams_own_limit_it_is_over_and_released_once(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=math.inf))
    done = await bench.until_over(await bench.submit(), step_s=3600, most=100)
    assert (done.state, done.error_code) == (JobState.FAILED, "timeout")
    assert bench.simulator.steps[JobStep.CANCEL] == 1
    await bench.turn(86_400)
    await bench.settled(0)


async def test_a_word_that_nobody_knows_changes_nothing(tmp_path: Path) -> None:
    class Strange(ToyJobs):
        def poll(self, job):  # type: ignore[no-untyped-def]
            update = yield from super().poll(job)
            return JobUpdate(None) if update.state is JobState.IN_PROGRESS else update

    async with open_bench(tmp_path, wire=Strange) as bench:
        job = await bench.submit()
        await bench.turn(12)
        assert (await bench.now(job)).state is JobState.QUEUED
        assert (await bench.until_over(job)).state is JobState.SUCCEEDED


async def test_a_step_back_is_not_believed(tmp_path: Path) -> None:
    class Back(ToyJobs):
        asked = 0

        def poll(self, job):  # type: ignore[no-untyped-def]
            update = yield from super().poll(job)
            type(self).asked += 1
            return JobUpdate(JobState.QUEUED) if type(self).asked == 3 else update

    async with open_bench(tmp_path, wire=Back) as bench:
        bench.simulator.foretell(Fate(run_s=500))
        job = await bench.submit()
        for _ in range(3):
            await bench.turn(10)
        assert Back.asked >= 3
        assert (await bench.now(job)).state is JobState.IN_PROGRESS


class Broken(ToyJobs):
    def poll(self, job):  # type: ignore[no-untyped-def]
        raise RuntimeError("a bug")
        yield


async def test_a_plugins_bug_is_its_own_jobs_trouble(tmp_path: Path) -> None:
    async with open_bench(tmp_path, wire=Broken) as bench:
        job = await bench.submit()
        for _ in range(5):
            await bench.turn(120)
        found = await bench.now(job)
        assert found.is_open
        assert found.poll_errors >= 3
        await bench.exact()


async def test_progress_grows_and_never_reaches_its_end_before_the_job(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=0, run_s=500))
    job = await bench.submit()
    seen = []
    for _ in range(40):
        await bench.turn(10)
        seen.append((await bench.now(job)).progress)
    assert seen == sorted(seen)
    assert max(seen) == 90
    assert len(set(seen)) > 5


async def test_the_usual_time_of_a_model_is_learnt(bench: Bench) -> None:
    for _ in range(3):
        bench.simulator.foretell(Fate(queue_s=0, run_s=600))
        await bench.until_over(await bench.submit(), step_s=60)
    bench.simulator.foretell(Fate(queue_s=0, run_s=600))
    job = await bench.submit()
    await bench.turn(8)
    for _ in range(30):
        await bench.turn(10)
    assert 40 <= (await bench.now(job)).progress <= 60, "half of the usual ten minutes"


async def test_an_upstream_cannot_put_off_the_next_look_for_ever(bench: Bench) -> None:
    job = await bench.submit()
    later = Answer(429, b"{}", {"retry-after": "9000000"})
    bench.simulator.inject(Fault(later, step=JobStep.POLL))
    await bench.turn(5)
    assert (await bench.until_over(job, step_s=600, most=10)).state is JobState.SUCCEEDED


async def test_an_upstream_cannot_have_itself_asked_without_a_pause(bench: Bench) -> None:
    await bench.submit()
    bench.simulator.inject(*(Fault(Answer(429, b"{}", {"retry-after-ms": "1"}), step=JobStep.POLL) for _ in range(9)))
    await bench.turn(5)
    polls = bench.simulator.steps[JobStep.POLL]
    await bench.turn(0.25)
    assert bench.simulator.steps[JobStep.POLL] == polls


async def test_a_bill_beyond_all_numbers_ends_the_job_all_the_same(tmp_path: Path) -> None:
    class Dear(ToyJobs):
        def poll(self, job):  # type: ignore[no-untyped-def]
            update = yield from super().poll(job)
            if update.state is not JobState.SUCCEEDED:
                return update
            return replace(update, usage=MediaUsage(video_ms=10**18))

    async with open_bench(tmp_path, wire=Dear) as bench:
        done = await bench.until_over(await bench.submit())
        assert done.state is JobState.SUCCEEDED
        await bench.exact()


async def test_a_job_that_was_found_begins_with_a_clean_slate(bench: Bench) -> None:
    """Troubles of the lookup are none of the polls': one 404 of an upstream that is not yet up to date ends nothing."""
    lose_answers(bench)
    job = await bench.submit()
    bench.transport.after = lambda _: None
    bench.simulator.inject(*(Fault(503, step=JobStep.LIST) for _ in range(5)))
    bench.simulator.inject(Fault(404, step=JobStep.POLL))
    done = await bench.until_over(job)
    assert done.state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_a_kept_request_of_another_version_is_given_up_and_not_tripped_over_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(bench)
    job = await bench.submit()
    monkeypatch.setattr("relayhub.jobs.looking.unpack", lambda *_: VideoRequest(gone=1))  # type: ignore[arg-type]
    done = await bench.until_over(job)
    assert (done.state, done.error_code) == (JobState.FAILED, "submit_unknown")
    await bench.settled(0)


async def test_an_unknown_submit_waits_for_its_provider_to_be_configured_again(bench: Bench) -> None:
    lose_answers(bench)
    job = await bench.submit()
    bench.transport.after = lambda _: None
    looking = bench.engine._looking
    bench.engine._looking = replace(looking, providers={})
    await bench.turn(600)
    assert (await bench.now(job)).state is JobState.SUBMIT_UNKNOWN
    bench.engine._looking = looking
    assert (await bench.until_over(job)).state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


# --- one winner ---------------------------------------------------------------------------------------------------------


async def test_two_lookups_at_once_do_not_find_the_same_job(tmp_path: Path) -> None:
    """Where an upstream knows no name of ours, jobs are found by when they were sent: both see the same candidate."""

    class ByTime(ToyJobs):
        def find(self, model, request, reference, since, until, owned=()):  # type: ignore[no-untyped-def]
            yield self.ask("GET", "/jobs?ref=any")
            return UpstreamJob("job-000001")

    async with open_bench(tmp_path, wire=ByTime) as bench:
        lose_answers(bench)
        jobs = [await bench.submit(), await bench.submit()]
        bench.transport.after = lambda _: None
        bench.clock.advance(70)
        claimed = await bench.jobs.claim({"toy": 5}, bench.clock.now())
        await asyncio.gather(*(bench.engine._looking.look(one) for one in claimed))
        found = [(await bench.now(job)).upstream_id for job in jobs]
        assert sorted(found, key=str) == [None, "job-000001"]


async def test_the_usual_times_of_endless_names_are_not_all_remembered(bench: Bench) -> None:
    """A wildcard lets clients choose the name of a model."""
    job = replace(await bench.submit(), state=JobState.IN_PROGRESS)
    progress = Progress(bench.jobs, bench.clock)
    for number in range(MAX_REMEMBERED + 5):
        await progress.of(replace(job, model=f"film-{number}"), None)
    assert len(progress._usual) <= MAX_REMEMBERED


async def test_many_looks_at_once_settle_once(bench: Bench) -> None:
    job = await bench.submit()
    bench.clock.advance(60)
    claimed = await bench.jobs.claim({"toy": 1}, bench.clock.now())
    assert [one.id for one in claimed] == [job.id]
    await asyncio.gather(*(bench.engine._looking.look(claimed[0]) for _ in range(6)))
    assert len(await bench.usage()) == 1
    await bench.settled(5 * CENT)
    assert len(await bench.jobs.results(job.id)) == 1


async def test_cancel_against_success_ends_once(bench: Bench) -> None:
    job = await bench.submit()
    bench.clock.advance(60)
    (claimed,) = await bench.jobs.claim({"toy": 1}, bench.clock.now())
    results = await asyncio.gather(
        bench.engine._looking.look(claimed), bench.engine.cancel(claimed), return_exceptions=True
    )
    assert not [one for one in results if isinstance(one, BaseException) and not isinstance(one, ClientError)]
    assert (await bench.now(job)).state is JobState.SUCCEEDED
    assert len(await bench.usage()) == 1
    await bench.settled(5 * CENT)


async def test_an_open_job_is_cancelled_where_its_upstream_takes_it_back(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=100))
    job = await bench.submit()
    assert (await bench.engine.cancel(job)).state is JobState.CANCELLED
    await bench.turn(200)
    assert (await bench.now(job)).state is JobState.CANCELLED
    await bench.settled(0)


async def test_a_refused_cancel_is_a_conflict_and_the_job_goes_on(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=0, run_s=60))
    job = await bench.submit()
    await bench.turn(8)
    with pytest.raises(ClientError) as refused:
        await bench.engine.cancel(await bench.now(job))
    assert refused.value.code == "job_not_cancellable"
    assert (await bench.until_over(job)).state is JobState.SUCCEEDED


# --- many of them, and several processes --------------------------------------------------------------------------------


async def test_a_provider_that_hangs_keeps_only_its_own_jobs_waiting(tmp_path: Path) -> None:
    async with open_bench(tmp_path, names=("hung", "fine"), parallel=Parallel(6, 4)) as bench:
        hung = bench.upstreams[0]
        never = asyncio.Event()
        short = VideoRequest("film", "a cat", seconds=1)
        jobs = [await bench.submit(short) for _ in range(20)]
        assert {(await bench.now(job)).provider for job in jobs} == {"hung"}
        hung.transport.reachable = False
        good = [await bench.submit(short) for _ in range(10)]
        assert {(await bench.now(job)).provider for job in good} == {"fine"}
        hung.transport.reachable = True
        inner = hung.transport.send

        def stuck(request: HttpRequest, deadlines: object):  # type: ignore[no-untyped-def]
            class Stuck:
                async def __aenter__(self) -> None:
                    await never.wait()

                async def __aexit__(self, *_: object) -> None:
                    return

            return Stuck() if request.method == "GET" else inner(request, deadlines)  # type: ignore[arg-type]

        hung.transport.send = stuck  # type: ignore[method-assign,assignment]
        for _ in range(40):
            bench.clock.advance(10)
            await bench.engine.turn()
            waiting = [task for task, provider in bench.engine._looks.values() if provider == "fine"]
            await asyncio.gather(*waiting)
        assert all([(await bench.now(job)).state is JobState.SUCCEEDED for job in good])
        assert len(bench.engine._looks) <= 4
        never.set()
        for task, _ in list(bench.engine._looks.values()):
            task.cancel()
        await asyncio.gather(*(task for task, _ in bench.engine._looks.values()), return_exceptions=True)


async def test_what_one_process_has_taken_another_leaves_alone_until_its_lease_ends(bench: Bench) -> None:
    await bench.submit()
    bench.clock.advance(10)
    now = bench.clock.now()
    assert len(await bench.jobs.claim({"toy": 5}, now)) == 1
    assert await bench.jobs.due(now) == {}
    assert await bench.jobs.due(now + 31) == {"toy": 1}


async def test_a_job_is_free_again_after_each_look(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=1000))
    await bench.submit()
    await bench.turn(5)
    assert await bench.jobs.due(bench.clock.now() + 8) == {"toy": 1}


async def test_jobs_of_others_are_no_candidates(tmp_path: Path) -> None:
    """Where nothing marks a job as ours it goes by elimination: what belongs to others is set aside first."""

    class Unmarked(ToyJobs):
        def find(self, model, request, reference, since, until, owned=()):  # type: ignore[no-untyped-def]
            ids = set(self.made) - set(owned)
            yield self.ask("GET", "/jobs?ref=any")
            return UpstreamJob(ids.pop()) if len(ids) == 1 else Found.UNSURE if ids else Found.NO

    async with open_bench(tmp_path, wire=Unmarked) as bench:
        short = VideoRequest("film", "a cat", seconds=1)
        for _ in range(5):
            await bench.submit(short)
        bench.simulator.inject(Fault(Cut(), executed=True))
        unknown = await bench.submit(short)
        Unmarked.made = property(lambda _: list(bench.simulator.jobs))  # type: ignore[attr-defined]
        await bench.turn(70)
        assert (await bench.now(unknown)).upstream_id == "job-000006"


async def test_two_processes_cannot_claim_the_same_job_of_an_upstream(bench: Bench) -> None:
    lose_answers(bench)
    jobs = [await bench.submit(), await bench.submit()]
    other = await Store.open(bench.files._folder.parent / "books.db", durability="process", clock=bench.clock)
    try:
        changes = {"upstream_id": "job-000001", "state": "queued"}
        won = await asyncio.gather(
            bench.jobs.move(jobs[0].id, {JobState.SUBMIT_UNKNOWN}, changes),
            other.jobs.move(jobs[1].id, {JobState.SUBMIT_UNKNOWN}, changes),
        )
        assert sorted(won) == [False, True]
    finally:
        await other.close()


async def test_what_an_upstream_says_is_kept_without_what_leads_to_it(tmp_path: Path) -> None:
    said = "No: see http://10.1.2.3:8080/in, ark.region.volces.com/api, /srv/app/x.py, Request id: 0217abc; key sk-abcdefgh"

    class Telling(ToyJobs):
        def poll(self, job):  # type: ignore[no-untyped-def]
            yield from super().poll(job)
            return JobUpdate(JobState.FAILED, failure=JobFailure("content_policy", said))

    async with open_bench(tmp_path, wire=Telling) as bench:
        done = await bench.until_over(await bench.submit())
        kept = done.error_message or ""
        assert kept.startswith("No: see ")
        assert not [word for word in ("10.1.2.3", "volces", "/srv", "0217abc", "sk-abc", "8080") if word in kept]


async def test_a_login_page_is_no_result(bench: Bench) -> None:
    page = Answer(200, b"<html>login</html>", {"content-type": "text/html"})
    bench.simulator.inject(Fault(page, step=JobStep.FETCH), Fault(page, step=JobStep.FETCH))
    done = await bench.until_over(await bench.submit())
    (result,) = await bench.jobs.results(done.id)
    assert bench.files.path(result.file or "").read_bytes().startswith(b"\0\0\0\x18ftyp")


async def test_only_not_knowing_it_three_times_in_a_row_counts(bench: Bench) -> None:
    bench.simulator.foretell(Fate(queue_s=300))
    job = await bench.submit()
    bench.simulator.inject(*(Fault(status, step=JobStep.POLL) for status in (503, 503, 404, 404, 503, 404, 404)))
    for _ in range(7):
        await bench.turn(61)
    assert (await bench.now(job)).is_open
