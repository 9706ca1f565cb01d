"""HappyHorse videos: the suite, and the recorded exchanges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

import relayhub_happyhorse
from relayhub.sdk import (
    Artifact,
    ClientError,
    ErrorKind,
    Found,
    HttpReply,
    HttpRequest,
    ImageRequest,
    InputRole,
    JobFailure,
    JobState,
    JobUpdate,
    Media,
    MediaInput,
    MediaKind,
    MediaUsage,
    ProviderContext,
    UpstreamError,
    UpstreamJob,
    VideoRequest,
)
from relayhub.testing import (
    Driven,
    FakeClock,
    Fate,
    Fault,
    JobSample,
    JobWireSuite,
    Refused,
    RegistrationSuite,
    Told,
    drive,
    replaying,
)
from relayhub_happyhorse.provider import HappyHorseProvider
from relayhub_happyhorse.settings import HappyHorseSettings
from relayhub_happyhorse.simulator import DashScopeSimulator
from relayhub_happyhorse.tasks import TaskWire

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media"
KEY = "sk-canary-key-0123456789"
BEIJING = "https://dashscope.aliyuncs.com"
TASK = "0b7f1c52-9a3e-4d10-8c77-2f1e5ad0c9b1"
LINK = "https://media.example.com/hh/0b7f1c52.mp4?Expires=1794387000&Signature=abc"
PROMPT = "A white foal runs across a sunny meadow, cinematic"
REFERENCE = "task_conformance0000000000000001"
NOW = FakeClock().now()
TEXT, FRAME_, REFS, EDIT = (f"happyhorse-1.0-{kind}" for kind in ("t2v", "i2v", "r2v", "video-edit"))


def fixture(name: str, folder: str = "happyhorse") -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / folder / f"{name}.json").read_text())
    return value


def answered(name: str, folder: str = "happyhorse") -> HttpReply:
    response = fixture(name, folder)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def given(role: InputRole, url: str, field: str = "image") -> MediaInput:
    return MediaInput(role, Media(url=url), field)


def video(model: str = TEXT, **changes: Any) -> VideoRequest:
    return VideoRequest(**{"model": model, "prompt": PROMPT, **changes})


PICTURE = given(InputRole.IMAGE, "https://media.example.com/in/input.jpg")
FIRST = given(InputRole.FIRST_FRAME, "https://media.example.com/in/input.jpg", "input.media[0]")
REFER = given(InputRole.REFERENCE_IMAGE, "https://media.example.com/in/reference-1.jpg", "reference")
CLIP = given(InputRole.SOURCE_VIDEO, "https://media.example.com/in/input.mp4", "video")
LONG_CLIP = given(InputRole.SOURCE_VIDEO, "https://media.example.com/in/long.mp4?seconds=40", "video")
PNG = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")

HANDLE = {"input_kind": "text", "resolution": "720p", "made_at": str(NOW - 3600)}


def row(made: float, **more: object) -> dict[str, object]:
    return {"task_id": TASK, "model_name": TEXT, "gmt_create": int(made * 1000), "status": "RUNNING", **more}


def listing(*rows: object, total: int | None = None) -> HttpReply:
    return reply({"total": len(rows) if total is None else total, "data": list(rows), "page_no": 1})


def done(prompt: str | None = PROMPT) -> HttpReply:
    told = {} if prompt is None else {"orig_prompt": prompt}
    return reply({"output": {"task_id": TASK, "task_status": "SUCCEEDED", "video_url": LINK, **told}})


class TestHappyHorse(RegistrationSuite, JobWireSuite):
    provider_type = relayhub_happyhorse.HAPPYHORSE
    package = relayhub_happyhorse
    settings = {"api_key": KEY}
    error_body = '{"request_id": "6a1f", "code": "InvalidParameter", "message": "{message}"}'
    samples = (
        JobSample(
            video(seconds=5, resolution="720p", ratio="16:9", watermark=False),
            MediaUsage(video_ms=5000),
        ),
        JobSample(video(), MediaUsage(video_ms=5000)),
        JobSample(video(seconds=15, resolution="1080p", seed=0, watermark=True), MediaUsage(video_ms=15_000)),
        JobSample(video("happyhorse-1.1-t2v", resolution="480p", ratio="21:9", seconds=3)),
        JobSample(video(FRAME_, inputs=(PICTURE,), seconds=5, resolution="720p", watermark=False)),
        JobSample(video(FRAME_, inputs=(FIRST,), prompt="", ratio="adaptive")),
        JobSample(video("happyhorse-1.1-i2v", inputs=(FIRST,))),
        JobSample(video(REFS, inputs=(REFER, REFER), seconds=3, ratio="9:16")),
        JobSample(video(REFS, inputs=(PICTURE,) * 9)),
        JobSample(video("happyhorse-1.1-r2v", inputs=(REFER,), ratio="4:5")),
        JobSample(
            video(EDIT, inputs=(CLIP,), billed_seconds=3, vendor={"audio_setting": "origin"}),
            MediaUsage(video_ms=13_240),
        ),
        JobSample(video(EDIT, inputs=(LONG_CLIP, PICTURE, REFER), remix=True), MediaUsage(video_ms=30_000)),
        JobSample(video("happyhorse-1.0")),
        JobSample(video("happyhorse-1.0", inputs=(PICTURE,))),
        JobSample(video("happyhorse-1.1", inputs=(PICTURE, PICTURE))),
        JobSample(video("happyhorse-1.0", inputs=(CLIP,))),
    )
    refused = (
        Refused(video(resolution="4k"), "resolution"),
        Refused(video(resolution="480p"), "resolution"),
        Refused(video(ratio="4:5"), "ratio"),
        Refused(video(ratio="adaptive"), "ratio"),
        Refused(video(FRAME_, inputs=(PICTURE,), ratio="16:9"), "ratio"),
        Refused(video(EDIT, inputs=(CLIP,), ratio="16:9"), "ratio"),
        Refused(video(EDIT, inputs=(CLIP,), seconds=5), "duration"),
        Refused(video(seconds=2), "duration"),
        Refused(video(seconds=16), "duration"),
        Refused(video(seconds=5.5), "duration"),
        Refused(video(seconds=float("inf")), "duration"),
        Refused(video(seconds=float("nan")), "duration"),
        Refused(video(seed=-1), "seed"),
        Refused(video(seed=2**31), "seed"),
        Refused(video(audio=True), "audio"),
        Refused(video(audio=False), "audio"),
        Refused(video(negative_prompt="rain"), "negative_prompt"),
        Refused(video(prompt=" "), "prompt"),
        Refused(video(REFS, inputs=(REFER,), prompt=""), "prompt"),
        Refused(video(inputs=(PICTURE,)), "image"),
        Refused(video(FRAME_), "image"),
        Refused(video(FRAME_, inputs=(PICTURE, PICTURE)), "image"),
        Refused(video(FRAME_, inputs=(REFER,)), "reference"),
        Refused(video(REFS), "image"),
        Refused(video(REFS, inputs=(REFER,) * 10), "reference"),
        Refused(video(REFS, inputs=(FIRST,)), "input.media[0]"),
        Refused(video(EDIT), "video"),
        Refused(video(EDIT, inputs=(CLIP, CLIP)), "video"),
        Refused(video(EDIT, inputs=(CLIP, *(REFER,) * 6)), "reference"),
        Refused(video("happyhorse-1.1", inputs=(CLIP,)), "video"),
        Refused(video("happyhorse-1.1-video-edit", inputs=(CLIP,)), "model"),
        Refused(video(FRAME_, inputs=(PICTURE, given(InputRole.LAST_FRAME, "https://x.example/1.png", "end"))), "end"),
        Refused(video(EDIT, inputs=(CLIP, given(InputRole.MASK, "https://x.example/1.png", "mask"))), "mask"),
        Refused(video(EDIT, inputs=(CLIP, given(InputRole.REFERENCE_AUDIO, "https://x.example/1", "voice"))), "voice"),
        Refused(video(EDIT, inputs=(given(InputRole.REFERENCE_VIDEO, "https://x.example/1.mp4", "clip"),)), "clip"),
        Refused(video(FRAME_, inputs=(PNG,)), "image"),
        Refused(video(FRAME_, inputs=(MediaInput(InputRole.IMAGE, Media(file_id="f"), "image"),)), "image"),
        Refused(video(FRAME_, inputs=(given(InputRole.IMAGE, "file:///etc/passwd"),)), "image"),
        Refused(video(FRAME_, inputs=(given(InputRole.IMAGE, "oss://bucket/1.png"),)), "image"),
        Refused(video(FRAME_, inputs=(given(InputRole.IMAGE, "http://127.0.0.1/1.png"),)), "image"),
        Refused(video(FRAME_, inputs=(given(InputRole.IMAGE, "https://[fd00::1]/1.png"),)), "image"),
        Refused(video(FRAME_, inputs=(given(InputRole.IMAGE, "https://[::1/1.png"),)), "image"),
        Refused(video(vendor={"audio_setting": "auto"}), "audio_setting"),
        Refused(video(EDIT, inputs=(CLIP,), vendor={"audio_setting": "mute"}), "audio_setting"),
        Refused(video(vendor={"prompt_extend": True}), "prompt_extend"),
        Refused(video("a-model-of-the-future"), "model"),
        Refused(ImageRequest(TEXT, PROMPT), "model"),
    )
    submitted = Told((answered("t2v_submit"),), UpstreamJob(TASK, HANDLE))
    polls = (
        Told((answered("poll_pending"),), JobUpdate(JobState.QUEUED)),
        Told((reply({"output": {"task_id": TASK, "task_status": "SUSPENDED"}}),), JobUpdate(JobState.QUEUED)),
        Told((answered("poll_running"),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (answered("poll_succeeded"),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(Artifact(LINK, None, "video/mp4", 86_400.0),),
                usage=MediaUsage(video_ms=5000, resolution="720p"),
            ),
        ),
        Told(
            (answered("poll_succeeded_edit"),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(Artifact(LINK, None, "video/mp4", 86_400.0),),
                usage=MediaUsage(video_ms=13_240, resolution="720p"),
            ),
        ),
        Told(
            (answered("poll_failed"),),
            JobUpdate(
                JobState.FAILED,
                failure=JobFailure("content_policy", "Output data may contain inappropriate content."),
            ),
        ),
        Told(
            (answered("poll_unknown"),),
            JobUpdate(JobState.FAILED, failure=JobFailure("upstream_lost", "The upstream no longer knows the job.")),
        ),
        Told((answered("poll_canceled"),), JobUpdate(JobState.CANCELLED)),
    )
    unknown_poll = (reply({"output": {"task_id": TASK, "task_status": "CONTEMPLATING"}}),)
    finds = (
        Told((listing(),), Found.NO),
        Told((reply({"total": 0}),), Found.NO),
        Told((listing(row(NOW - 30)), done()), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30)), done(f"  {PROMPT[:30]}")), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30)), done(None)), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30)), answered("poll_failed")), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30, model_name=f"{TEXT}-2026-04-22")), done()), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30)), done("Another prompt")), Found.NO),
        Told((listing(row(NOW - 30)), answered("poll_running")), Found.UNSURE),
        Told((listing(row(NOW - 30)), answered("poll_pending")), Found.UNSURE),
        Told((listing(row(NOW - 30, model_name=REFS)),), Found.NO),
        Told((listing(row(NOW - 9_999)),), Found.NO),
        Told((listing(row(NOW + 9_999)),), Found.NO),
        Told((listing(row(NOW - 30), row(NOW - 31, task_id="two")), done(), done("Another")), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30), row(NOW - 31, task_id="two")), done(), done()), Found.UNSURE),
        Told((listing(row(NOW - 30), {"task_id": "two"}),), Found.UNSURE),
        Told((listing(*(row(NOW - 30, task_id=f"t{number}") for number in range(13))),), Found.UNSURE),
        Told((listing(row(NOW - 30), total=3), listing(total=3)), Found.UNSURE),
        Told((listing(row(NOW - 30), row(NOW - 9_999, task_id="old"), total=9_000), done()), UpstreamJob(TASK)),
    )
    cancels = (
        Told((answered("cancel_ok"),), True),
        Told((answered("cancel_running"), answered("poll_running")), False),
        Told((answered("cancel_running"), answered("poll_succeeded")), False),
        Told((answered("cancel_running"), answered("poll_canceled")), True),
    )

    def simulator(self, clock: FakeClock) -> DashScopeSimulator:
        return DashScopeSimulator(clock=clock, keys=(KEY,))

    def sent_reference(self, reference: str) -> None:
        return None


class TestHappyHorseInAWorkspace(TestHappyHorse):
    settings = {"api_key": KEY, "region": "ap-southeast-1", "workspace": "ws-1"}

    def simulator(self, clock: FakeClock) -> DashScopeSimulator:
        return DashScopeSimulator(clock=clock, keys=(KEY,), workspaces=("ws-1",))


# --- recorded exchanges -----------------------------------------------------------------------------------------------


def provider(clock: FakeClock | None = None, **settings: object) -> HappyHorseProvider:
    parsed = HappyHorseSettings.model_validate({"api_key": KEY, **settings})
    return HappyHorseProvider(parsed, ProviderContext("p", clock or FakeClock(), "relayhub/test"))


def wire(clock: FakeClock | None = None, **settings: object) -> TaskWire:
    found = provider(clock, **settings).jobs(MediaKind.VIDEO)
    assert found is not None
    return found


def submit(request: VideoRequest, answer: HttpReply | None = None, **settings: object) -> Driven[UpstreamJob]:
    steps = wire(**settings).submit(request.model, request, REFERENCE)
    return drive(steps, replaying([answer or answered("t2v_submit")]))


def sent(request: VideoRequest, **settings: object) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(bytes(submit(request, **settings).requests[0].body))  # type: ignore[arg-type]
    return body


SEEDED: dict[str, Any] = {"resolution": "720p", "watermark": False}
RECORDED: dict[str, VideoRequest] = {
    "t2v_submit": video(ratio="16:9", seconds=5, **SEEDED),
    "i2v_submit": video(
        FRAME_, prompt="The person waves, the background stays still", inputs=(PICTURE,), seconds=5, **SEEDED
    ),
    "r2v_submit": video(
        REFS,
        prompt="[Image 1] waves to the camera next to [Image 2]",
        inputs=(REFER, given(InputRole.REFERENCE_IMAGE, "https://media.example.com/in/reference-2.jpg")),
        ratio="16:9",
        seconds=3,
        **SEEDED,
    ),
    "video_edit_submit": video(
        EDIT,
        prompt="Warm film tones, keep the motion natural",
        inputs=(CLIP,),
        billed_seconds=3,
        vendor={"audio_setting": "origin"},
        **SEEDED,
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_submit_is_as_recorded(name: str) -> None:
    request, recorded = RECORDED[name], fixture(name)["request"]
    made = submit(request, answered(name)).requests[0]
    assert (made.method, made.url) == (recorded["method"], f"{BEIJING}{recorded['path']}")
    assert made.headers["authorization"] == f"Bearer {KEY}"
    assert made.headers["x-dashscope-async"] == recorded["headers"]["X-DashScope-Async"]
    assert orjson.loads(bytes(made.body)) == recorded["body"]  # type: ignore[arg-type]


def test_polls_and_cancels_are_as_recorded() -> None:
    poll, cancel = next(wire().poll(UpstreamJob(TASK))), next(wire().cancel(UpstreamJob(TASK)))
    for made, name in ((poll, "poll_pending"), (cancel, "cancel_ok")):
        recorded = fixture(name)["request"]
        assert (made.method, made.url) == (recorded["method"], f"{BEIJING}{recorded['path']}")
        assert (made.body, "content-type" in made.headers) == (b"", False)


FAILED, REJECTED = ErrorKind.UPSTREAM_FAILED, ErrorKind.UPSTREAM_REJECTED
ERRORS = {
    "error_allocation": (FAILED, "upstream_quota", True, False),
    "error_arrearage": (FAILED, "upstream_quota", True, False),
    "error_bad_auth": (FAILED, "upstream_credentials", True, False),
    "error_bad_param": (REJECTED, "InvalidParameter", False, False),
    "error_inspection": (REJECTED, "content_policy", False, False),
    "error_internal": (FAILED, "upstream_error", True, True),
    "error_rate_limited": (ErrorKind.UPSTREAM_RATE_LIMITED, "upstream_rate_limited", True, False),
    "error_sync_not_allowed": (FAILED, "upstream_credentials", True, False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_read_as_recorded(name: str) -> None:
    """``retryable`` is of another route, which the recording's word is not about."""
    answer = answered(name)
    with pytest.raises(UpstreamError) as caught:
        submit(video(), answer)
    error = caught.value
    kind, code, elsewhere, delivered = ERRORS[name]
    assert (error.kind, error.retryable, error.delivered, error.status) == (kind, elsewhere, delivered, answer.status)
    assert error.code == code
    assert "6a1f0d3c" not in error.message
    assert "6a1f0d3c" in (error.detail or "")


