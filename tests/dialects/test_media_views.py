"""A job as each client shape shows it: byte for byte what the documents promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relayhub.dialects.media_api import views
from relayhub.dialects.media_api.views import Shown, canonical_id
from relayhub.types.job import Job
from relayhub.types.json import JsonObject
from relayhub.types.media import JobState, MediaKind, MediaUsage

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "client"
ID = "task_Qm3vX8aLr0ZsWc5TnKd7YfHb2Ej9PgUi"
STATES = {"queued": JobState.QUEUED, "in_progress": JobState.IN_PROGRESS, "succeeded": JobState.SUCCEEDED}
STATES |= {"failed": JobState.FAILED, "cancelled": JobState.CANCELLED}


def fixture(name: str) -> JsonObject:
    whole = json.loads((FIXTURES / f"{name}.json").read_text())
    body: JsonObject = whole["response"]["body"]
    return body


def job(state: JobState, **changes: object) -> Job:
    whole = Job(
        id=ID,
        call_id="req_1",
        hold_id=1,
        kind=MediaKind.VIDEO,
        dialect="openai.videos",
        platform=None,
        account_id="acct_1",
        key_id="key_1",
        user_identifier=None,
        model="m",
        provider="kling",
        upstream_model="m-up",
        price="free",
        rates="{}",
        state=state,
        progress=100 if state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED) else 0,
        seconds=5.0,
        usage=MediaUsage(),
        created_at=1794300000.4,
        next_at=0.0,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_submitting_through_the_hubs_own_shape() -> None:
    shown = views.hub_submitted(job(JobState.QUEUED, id="task_abc123"))
    assert shown == fixture("s000_submit")


@pytest.mark.parametrize(
    ("name", "state", "changes", "link"),
    [
        ("s000_status_queued", JobState.QUEUED, {}, None),
        ("s000_status_running", JobState.IN_PROGRESS, {"progress": 45}, None),
        ("s000_status_succeeded", JobState.SUCCEEDED, {}, "https://relay.example.com/files/job_abc123.mp4"),
        (
            "s000_status_failed",
            JobState.FAILED,
            {"error_code": "content_policy", "error_message": "The upstream refused the content"},
            None,
        ),
        ("s000_status_cancelled", JobState.CANCELLED, {}, None),
    ],
)
def test_the_hubs_own_shape(name: str, state: JobState, changes: dict[str, object], link: str | None) -> None:
    assert views.hub_status(Shown(job(state, **changes), [link] if link else [])) == fixture(name)


def test_creating_through_videos() -> None:
    made = job(JobState.QUEUED, model="happyhorse-1.0-video-edit", created_at=1779381684.0)
    assert views.video_created(made) == fixture("s003_videos_submit")


@pytest.mark.parametrize(
    ("name", "state", "changes", "link"),
    [
        ("s003_videos_get_queued", JobState.QUEUED, {}, None),
        ("s003_videos_get_in_progress", JobState.IN_PROGRESS, {"progress": 50}, None),
        ("s003_videos_get_completed", JobState.SUCCEEDED, {}, "https://media.example.com/hh/out.mp4"),
        (
            "s003_videos_get_failed",
            JobState.FAILED,
            {"error_code": "content_policy", "error_message": "Output data may contain inappropriate content."},
            None,
        ),
        ("s003_videos_get_cancelled", JobState.CANCELLED, {}, None),
    ],
)
def test_videos(name: str, state: JobState, changes: dict[str, object], link: str | None) -> None:
    shown = Shown(job(state, model="happyhorse-1.0-video-edit", **changes), [link] if link else [])
    assert views.video_status(shown) == fixture(name)


def test_creating_through_generations() -> None:
    assert views.generation_created(job(JobState.QUEUED)) == fixture("s003_generations_submit")


@pytest.mark.parametrize(
    ("name", "state", "changes", "link"),
    [
        ("s003_generations_get_queued", JobState.QUEUED, {}, None),
        ("s003_generations_get_in_progress", JobState.IN_PROGRESS, {"progress": 50}, None),
        ("s003_generations_get_success", JobState.SUCCEEDED, {}, "https://relay.example.com/files/task.mp4?sign=abc"),
        (
            "s003_generations_get_failure",
            JobState.FAILED,
            {"error_message": "The output video may contain sensitive information"},
            None,
        ),
    ],
)
def test_generations(name: str, state: JobState, changes: dict[str, object], link: str | None) -> None:
    assert views.generation_status(Shown(job(state, **changes), [link] if link else [])) == fixture(name)


@pytest.mark.parametrize(("name", "state"), [("s004_video_submit", "queued"), ("s004_video_get", "succeeded")])
def test_one_platforms_videos(name: str, state: str) -> None:
    assert views.platform_video(job(STATES[state], model="kling-v2-6")) == fixture(name)


def test_one_platforms_video_in_detail() -> None:
    shown = Shown(job(JobState.SUCCEEDED, model="kling-v2-6"), ["https://relay.example.com/files/x.mp4"])
    assert views.platform_detail(shown) == fixture("s004_video_get_detail")


def test_a_remix_names_its_source() -> None:
    made = job(
        JobState.QUEUED,
        id="task_Zr7KfD1sQw8NbXc4VtLm6YhPj3Gu0EaO",
        model="kling-v3-omni",
        created_at=1794300300.0,
        parent_id=ID,
    )
    assert views.platform_video(made) == fixture("s004_video_remix")


def test_images_that_come_later() -> None:
    queued = job(JobState.QUEUED, model="kling-v2-1", kind=MediaKind.IMAGE)
    assert views.image_task(Shown(queued)) == fixture("s004_image_async_submit")
    done = replace(queued, state=JobState.SUCCEEDED)
    data = [{"url": "https://relay.example.com/files/fox.png"}]
    assert views.image_task(Shown(done), data) == fixture("s004_image_async_get")


VIEWS: list[Callable[[Shown], JsonObject]] = [views.hub_status, views.video_status, views.generation_status]


@pytest.mark.parametrize("view", VIEWS)
def test_a_submit_without_an_answer_is_shown_as_in_progress(view: Callable[[Shown], JsonObject]) -> None:
    assert view(Shown(job(JobState.SUBMIT_UNKNOWN))) == view(Shown(job(JobState.IN_PROGRESS)))


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_a_word_in_every_shape(state: JobState) -> None:
    for view in [*VIEWS, views.platform_detail, views.image_task, views.message]:
        json.dumps(view(Shown(job(state))))


def test_a_job_is_known_by_every_prefix() -> None:
    bare = ID.removeprefix("task_")
    assert {canonical_id(prefix + bare) for prefix in ("job_", "task_", "video_")} == {ID}


def test_a_message_speaks_the_shape_of_its_submit() -> None:
    done = job(JobState.SUCCEEDED, dialect="video.generations")
    told = views.message(Shown(done, ["https://hub.example/files/1"]))
    assert told["type"] == "job.succeeded"
    assert told["job_id"] == ID
    assert told["data"] == views.generation_status(Shown(done, ["https://hub.example/files/1"]))
