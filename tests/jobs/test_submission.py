"""Submitting: hold and job first, one paid request at most, and the truth about what came of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from relayhub.accounts.issuing import issue_key
from relayhub.jobs.offers import Offer
from relayhub.jobs.submission import Submissions
from relayhub.testing import Answer, Cut, Fault, Hang, Recorded
from relayhub.types.errors import ClientError, ErrorKind, HubError, UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.job import Job
from relayhub.types.media import Artifact, ImageRequest, JobFailure, JobState, MediaKind, UpstreamJob, VideoRequest
from tests.jobs.bench import CENT, Bench, Reply, lose_answers, open_bench
from tests.testing.toy_media import BASE, KEY, Settings, ToyImages, ToyJobs


async def test_hold_and_job_are_durable_before_anything_is_sent(bench: Bench) -> None:
    seen: list[tuple[object, ...]] = []

    def look(request: HttpRequest) -> None:
        with sqlite3.connect(bench.files._folder.parent / "books.db") as other:
            jobs = other.execute("SELECT state, sealed IS NOT NULL FROM jobs").fetchall()
            seen.append((jobs, other.execute("SELECT amount_nano, epoch_id FROM holds").fetchall()))

    bench.transport.before = look
    await bench.submit()
    assert seen == [([("new", 1)], [(5 * CENT, "jobs")])]


async def test_an_accepted_job_is_queued_with_its_upstreams_name(bench: Bench) -> None:
    job = await bench.submit()
    kept = await bench.now(job)
    assert (kept.state, kept.upstream_id) == (JobState.QUEUED, "job-000001")
    assert kept.handle == {"kind": "toy"}
    assert bench.simulator.executions == {job.id: 1}
    assert len(job.id) == len("task_") + 32


async def test_over_quota_nothing_is_sent_and_no_job_is_kept(bench: Bench) -> None:
    with pytest.raises(ClientError) as refused:
        await bench.submit(VideoRequest("film", "long", seconds=101))
    assert refused.value.kind is ErrorKind.QUOTA_EXCEEDED
    assert bench.transport.sent == []
    assert await bench.jobs.count_open() == 0
    await bench.settled(0)


async def test_a_parameter_that_cannot_be_honoured_is_named_and_nothing_is_held(bench: Bench) -> None:
    with pytest.raises(ClientError) as refused:
        await bench.submit(VideoRequest("film", "a cat", seed=3))
    assert refused.value.param == "seed"
    await bench.settled(0)


@pytest.mark.parametrize("status", [429, 503])
async def test_what_was_not_taken_goes_to_the_next_provider(tmp_path: Path, status: int) -> None:
    async with open_bench(tmp_path, names=("one", "two")) as bench:
        one, two = bench.upstreams
        one.simulator.inject(Fault(status))
        job = await bench.submit()
        assert (await bench.now(job)).provider == "two"
        assert one.simulator.executions == {}
        assert two.simulator.executions == {job.id: 1}
        done = await bench.until_over(job)
        assert done.attempts == 2
        await bench.settled(5 * CENT)


async def test_a_provider_that_cannot_be_reached_was_not_asked(tmp_path: Path) -> None:
    async with open_bench(tmp_path, names=("one", "two")) as bench:
        bench.transport.reachable = False
        assert (await bench.now(await bench.submit())).provider == "two"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_what_nobody_takes_has_failed_and_costs_nothing(bench: Bench, status: int) -> None:
    bench.simulator.inject(Fault(status))
    with pytest.raises(UpstreamError) as refused:
        await bench.submit()
    assert not refused.value.delivered
    (job,) = await bench.jobs.newest(bench.principal.account_id, bench.call().kind, 10)
    assert (job.state, job.error_code) == (JobState.FAILED, refused.value.code)
    await bench.settled(0)


@pytest.mark.parametrize("fault", [500, 502, 504, Cut(), Hang()])
@pytest.mark.parametrize("executed", [True, False])
async def test_whatever_else_happens_is_unknown_and_never_sent_again(
    tmp_path: Path, fault: int | Cut | Hang, executed: bool
) -> None:
    async with open_bench(tmp_path, names=("one", "two")) as bench:
        bench.simulator.inject(Fault(fault, executed=executed))
        job = await bench.submit()
        assert job.state is JobState.SUBMIT_UNKNOWN
        assert bench.upstreams[1].transport.sent == []
        assert (await bench.books.money())[2] == 5 * CENT, "the hold stays"
        done = await bench.until_over(job)
        posts = [request for one in bench.upstreams for request in one.transport.sent if request.method == "POST"]
        assert len(posts) == 1
        assert done.state is (JobState.SUCCEEDED if executed else JobState.FAILED)
        assert done.error_code == (None if executed else "not_accepted")
        await bench.settled(5 * CENT if executed else 0)


async def test_an_answer_that_cannot_be_read_names_the_job_and_is_not_to_be_tried_again(bench: Bench) -> None:
    bench.simulator.inject(Fault(Answer(200, b"<html>"), executed=True))
    with pytest.raises(UpstreamError) as unread:
        await bench.submit()
    (job,) = await bench.jobs.newest(bench.principal.account_id, bench.call().kind, 10)
    assert job.id in unread.value.message
    assert unread.value.delivered
    assert job.state is JobState.SUBMIT_UNKNOWN
    assert (await bench.until_over(job)).state is JobState.SUCCEEDED
    await bench.settled(5 * CENT)


async def test_a_lookup_waits_a_minute(bench: Bench) -> None:
    lose_answers(bench)
    job = await bench.submit()
    await bench.turn(59)
    assert [request.method for request in bench.transport.sent] == ["POST"]
    await bench.turn(2)
    assert (await bench.now(job)).upstream_id == "job-000001"


async def test_a_job_that_is_another_ones_is_not_taken_for_this_one(bench: Bench) -> None:
    first = await bench.submit()
    lose_answers(bench)
    second = await bench.submit()
    bench.simulator.jobs["job-000002"].forgotten = True
    bench.simulator.jobs["job-000001"].handle = second.id
    bench.transport.after = lambda _: None
    await bench.turn(70)
    assert (await bench.now(second)).upstream_id is None
    assert (await bench.now(first)).upstream_id == "job-000001"


class Blind(ToyJobs):
    """An upstream that cannot be asked what became of a submit."""

    find = None  # type: ignore[assignment]


async def test_without_a_lookup_an_unknown_submit_is_given_up_and_released(tmp_path: Path) -> None:
    async with open_bench(tmp_path, wire=Blind) as bench:
        lose_answers(bench)
        job = await bench.submit()
        done = await bench.until_over(job)
        assert (done.state, done.error_code) == (JobState.FAILED, "submit_unknown")
        await bench.settled(0)


async def test_a_client_that_leaves_changes_nothing(bench: Bench) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    inner = bench.transport.send

    @asynccontextmanager
    async def slow(request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[Reply]:
        arrived.set()
        await go_on.wait()
        async with inner(request, deadlines) as reply:
            yield reply

    bench.transport.send = slow  # type: ignore[method-assign]
    client = asyncio.create_task(bench.submit())
    await arrived.wait()
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    go_on.set()
    await asyncio.wait(bench.engine._paid)
    (job,) = await bench.jobs.newest(bench.principal.account_id, bench.call().kind, 10)
    assert job.state is JobState.QUEUED
    assert sum(bench.simulator.executions.values()) == 1


class TwicePaid(ToyJobs):
    def submit(self, model, request, reference):  # type: ignore[no-untyped-def]
        yield from super().submit(model, request, reference)
        return (yield from super().submit(model, request, reference))


async def test_a_wire_that_would_pay_twice_is_stopped(tmp_path: Path) -> None:
    async with open_bench(tmp_path, wire=TwicePaid) as bench:
        job = await bench.submit()
        assert job.state is JobState.SUBMIT_UNKNOWN
        assert sum(bench.simulator.executions.values()) == 1


# --- the client's own name for its request ------------------------------------------------------------------------------


async def test_the_same_named_request_is_the_same_job(bench: Bench) -> None:
    first = await bench.ask(once="n1")
    again = await bench.ask(once="n1")
    assert (again.job.id, again.replayed, first.replayed) == (first.job.id, True, False)
    assert sum(bench.simulator.executions.values()) == 1
    assert (await bench.books.money())[2] == 5 * CENT


async def test_another_body_under_the_same_name_is_refused(bench: Bench) -> None:
    await bench.ask(once="n1")
    with pytest.raises(ClientError) as refused:
        await bench.ask(once="n1", body_hash="another")
    assert refused.value.kind is ErrorKind.UNPROCESSABLE


async def test_the_name_is_free_again_after_a_day(bench: Bench) -> None:
    first = await bench.submit(once="n1")
    bench.clock.advance(24 * 3600 + 1)
    assert (await bench.submit(once="n1")).id != first.id


async def test_names_are_each_keys_own(bench: Bench) -> None:
    first = await bench.submit(once="n1")
    other = await issue_key(bench.books.store.keys, "other", bench.books.account_id)
    principal = replace(bench.principal, key_id=other.key.id)
    assert (await bench.submit(once="n1", principal=principal)).id != first.id


async def test_twins_at_the_same_moment_are_one_job_and_the_second_is_told_to_wait(bench: Bench) -> None:
    results = await asyncio.gather(*(bench.ask(once="n1") for _ in range(8)), return_exceptions=True)
    kept = {result.job.id for result in results if not isinstance(result, BaseException)}
    codes = {error.code for error in results if isinstance(error, ClientError)}
    assert len(kept) == 1
    assert codes <= {"idempotency_in_flight"}
    assert sum(bench.simulator.executions.values()) == 1


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_a_request_that_nobody_took_may_be_sent_again_under_its_name(bench: Bench, status: int) -> None:
    bench.simulator.inject(Fault(status))
    with pytest.raises(UpstreamError):
        await bench.ask(once="n1")
    again = await bench.ask(once="n1")
    assert not again.replayed
    assert bench.simulator.executions == {again.job.id: 1}


async def test_images_that_may_have_been_made_keep_their_name(bench: Bench) -> None:
    lose_answers(bench)
    asked = ImageRequest("paint", "a cat")
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await bench.ask(asked, kind=MediaKind.IMAGE, once="n1")
    assert len(bench.transport.sent) == 1


@pytest.mark.parametrize("status", [301, 303, 500, 529, 599])
async def test_only_a_refusal_is_one(tmp_path: Path, status: int) -> None:
    """A redirect or an unheard-of status may hide a job that was made."""
    async with open_bench(tmp_path, names=("one", "two")) as bench:
        bench.simulator.inject(Fault(status, executed=True))
        job = await bench.submit()
        assert job.state is JobState.SUBMIT_UNKNOWN
        assert bench.upstreams[1].transport.sent == []


@pytest.mark.parametrize("upstream_id", ["../../x", "a/b", "", "a?b", "a b", "x" * 300, "a..b"])
async def test_an_upstreams_id_leads_nowhere_else(tmp_path: Path, upstream_id: str) -> None:
    async with open_bench(tmp_path) as bench:
        bench.simulator.make_id = lambda _number: upstream_id  # type: ignore[method-assign]
        with pytest.raises(UpstreamError) as unread:
            await bench.submit()
        assert unread.value.delivered
        assert [request.method for request in bench.transport.sent] == ["POST"]


# --- images that come at once -------------------------------------------------------------------------------------------


async def test_images_at_once_are_a_job_that_has_ended(bench: Bench) -> None:
    job = await bench.images(3)
    assert job.state is JobState.SUCCEEDED
    results = await bench.jobs.results(job.id)
    assert [result.media_type for result in results] == ["image/png"] * 3
    assert all(bench.files.path(result.file or "").read_bytes().startswith(b"\x89PNG") for result in results)
    await bench.settled(6 * CENT)


async def test_images_whose_answer_is_lost_are_given_up_and_not_asked_for_again(bench: Bench) -> None:
    lose_answers(bench)
    with pytest.raises(UpstreamError) as lost:
        await bench.images()
    assert lost.value.delivered, "so that no SDK tries again by itself"
    assert len(bench.transport.sent) == 1
    await bench.settled(0)


class Linked(ToyImages):
    """Answers with links."""

    def generate(self, model, request):  # type: ignore[no-untyped-def]
        made = yield from super().generate(model, request)
        return replace(made, artifacts=tuple(Artifact(url=f"{BASE}/images/{n}") for n, _ in enumerate(made.artifacts)))


def with_links(bench: Bench, answers: dict[str, Answer]) -> None:
    """Images come as links, which are answered so."""
    for one in bench.upstreams:
        images = Linked(Settings(api_key=SecretStr(KEY)))
        object.__setattr__(one.provider.capabilities, "images", images)
        inner = one.simulator.respond

        def respond(request: Recorded, inner: Callable[[Recorded], Answer] = inner) -> Answer:
            return answers[request.path] if request.method == "GET" else inner(request)

        one.simulator.respond = respond  # type: ignore[method-assign]


def paid(bench: Bench) -> int:
    return sum(request.method == "POST" for one in bench.upstreams for request in one.transport.sent)


async def test_images_that_were_made_and_cannot_be_fetched_are_not_paid_for_again_elsewhere(tmp_path: Path) -> None:
    async with open_bench(tmp_path, names=("one", "two")) as bench:
        with_links(bench, {"/images/0": Answer(404)})
        with pytest.raises(UpstreamError) as lost:
            await bench.images()
        assert lost.value.delivered, "so that no SDK tries again by itself"
        assert paid(bench) == 1
        await bench.settled(0)


async def test_images_that_were_made_and_find_no_room_end_the_job_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise HubError(ErrorKind.UNAVAILABLE, "no room", code="result_not_stored")

    monkeypatch.setattr(bench.files, "write", full)
    with pytest.raises(UpstreamError) as lost:
        await bench.images()
    assert lost.value.delivered, "so that no SDK tries again by itself"
    (job,) = await bench.jobs.newest(bench.principal.account_id, MediaKind.IMAGE, 10)
    assert (job.state, job.error_code) == (JobState.FAILED, "result_not_stored")
    await bench.settled(0)


async def test_of_images_that_cannot_be_kept_all_together_none_is_left_behind(bench: Bench) -> None:
    png = Answer(200, b"\x89PNG\r\n\x1a\n", {"content-type": "image/png"})
    with_links(bench, {"/images/0": png, "/images/1": png, "/images/2": Answer(404)})
    with pytest.raises(UpstreamError):
        await bench.images(3)
    assert list(bench.files._folder.glob("*/*")) == []


class Hooked(ToyJobs):
    def with_callback(self, url: str) -> ToyJobs:
        raise RuntimeError("a bug")


async def test_a_plugin_that_breaks_before_anything_is_sent_fails_its_job_at_once(tmp_path: Path) -> None:
    async with open_bench(tmp_path, wire=Hooked) as bench:
        with pytest.raises(UpstreamError) as broken:
            await bench.submit()
        assert (broken.value.code, broken.value.delivered) == ("provider_failed", False)
        assert bench.transport.sent == []
        assert await bench.jobs.count_open() == 0
        await bench.settled(0)


async def test_an_acceptance_that_comes_after_the_end_is_told_as_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process held this one for dead: what it decided stands."""
    accepted = Submissions._accepted

    async def late(self: Submissions, job: Job, offer: Offer, upstream: UpstreamJob) -> Job:
        await bench.engine._endings.fail(job, JobFailure("not_accepted", "no"))
        return await accepted(self, job, offer, upstream)

    monkeypatch.setattr(Submissions, "_accepted", late)
    job = await bench.submit()
    assert (job.state, job.error_code) == (JobState.FAILED, "not_accepted")
    await bench.settled(0)