def refused_by(code: str, status: int) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        submit(video(), reply({"code": code, "message": "No.", "request_id": "r"}, status))
    return caught.value


def test_a_code_decides_where_pages_differ_on_the_status() -> None:
    assert refused_by("Arrearage", 403).code == "upstream_quota"
    assert refused_by("AccessDenied.Unpurchased", 403).code == "upstream_model_unavailable"
    assert refused_by("ModelNotFound", 404).code == "upstream_model_unavailable"
    assert refused_by("Throttling", 429).kind is ErrorKind.UPSTREAM_RATE_LIMITED
    assert refused_by("DataInspectionFailed", 500).delivered, "a 5xx is ambiguous, whatever its code"


def test_a_quota_of_a_window_rests_for_a_minute() -> None:
    assert refused_by("Throttling.AllocationQuota", 429).retry_after_s == 60
    assert refused_by("Arrearage", 400).retry_after_s is None


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_nothing_is_said_that_the_client_did_not_say_but_what_chooses_the_price() -> None:
    assert sent(video())["parameters"] == {"resolution": "1080P", "duration": 5}


def test_seconds_that_only_price_are_held_and_not_sent() -> None:
    edit = video(EDIT, inputs=(CLIP,), billed_seconds=40)
    assert "duration" not in sent(edit)["parameters"]
    assert wire().measure(EDIT, edit).video_ms == 40_000
    assert wire().measure(EDIT, video(EDIT, inputs=(CLIP,), billed_seconds=3)).video_ms == 30_000
    assert wire().measure(TEXT, video(seconds=5, billed_seconds=9)).video_ms == 9_000
    assert sent(video(seconds=5, billed_seconds=9))["parameters"]["duration"] == 5


@pytest.mark.parametrize(
    ("inputs", "model", "kind"),
    [
        ((), "happyhorse-1.0-t2v", "text"),
        ((PICTURE,), "happyhorse-1.0-i2v", "image"),
        ((FIRST,), "happyhorse-1.0-i2v", "image"),
        ((REFER,), "happyhorse-1.0-r2v", "image"),
        ((PICTURE, PICTURE), "happyhorse-1.0-r2v", "image"),
        ((PICTURE, CLIP), "happyhorse-1.0-video-edit", "video"),
    ],
)
def test_of_a_family_the_model_is_the_one_for_what_goes_in(
    inputs: tuple[MediaInput, ...], model: str, kind: str
) -> None:
    request = video("happyhorse-1.0", inputs=inputs)
    assert sent(request)["model"] == model
    assert wire().measure("happyhorse-1.0", request).input_kind == kind


def test_a_picture_is_the_first_frame_or_a_reference_as_the_model_has_it() -> None:
    assert [one["type"] for one in sent(video(FRAME_, inputs=(PICTURE,)))["input"]["media"]] == ["first_frame"]
    both = sent(video(EDIT, inputs=(CLIP, PICTURE)))["input"]["media"]
    assert [one["type"] for one in both] == ["video", "reference_image"]


def test_a_prompt_that_is_not_there_is_not_sent() -> None:
    assert "prompt" not in sent(video(FRAME_, prompt="", inputs=(PICTURE,)))["input"]


def test_what_is_not_a_link_is_refused_with_its_own_code() -> None:
    with pytest.raises(ClientError) as caught:
        wire().measure(FRAME_, video(FRAME_, inputs=(PNG,)))
    assert (caught.value.code, caught.value.param) == ("invalid_media_url", "image")


def test_private_links_are_for_an_upstream_in_the_same_network() -> None:
    inside = video(FRAME_, inputs=(given(InputRole.IMAGE, "http://10.0.0.7/1.png"),))
    assert sent(inside, base_url="http://127.0.0.1:9/api/v1")["input"]["media"][0]["url"] == "http://10.0.0.7/1.png"
    with pytest.raises(ClientError):
        sent(inside)


def test_an_account_may_let_its_own_files_be_named() -> None:
    request = video(FRAME_, inputs=(given(InputRole.IMAGE, "oss://bucket/1.png"),))
    made = submit(request, account_references=True).requests[0]
    assert made.headers["x-dashscope-ossresourceresolve"] == "enable"
    assert "x-dashscope-ossresourceresolve" not in submit(video()).requests[0].headers


def test_an_operator_may_know_better() -> None:
    traits = {"happyhorse-2*": {"like": TEXT, "max_s": 20}, TEXT: {"resolution": "720p"}}
    assert sent(video("happyhorse-2.0-t2v", seconds=20), model_traits=traits)["parameters"]["duration"] == 20
    assert sent(video(), model_traits=traits)["parameters"]["resolution"] == "720P"
    own = {"our-model": {"ratios": ["2:1"], "prompt": False}}
    assert sent(video("our-model", prompt="", ratio="2:1"), model_traits=own)["parameters"]["ratio"] == "2:1"


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://dashscope.aliyuncs.com/api/v1"),
        ({"region": "us-east-1"}, "https://dashscope-us.aliyuncs.com/api/v1"),
        ({"workspace": "ws-1"}, "https://ws-1.cn-beijing.maas.aliyuncs.com/api/v1"),
        (
            {"region": "ap-southeast-1", "workspace": "ws-1"},
            "https://ws-1.ap-southeast-1.maas.aliyuncs.com/api/v1",
        ),
        ({"region": "ap-southeast-1", "base_url": "https://h.example/api/v1/"}, "https://h.example/api/v1"),
    ],
)
def test_the_address_follows_from_region_and_workspace(settings: dict[str, object], url: str) -> None:
    made = submit(video(), **settings).requests[0]
    assert made.url == f"{url}/services/aigc/video-generation/video-synthesis"
    assert made.headers.get("x-dashscope-workspace") == settings.get("workspace")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"region": "ap-southeast-1"}, "workspace"),
        ({"workspace": "evil.example/"}, "workspace"),
        ({"region": "mars"}, "region"),
        ({"base_url": "https://dashscope.aliyuncs.com/api/v1/tasks"}, "base_url"),
        ({"base_url": "https://dashscope.aliyuncs.com/api/v1/services/aigc"}, "base_url"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        HappyHorseSettings.model_validate({"api_key": KEY, **settings})


def test_the_pace_is_the_settings() -> None:
    pace = wire(poll={"first_s": 2, "every_s": 3}).pace
    assert (pace.first_s, pace.every_s, pace.slow_every_s, pace.limit_s) == (2, 3, 30, 86_400)
    images = provider().jobs(MediaKind.IMAGE)
    assert images is not None
    assert images.pace.every_s < wire().pace.every_s
    assert provider().jobs(MediaKind.SPEECH) is None


# --- what is answered -------------------------------------------------------------------------------------------------


def polled(output: object, usage: object = None, **handle: str) -> JobUpdate:
    answer = reply({"output": output, **({} if usage is None else {"usage": usage})})
    return drive(wire().poll(UpstreamJob(TASK, handle)), replaying([answer])).result


SUCCESS = {"task_id": TASK, "task_status": "SUCCEEDED", "video_url": LINK}


def test_a_bill_without_its_terms_uses_those_of_the_submit() -> None:
    update = polled(SUCCESS, {"duration": 6.62}, input_kind="video", resolution="1080p")
    assert update.usage == MediaUsage(video_ms=6620, resolution="1080p", input_kind="video")


@pytest.mark.parametrize("usage", [None, {}, {"duration": "5"}, {"duration": True}, {"duration": -1}, []])
def test_a_success_that_does_not_say_its_seconds_has_no_usage(usage: object) -> None:
    assert polled(SUCCESS, usage).usage is None


def test_a_success_without_a_video_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError, match="no video"):
        polled({"task_id": TASK, "task_status": "SUCCEEDED"})


def test_a_task_is_not_lost_while_it_is_new() -> None:
    clock = FakeClock()
    upstream = DashScopeSimulator(clock=clock, keys=(KEY,))
    asked = wire(clock)
    job = drive(asked.submit(TEXT, video(), REFERENCE), upstream.exchange).result
    upstream.forget(upstream.jobs[job.id])
    assert drive(asked.poll(job), upstream.exchange).result == JobUpdate(JobState.QUEUED)
    clock.advance(60)
    lost = drive(asked.poll(job), upstream.exchange).result
    assert lost.failure is not None
    assert lost.failure.code == "upstream_lost"


def test_a_task_is_lost_after_a_day() -> None:
    clock = FakeClock()
    upstream = DashScopeSimulator(clock=clock, keys=(KEY,))
    job = drive(wire(clock).submit(TEXT, video(), REFERENCE), upstream.exchange).result
    clock.advance(86_399)
    assert drive(wire(clock).poll(job), upstream.exchange).result.state is JobState.SUCCEEDED
    clock.advance(2)
    assert drive(wire(clock).poll(job), upstream.exchange).result.state is JobState.FAILED


@pytest.mark.parametrize(
    ("code", "message", "failure"),
    [
        ("InvalidParameter.DataInspection", "Unable to download it.", ("invalid_request", "Unable to download it.")),
        ("InternalError.Timeout", "See https://x.example/y?z.", ("upstream_error", "See …")),
        ("DataInspectionFailed", "", ("content_policy", "The upstream's content filter refused it.")),
        ("", "", ("upstream_error", "The upstream failed without saying why.")),
    ],
)
def test_a_failure_says_whose_it_is(code: str, message: str, failure: tuple[str, str]) -> None:
    output = {"task_id": TASK, "task_status": "FAILED", "code": code, "message": message}
    assert polled(output).failure == JobFailure(*failure)


def test_a_job_id_cannot_leave_its_path() -> None:
    assert next(wire().poll(UpstreamJob("../../models?x=1"))).url.endswith("/tasks/..%2F..%2Fmodels%3Fx%3D1")


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_lookup_reads_no_more_pages_than_it_may() -> None:
    pages: list[HttpRequest] = []

    def endless(request: HttpRequest) -> HttpReply:
        pages.append(request)
        return listing(row(NOW - 30, model_name=REFS, task_id=f"t{len(pages)}"), total=1_000_000)

    assert drive(wire().find(TEXT, video(), REFERENCE, NOW - 60, NOW), endless).result is Found.UNSURE
    assert len(pages) == 12


def test_tasks_that_come_again_on_the_next_page_are_counted_once() -> None:
    """One was made while the pages were read, and pushed the rest on."""
    rows = [row(NOW - 10, task_id="new", model_name=REFS), row(NOW - 20, task_id="next", model_name=REFS)]
    pages = [listing(*rows, total=3), listing(rows[1], total=4), listing(row(NOW - 30), total=4), listing(total=4)]
    steps = wire().find(TEXT, video(), REFERENCE, NOW - 60, NOW)
    assert drive(steps, replaying(pages)).result is Found.UNSURE


def test_a_listing_that_is_not_sorted_is_read_to_its_end() -> None:
    first = listing(row(NOW - 9_999, task_id="old"), row(NOW - 9_990, task_id="older"), total=3)
    steps = wire().find(TEXT, video(), REFERENCE, NOW - 60, NOW)
    found = drive(steps, replaying([first, listing(row(NOW - 30), total=3), done()])).result
    assert isinstance(found, UpstreamJob)
    assert found.id == TASK


def test_nothing_is_said_of_a_time_that_the_listing_no_longer_shows() -> None:
    clock = FakeClock()
    clock.advance(86_401)
    steps = wire(clock).find(TEXT, video(), REFERENCE, NOW, NOW + 30)
    assert drive(steps, replaying([listing()])).result is Found.UNSURE


def test_the_job_of_another_client_is_not_taken_for_a_lost_one() -> None:
    clock = FakeClock()
    upstream = DashScopeSimulator(clock=clock, keys=(KEY,))
    asked = wire(clock)
    upstream.foretell(Fate(run_s=600))
    drive(asked.submit(TEXT, video(prompt="Another client's"), "other"), upstream.exchange)
    upstream.inject(Fault(502))
    with pytest.raises(UpstreamError):
        drive(asked.submit(TEXT, video(), REFERENCE), upstream.exchange)
    since, seen = clock.now(), []
    for _ in range(2):
        clock.advance(90)
        seen.append(drive(asked.find(TEXT, video(), REFERENCE, since, since + 30), upstream.exchange).result)
        clock.advance(600)
    assert seen == [Found.UNSURE, Found.NO]


def test_what_was_found_has_its_terms() -> None:
    steps = wire().find(TEXT, video(resolution="720p"), REFERENCE, NOW - 60, NOW)
    found = drive(steps, replaying([listing(row(NOW - 30)), done()])).result
    assert isinstance(found, UpstreamJob)
    assert found.handle == {"input_kind": "text", "resolution": "720p", "made_at": str(NOW - 30)}
