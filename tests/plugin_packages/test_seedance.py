"""Seedance and Seedream: the suites, and the recorded exchanges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import relayhub_seedance
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
    MediaResult,
    MediaUsage,
    ProviderContext,
    UpstreamError,
    UpstreamJob,
    VideoRequest,
)
from relayhub.testing import (
    Driven,
    FakeClock,
    ImageSample,
    ImageWireSuite,
    JobSample,
    JobWireSuite,
    Pictured,
    Refused,
    RefusedImage,
    RegistrationSuite,
    Told,
    drive,
    replaying,
)
from relayhub_seedance.provider import SeedanceProvider
from relayhub_seedance.settings import SeedanceSettings
from relayhub_seedance.simulator import ArkSimulator
from relayhub_seedance.video import SeedanceWire, mark_of

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media"
KEY = "ark-canary-key-0123456789"
MODEL = "doubao-seedance-2-0-260128"
TASK = "cgt-20261120193001-7hx2q"
LINK = "https://media.example.com/ark/7hx2q.mp4?X-Tos-Expires=86400&X-Tos-Signature=abc"
PROMPT = "A boy twirls a wooden sword in a courtyard"
REFERENCE = "task_conformance0000000000000001"
NOW = int(FakeClock().now())


def fixture(folder: str, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / folder / f"{name}.json").read_text())
    return value


def answered(folder: str, name: str) -> HttpReply:
    response = fixture(folder, name)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def given(role: InputRole, url: str, field: str = "image") -> MediaInput:
    return MediaInput(role, Media(url=url), field)


def video(model: str = MODEL, **changes: Any) -> VideoRequest:
    return VideoRequest(**{"model": model, "prompt": PROMPT, **changes})


FRAME = given(InputRole.IMAGE, "https://media.example.com/in/bud.png")
CLIP = given(InputRole.SOURCE_VIDEO, "https://media.example.com/in/motion.mp4", "video")
AUDIO = given(InputRole.REFERENCE_AUDIO, "https://media.example.com/in/beat.mp3", "audio")
PNG = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")

SUBMITTED = {"input_kind": "text", "resolution": "720p", "video_ms": "4000", "audio": "false"}
DONE = MediaUsage(video_ms=4000, output_tokens=86_400, resolution="720p", audio=False)


def task(created: int, **more: object) -> dict[str, object]:
    return {"id": "cgt-1", "model": MODEL, "status": "queued", "created_at": created, **more}


def listing(*tasks: dict[str, object], total: int | None = None) -> HttpReply:
    return reply({"total": len(tasks) if total is None else total, "items": list(tasks)})


class TestSeedance(RegistrationSuite, JobWireSuite):
    provider_type = relayhub_seedance.SEEDANCE
    package = relayhub_seedance
    settings = {"api_key": KEY}
    error_body = '{"error": {"code": "InvalidParameter", "message": "{message}", "param": "", "type": "BadRequest"}}'
    samples = (
        JobSample(
            video(seconds=4, resolution="720p", ratio="16:9", audio=False),
            MediaUsage(video_ms=4000, output_tokens=86_400),
        ),
        JobSample(video(), MediaUsage(video_ms=5000, output_tokens=108_900)),
        JobSample(
            video(seconds=-1, resolution="4k", ratio="21:9", audio=True),
            MediaUsage(video_ms=15_000, output_tokens=2_890_000),
        ),
        JobSample(video(inputs=(FRAME,), vendor={"return_last_frame": True, "priority": 3})),
        JobSample(video(inputs=(FRAME, FRAME), ratio="adaptive")),
        JobSample(video(inputs=(PNG, FRAME, FRAME), prompt="")),
        JobSample(video(inputs=(CLIP, FRAME, AUDIO)), MediaUsage(video_ms=15_000, output_tokens=450_000)),
        JobSample(video("doubao-seedance-2-0-fast-260128", seconds=15)),
        JobSample(video("dreamina-seedance-2-0-mini-260615", resolution="480p", ratio="9:16")),
        JobSample(video("doubao-seedance-2-5-260628", inputs=(CLIP,))),
        JobSample(video("doubao-seedance-2-5-260628", inputs=(AUDIO,), vendor={"output_format": "mov"})),
        JobSample(video("doubao-seedance-2-5-260628", vendor={"omni_reference_task_type": "auto"})),
        JobSample(video("doubao-seedance-1-5-pro-251215", seed=7, vendor={"draft": True, "camera_fixed": True})),
        JobSample(video("doubao-seedance-1-0-pro-250528", vendor={"frames": 289})),
        JobSample(video("doubao-seedance-1-0-pro-fast-251015", inputs=(FRAME,), watermark=True)),
        JobSample(video("doubao-seedance-1-0-lite-t2v-250428", seconds=2)),
        JobSample(video("doubao-seedance-1-0-lite-i2v-250428", inputs=(FRAME, FRAME, FRAME, FRAME))),
        JobSample(
            video("seedance-1-0-pro-250528", vendor={"execution_expires_after": 3600, "service_tier": "default"})
        ),
        JobSample(video(prompt="Swords --dur 15 --rs 4k")),
    )
    refused = (
        Refused(video(resolution="8k"), "resolution"),
        Refused(video("doubao-seedance-2-0-fast-260128", resolution="1080p"), "resolution"),
        Refused(video(ratio="2:1"), "ratio"),
        Refused(video("doubao-seedance-1-0-pro-250528", ratio="adaptive"), "ratio"),
        Refused(video("doubao-seedance-2-5-260628", inputs=(FRAME,), ratio="16:9"), "ratio"),
        Refused(video("doubao-seedance-2-5-260628", inputs=(CLIP,), ratio="16:9"), "ratio"),
        Refused(video(seconds=3), "duration"),
        Refused(video(seconds=16), "duration"),
        Refused(video(seconds=5.5), "duration"),
        Refused(video("doubao-seedance-1-0-pro-250528", seconds=-1), "duration"),
        Refused(video("doubao-seedance-1-0-pro-250528", audio=True), "generate_audio"),
        Refused(video(seed=1), "seed"),
        Refused(video("doubao-seedance-1-0-pro-250528", seed=2**40), "seed"),
        Refused(video(negative_prompt="rain"), "negative_prompt"),
        Refused(video(prompt=" "), "prompt"),
        Refused(video("doubao-seedance-1-0-lite-i2v-250428"), "image"),
        Refused(video("doubao-seedance-1-0-lite-t2v-250428", inputs=(FRAME,)), "image"),
        Refused(video("doubao-seedance-1-0-pro-fast-251015", inputs=(FRAME, FRAME)), "image"),
        Refused(video("doubao-seedance-1-0-pro-250528", inputs=(CLIP,)), "video"),
        Refused(video(inputs=(AUDIO,)), "audio"),
        Refused(video(inputs=(FRAME,) * 10), "image"),
        Refused(video(inputs=(given(InputRole.FIRST_FRAME, "https://x/1.png"), CLIP)), "video"),
        Refused(video(inputs=(given(InputRole.LAST_FRAME, "https://x/1.png", "end"),)), "end"),
        Refused(video(inputs=(given(InputRole.MASK, "https://x/1.png", "mask"),)), "mask"),
        Refused(video(inputs=(given(InputRole.IMAGE, "asset://portrait", "image"),)), "image"),
        Refused(video(inputs=(MediaInput(InputRole.SOURCE_VIDEO, Media(data="AAAA"), "video"),)), "video"),
        Refused(video(inputs=(MediaInput(InputRole.IMAGE, Media(data="AAAA"), "image"),)), "image"),
        Refused(video(inputs=(MediaInput(InputRole.IMAGE, Media(file_id="f"), "image"),)), "image"),
        Refused(video(vendor={"frames": 100}), "frames"),
        Refused(video("doubao-seedance-1-0-pro-250528", vendor={"frames": 30}), "frames"),
        Refused(video("doubao-seedance-1-0-pro-250528", seconds=5, vendor={"frames": 29}), "frames"),
        Refused(video(vendor={"camera_fixed": True}), "camera_fixed"),
        Refused(video(vendor={"service_tier": "flex"}), "service_tier"),
        Refused(video(vendor={"priority": 10}), "priority"),
        Refused(video(vendor={"draft": True}), "draft"),
        Refused(video("doubao-seedance-1-5-pro-251215", resolution="720p", vendor={"draft": True}), "resolution"),
        Refused(video("doubao-seedance-1-5-pro-251215", vendor={"draft_task_id": "cgt-1"}), "draft_task_id"),
        Refused(video(vendor={"output_format": "mov"}), "output_format"),
        Refused(video(vendor={"omni_reference_task_type": "edit"}), "omni_reference_task_type"),
        Refused(video(vendor={"safety_identifier": "x" * 65}), "safety_identifier"),
        Refused(video(vendor={"execution_expires_after": 7201}), "execution_expires_after"),
        Refused(video(vendor={"tools": [{"type": "web_search"}]}), "tools"),
        Refused(video(vendor={"return_last_frame": "yes"}), "return_last_frame"),
        Refused(video(vendor={"callback_url": "https://x"}), "callback_url"),
        Refused(video("a-model-of-the-future"), "model"),
        Refused(ImageRequest(MODEL, PROMPT), "model"),
    )
    submitted = Told((answered("seedance", "t2v_submit"),), UpstreamJob(TASK, SUBMITTED))
    polls = (
        Told((answered("seedance", "poll_queued"),), JobUpdate(JobState.QUEUED)),
        Told((answered("seedance", "poll_running"),), JobUpdate(JobState.IN_PROGRESS)),
        Told((reply({"id": TASK, "status": "pending"}),), JobUpdate(JobState.QUEUED)),
        Told((reply({"id": TASK, "status": "processing"}),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (answered("seedance", "poll_succeeded"),),
            JobUpdate(JobState.SUCCEEDED, None, (Artifact(LINK, None, "video/mp4", 86_400.0),), usage=DONE),
        ),
        Told(
            (answered("seedance", "poll_succeeded_last_frame"),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(
                    Artifact(LINK, None, "video/mp4", 86_400.0),
                    Artifact(
                        "https://media.example.com/ark/7hx2q-last.jpg?X-Tos-Expires=86400",
                        lives_s=86_400.0,
                        note="last frame",
                    ),
                ),
                usage=DONE,
            ),
        ),
        Told(
            (answered("seedance", "poll_failed"),),
            JobUpdate(
                JobState.FAILED,
                failure=JobFailure(
                    "content_policy",
                    "The request failed because the output video may contain sensitive information.",
                ),
            ),
        ),
        Told(
            (answered("seedance", "poll_expired"),),
            JobUpdate(
                JobState.FAILED,
                failure=JobFailure("timeout", "The upstream did not finish the job in its time limit."),
            ),
        ),
        Told((answered("seedance", "poll_cancelled"),), JobUpdate(JobState.CANCELLED)),
    )
    unknown_poll = (reply({"id": TASK, "status": "contemplating"}),)
    finds = (
        Told((listing(),), Found.NO),
        Told((reply({"total": 0, "items": None}),), Found.NO),
        Told((listing(task(NOW - 30)),), UpstreamJob("cgt-1")),
        Told((listing(task(NOW - 30, safety_identifier=mark_of(REFERENCE))),), UpstreamJob("cgt-1")),
        Told((listing(task(NOW - 30, safety_identifier="of another job")),), Found.NO),
        Told((listing(task(NOW - 30, model="doubao-seedance-1-5-pro-251215")),), Found.NO),
        Told((listing(task(NOW - 30, generate_audio=True)),), Found.NO),
        Told((listing(task(NOW - 30, execution_expires_after=172_800)),), Found.NO),
        Told((listing(task(NOW - 9_999)),), Found.NO),
        Told((listing(task(NOW - 30), task(NOW - 31, id="cgt-2")),), Found.UNSURE),
        Told((listing(task(NOW - 30), {"id": "cgt-2"}),), Found.UNSURE),
        Told((listing(task(NOW - 30), total=3), listing(total=3)), Found.UNSURE),
        Told((listing(task(NOW - 30), total=3), listing(task(NOW - 40, id="cgt-2"), total=3), listing()), Found.UNSURE),
        Told((listing(task(NOW - 30), task(NOW - 9_999, id="old"), total=9_000),), UpstreamJob("cgt-1")),
    )
    cancels = (
        Told((answered("seedance", "poll_queued"), answered("seedance", "delete_ok")), True),
        Told((answered("seedance", "poll_queued"), answered("seedance", "delete_running")), False),
        Told((answered("seedance", "poll_running"),), False),
        Told((answered("seedance", "poll_succeeded"),), False),
        Told((answered("seedance", "poll_cancelled"),), True),
    )
    callbacks = tuple(
        ({"content-type": "application/json"}, orjson.dumps(fixture("seedance", name)["request"]["body"]), TASK)
        for name in ("callback_running", "callback_succeeded")
    )

    def simulator(self, clock: FakeClock) -> ArkSimulator:
        return ArkSimulator(clock=clock, keys=(KEY,))

    def sent_reference(self, reference: str) -> str | None:
        return mark_of(reference)


class TestSeedanceWithoutEcho(TestSeedance):
    """An Ark that does not repeat the safety_identifier."""

    def simulator(self, clock: FakeClock) -> ArkSimulator:
        return ArkSimulator(clock=clock, keys=(KEY,), echoes=False)


class TestSeedanceAtBytePlus(TestSeedance):
    settings = {"api_key": KEY, "base_url": "https://ark.ap-southeast.bytepluses.com/api/v3", "mark_jobs": False}

    def sent_reference(self, reference: str) -> None:
        return None

    finds = tuple(told for told in TestSeedance.finds if b"safety_identifier" not in told.replies[0].body)


# --- images -----------------------------------------------------------------------------------------------------------

DREAM = "doubao-seedream-4-5-251128"
FOX = "A ceramic fox on a shelf"
FOX_USAGE = MediaUsage(images=1, output_tokens=16_384, resolution="2k")


def image(model: str = DREAM, **changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": FOX, **changes})


class TestSeedream(RegistrationSuite, ImageWireSuite):
    provider_type = relayhub_seedance.SEEDANCE
    package = relayhub_seedance
    settings = {"api_key": KEY}
    error_body = TestSeedance.error_body
    image_samples = (
        ImageSample(image(), MediaUsage(images=1, output_tokens=16_384)),
        ImageSample(image(count=4), MediaUsage(images=4, output_tokens=65_536)),
        ImageSample(image(size="2560x1440"), MediaUsage(images=1, output_tokens=14_400)),
        ImageSample(image(ratio="16:9", resolution="4k")),
        ImageSample(image(quality="high", inputs=(FRAME, PNG))),
        ImageSample(
            image("seedream-4-0-250828", size="1024x1024", vendor={"optimize_prompt_options": {"mode": "fast"}})
        ),
        ImageSample(image("doubao-seedream-5-0-260128", resolution="3k", output_format="png")),
        ImageSample(image("doubao-seedream-3-0-t2i-250415", seed=4, vendor={"guidance_scale": 2.5})),
        ImageSample(image("doubao-seededit-3-0-i2i-250628", inputs=(FRAME,))),
    )
    refused_images = (
        RefusedImage(image(prompt=""), "prompt"),
        RefusedImage(image(negative_prompt="rain"), "negative_prompt"),
        RefusedImage(image(size="1024x1024"), "size"),
        RefusedImage(image(size="8192x8192"), "size"),
        RefusedImage(image(size="huge"), "size"),
        RefusedImage(image(resolution="1k"), "resolution"),
        RefusedImage(image(size="2048x2048", ratio="1:1"), "size"),
        RefusedImage(image(ratio="99:1"), "ratio"),
        RefusedImage(image(quality="ultra"), "quality"),
        RefusedImage(image("doubao-seedream-5-0-260128", quality="high"), "quality"),
        RefusedImage(image(count=16), "n"),
        RefusedImage(image(count=2, inputs=(FRAME,) * 14), "n"),
        RefusedImage(image("doubao-seedream-3-0-t2i-250415", count=2), "n"),
        RefusedImage(image(inputs=(FRAME,) * 15), "image"),
        RefusedImage(image("doubao-seedream-3-0-t2i-250415", inputs=(FRAME,)), "image"),
        RefusedImage(image("doubao-seededit-3-0-i2i-250628"), "image"),
        RefusedImage(image(inputs=(given(InputRole.MASK, "https://x/m.png", "mask"),)), "mask"),
        RefusedImage(image(background="transparent"), "background"),
        RefusedImage(image(output_format="png"), "output_format"),
        RefusedImage(image(seed=1), "seed"),
        RefusedImage(image(vendor={"guidance_scale": 3}), "guidance_scale"),
        RefusedImage(image(vendor={"optimize_prompt_options": {"mode": "fast"}}), "optimize_prompt_options"),
        RefusedImage(image(vendor={"stream": True}), "stream"),
        RefusedImage(image("a-model-of-the-future"), "model"),
    )
    pictured = (
        Pictured(
            image(),
            (answered("seedream", "generate"),),
            MediaResult(
                (Artifact("https://media.example.com/ark/fox.jpeg?X-Tos-Expires=86400", None, "image/jpeg", 86_400.0),),
                FOX_USAGE,
            ),
        ),
        Pictured(
            image(count=2),
            (answered("seedream", "generate_partial"),),
            MediaResult(
                (Artifact("https://media.example.com/ark/fox-1.jpeg", None, "image/jpeg", 86_400.0),), FOX_USAGE
            ),
        ),
        Pictured(
            image(),
            (reply({"data": [{"b64_json": "iVBORw0KGgo=", "size": "2048x2048"}]}),),
            MediaResult((Artifact(data=b"\x89PNG\r\n\x1a\n", media_type="image/png"),), FOX_USAGE),
        ),
    )
    blocked = reply(
        {"data": [{"error": {"code": "OutputImageSensitiveContentDetected", "message": "It may be sensitive."}}]}
    )

    def image_simulator(self, clock: FakeClock) -> ArkSimulator:
        return ArkSimulator(clock=clock, keys=(KEY,))


# --- recorded exchanges -----------------------------------------------------------------------------------------------


def provider(**settings: object) -> SeedanceProvider:
    parsed = SeedanceSettings.model_validate({"api_key": KEY, **settings})
    return SeedanceProvider(parsed, ProviderContext("p", FakeClock(), "relayhub/test"))


def wire(**settings: object) -> SeedanceWire:
    found = provider(**settings).jobs(MediaKind.VIDEO)
    assert found is not None
    return found


def submit(request: VideoRequest, answer: HttpReply | None = None, **settings: object) -> Driven[UpstreamJob]:
    replies = [answer or reply({"id": TASK})]
    return drive(wire(**settings).submit(request.model, request, REFERENCE), replaying(replies))


def sent(request: VideoRequest, **settings: object) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(bytes(submit(request, **settings).requests[0].body))  # type: ignore[arg-type]
    return body


RECORDED: dict[str, tuple[VideoRequest, dict[str, object]]] = {
    "t2v_submit": (
        video(seconds=4, resolution="720p", ratio="16:9", audio=False, watermark=False),
        {"execution_expires_after": 7200},
    ),
    "i2v_first_last_submit": (
        video(
            prompt="The bud opens",
            inputs=(FRAME, given(InputRole.IMAGE, "https://media.example.com/in/bloom.png")),
            resolution="1080p",
            audio=True,
            vendor={"return_last_frame": True},
        ),
        {"watermark": False},
    ),
    "reference_submit": (
        video(
            prompt="The dancer from image 1 follows the motion of video 1 to the beat of audio 1",
            inputs=(
                given(InputRole.REFERENCE_IMAGE, "https://media.example.com/in/dancer.png"),
                given(InputRole.REFERENCE_VIDEO, "https://media.example.com/in/motion.mp4"),
                AUDIO,
            ),
            resolution="720p",
            ratio="9:16",
            seconds=8,
            audio=True,
        ),
        {"watermark": False, "execution_expires_after": 7200},
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_submit_is_as_recorded(name: str) -> None:
    request, always_sent = RECORDED[name]
    recorded = fixture("seedance", name)["request"]
    plain = wire(mark_jobs=False)
    asked = plain.with_callback(recorded["body"]["callback_url"]) if "callback_url" in recorded["body"] else plain
    made = next(asked.submit(MODEL, request, REFERENCE))
    assert (made.method, made.url) == (recorded["method"], f"https://ark.cn-beijing.volces.com{recorded['path']}")
    assert made.headers["authorization"] == f"Bearer {KEY}"
    assert orjson.loads(bytes(made.body)) == {**recorded["body"], **always_sent}  # type: ignore[arg-type]


def test_polls_and_cancels_are_as_recorded() -> None:
    job = UpstreamJob(TASK)
    poll = next(wire().poll(job))
    recorded = fixture("seedance", "poll_queued")["request"]
    assert (poll.method, poll.url) == (recorded["method"], f"https://ark.cn-beijing.volces.com{recorded['path']}")
    cancel = drive(wire().cancel(job), replaying([answered("seedance", "poll_queued"), reply({})])).requests[1]
    recorded = fixture("seedance", "delete_ok")["request"]
    assert (cancel.method, cancel.url) == (recorded["method"], f"https://ark.cn-beijing.volces.com{recorded['path']}")
    assert (cancel.body, "content-type" in cancel.headers) == (b"", False)


@pytest.mark.parametrize(("name", "count"), [("generate", 1), ("generate_partial", 2)])
def test_an_image_request_is_as_recorded(name: str, count: int) -> None:
    recorded = fixture("seedream", name)["request"]
    made = next(provider().images().generate(DREAM, image(count=count)))
    assert (made.method, made.url) == (recorded["method"], f"https://ark.cn-beijing.volces.com{recorded['path']}")
    assert orjson.loads(bytes(made.body)) == recorded["body"]  # type: ignore[arg-type]


FAILED, REJECTED = ErrorKind.UPSTREAM_FAILED, ErrorKind.UPSTREAM_REJECTED
ERRORS = {
    "error_bad_auth": (FAILED, "upstream_credentials", True),
    "error_bad_param": (REJECTED, "InvalidParameter", False),
    "error_model_not_open": (FAILED, "upstream_model_unavailable", True),
    "error_overdue": (FAILED, "upstream_quota", True),
    "error_overloaded": (ErrorKind.UPSTREAM_OVERLOADED, "upstream_overloaded", True),
    "error_quota": (FAILED, "upstream_quota", True),
    "error_rate_limited": (ErrorKind.UPSTREAM_RATE_LIMITED, "upstream_rate_limited", True),
    "error_real_person": (REJECTED, "content_policy", False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_read_as_recorded(name: str) -> None:
    """``retryable`` is of another route, which the recording's word is not about."""
    answer = answered("seedance", name)
    with pytest.raises(UpstreamError) as caught:
        submit(video(), answer)
    error = caught.value
    kind, code, elsewhere = ERRORS[name]
    assert (error.kind, error.retryable, error.delivered, error.status) == (kind, elsewhere, False, answer.status)
    assert error.code == code
    assert "0217943000001237f1e0c9b2a" not in error.message
    assert "0217943000001237f1e0c9b2a" in (error.detail or "")
    assert "2100000000" not in error.message


@pytest.mark.parametrize("name", ["error_bad_auth", "error_rate_limited"])
def test_an_error_of_images_is_read_as_recorded(name: str) -> None:
    steps = provider().images().generate(DREAM, image())
    with pytest.raises(UpstreamError) as caught:
        drive(steps, replaying([answered("seedream", name)]))
    assert not caught.value.delivered


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_flags_in_a_prompt_change_nothing() -> None:
    assert sent(video(prompt="Swords --dur 15 --rs 4k -- yes"))["content"][0]["text"] == "Swords —dur 15 —rs 4k -- yes"


def test_audio_is_always_said_where_there_is_any() -> None:
    assert sent(video())["generate_audio"] is False
    assert "generate_audio" not in sent(video("doubao-seedance-1-0-pro-250528"))


def test_the_ratio_is_said_by_what_goes_in() -> None:
    assert sent(video())["ratio"] == "16:9"
    assert sent(video(inputs=(FRAME,)))["ratio"] == "adaptive"
    assert sent(video("doubao-seedance-1-0-lite-i2v-250428", inputs=(FRAME,) * 3))["ratio"] == "16:9"


@pytest.mark.parametrize(
    ("count", "roles"),
    [
        (1, ["first_frame"]),
        (2, ["first_frame", "last_frame"]),
        (3, ["reference_image"] * 3),
    ],
)
def test_the_number_of_images_says_what_they_are_for(count: int, roles: list[str]) -> None:
    assert [item["role"] for item in sent(video(inputs=(FRAME,) * count))["content"][1:]] == roles


def test_an_image_beside_a_video_is_a_reference() -> None:
    assert [item["role"] for item in sent(video(inputs=(FRAME, CLIP)))["content"][1:]] == [
        "reference_image",
        "reference_video",
    ]


def test_a_second_image_follows_a_first_frame() -> None:
    first = given(InputRole.FIRST_FRAME, "https://x/1.png")
    assert [item["role"] for item in sent(video(inputs=(first, FRAME)))["content"][1:]] == ["first_frame", "last_frame"]


def test_data_becomes_a_data_url_of_its_type() -> None:
    assert sent(video(inputs=(PNG,)))["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    jpeg = MediaInput(InputRole.IMAGE, Media(data="AAAA", media_type="image/jpeg"), "image")
    assert sent(video(inputs=(jpeg,)))["content"][1]["image_url"]["url"] == "data:image/jpeg;base64,AAAA"


def test_editing_lets_the_model_pick_the_length_and_is_held_for_the_longest() -> None:
    request = video(inputs=(CLIP,), billed_seconds=3, remix=True)
    assert sent(request)["duration"] == -1
    assert wire().measure(MODEL, request).video_ms == 15_000
    assert wire().measure(MODEL, request).input_kind == "video"


def test_seconds_that_only_price_are_held_and_not_sent() -> None:
    request = video(seconds=5, billed_seconds=9)
    assert wire().measure(MODEL, request).video_ms == 9_000
    assert sent(request)["duration"] == 5


def test_an_edit_is_said_to_be_one_where_that_can_be_said() -> None:
    assert sent(video("doubao-seedance-2-5-260628", inputs=(CLIP,)))["omni_reference_task_type"] == "edit"
    assert "omni_reference_task_type" not in sent(video(inputs=(CLIP,)))


def test_the_flex_tier_is_a_setting_and_has_time() -> None:
    body = sent(video("doubao-seedance-1-0-pro-250528"), service_tier="flex")
    assert (body["service_tier"], body["execution_expires_after"]) == ("flex", 172_800)
    assert wire(service_tier="flex").pace.limit_s > 172_800


def test_the_pace_is_the_settings() -> None:
    pace = wire(poll={"first_s": 2, "every_s": 3}, expires_after_s=3600).pace
    assert (pace.first_s, pace.every_s, pace.slow_every_s, pace.limit_s) == (2, 3, 20, 4200)


def test_a_clients_own_safety_identifier_goes_before_the_mark() -> None:
    request = video(vendor={"safety_identifier": "user-hash"})
    assert sent(request)["safety_identifier"] == "user-hash"


def test_an_account_may_let_its_own_assets_be_named() -> None:
    face = given(InputRole.IMAGE, "asset://portrait")
    assert sent(video(inputs=(face,)), account_references=True)["content"][1]["image_url"]["url"] == "asset://portrait"
    draft = video("doubao-seedance-1-5-pro-251215", prompt="", vendor={"draft_task_id": "cgt-1"})
    assert sent(draft, account_references=True)["content"] == [{"type": "draft_task", "draft_task": {"id": "cgt-1"}}]


def test_an_operator_may_know_better() -> None:
    traits = {MODEL: {"seed": True}, "ep-2026*": {"like": "seedance-1-0-pro", "max_s": 10}}
    assert sent(video(seed=5), model_traits=traits)["seed"] == 5
    assert wire(model_traits=traits).measure("ep-2026-x", video("ep-2026-x", seconds=10)).resolution == "1080p"
    with pytest.raises(ClientError, match="duration"):
        wire(model_traits=traits).measure("ep-2026-x", video("ep-2026-x", seconds=11))
    with pytest.raises(ClientError, match="tools"):
        wire().measure(MODEL, video(vendor={"tools": [{"type": "web_search"}]}))
    searching = video(vendor={"tools": [{"type": "web_search"}]})
    assert sent(searching, model_traits={MODEL: {"web_search": True}})["tools"] == [{"type": "web_search"}]


def test_images_may_come_in_the_answer() -> None:
    body = next(provider(inline_images=True).images().generate(DREAM, image())).body
    assert orjson.loads(bytes(body))["response_format"] == "b64_json"  # type: ignore[arg-type]


def test_an_unknown_part_of_a_name_is_not_another_model() -> None:
    with pytest.raises(ClientError, match="model"):
        wire().measure("doubao-seedance-2-05", video("doubao-seedance-2-05"))


# --- what is answered -------------------------------------------------------------------------------------------------


def polled(answer: object, **handle: str) -> JobUpdate:
    job = UpstreamJob(TASK, handle)
    return drive(wire().poll(job), replaying([reply(answer)])).result


def test_a_bill_without_its_terms_uses_those_of_the_submit() -> None:
    update = polled(
        {"id": TASK, "status": "succeeded", "content": {"video_url": LINK}, "usage": {"completion_tokens": 9}},
        input_kind="video",
        resolution="480p",
        video_ms="5000",
        audio="true",
    )
    expected = MediaUsage(video_ms=5000, output_tokens=9, resolution="480p", audio=True, input_kind="video")
    assert update.usage == expected


def test_a_success_that_does_not_say_its_tokens_has_no_usage() -> None:
    update = polled({"id": TASK, "status": "succeeded", "content": {"video_url": LINK}, "usage": {}})
    assert update.usage is None


def test_frames_are_a_length_too() -> None:
    answer = {
        "id": TASK,
        "status": "succeeded",
        "content": {"video_url": LINK},
        "usage": {"completion_tokens": 9},
        "frames": 29,
        "framespersecond": 24,
    }
    update = polled(answer)
    assert update.usage is not None
    assert update.usage.video_ms == 1208


def test_a_sound_that_was_refused_comes_with_advice() -> None:
    error = {"code": "OutputAudioSensitiveContentDetected", "message": "See https://x.example/y?z. Request id: 1"}
    failure = polled({"id": TASK, "status": "failed", "error": error}).failure
    assert failure is not None
    assert failure.code == "content_policy"
    assert "generate_audio=false" in failure.message
    assert "https://" not in failure.message


def test_a_failure_for_a_parameter_is_the_clients() -> None:
    error = {"code": "InvalidParameter.TaskTypeConstraint", "message": "The video is too long."}
    assert polled({"id": TASK, "status": "failed", "error": error}).failure == JobFailure(
        "invalid_request", "The video is too long."
    )


def test_a_job_id_cannot_leave_its_path() -> None:
    assert next(wire().poll(UpstreamJob("../../models?x=1"))).url.endswith("/tasks/..%2F..%2Fmodels%3Fx%3D1")


def test_a_lookup_reads_no_more_pages_than_it_may() -> None:
    pages: list[HttpRequest] = []

    def endless(request: HttpRequest) -> HttpReply:
        pages.append(request)
        return listing(task(NOW - 30, safety_identifier="of another job"), total=1_000_000)

    steps = wire().find(MODEL, video(), REFERENCE, NOW - 60, NOW)
    assert drive(steps, endless).result is Found.UNSURE
    assert len(pages) == 10


def test_a_listing_that_is_not_sorted_is_read_to_its_end() -> None:
    old = task(NOW - 9_999, id="old")
    first = listing(old, task(NOW - 9_990, id="older"), total=3)
    second = listing(task(NOW - 30), total=3)
    steps = wire().find(MODEL, video(), REFERENCE, NOW - 60, NOW)
    found = drive(steps, replaying([first, second])).result
    assert isinstance(found, UpstreamJob)
    assert found.id == "cgt-1"


def test_a_clients_identifier_is_no_mark_of_a_job() -> None:
    """The same client's other job in the window must not be taken for this one."""
    request = video(vendor={"safety_identifier": "user-hash"})
    other = task(NOW - 30, id="cgt-2", safety_identifier="user-hash")
    mine = task(NOW - 31, safety_identifier="user-hash")
    strange = task(NOW - 32, id="cgt-3", safety_identifier="another user")
    find = wire().find
    both = drive(find(MODEL, request, REFERENCE, NOW - 60, NOW), replaying([listing(other, mine, strange)]))
    assert both.result is Found.UNSURE
    one = drive(find(MODEL, request, REFERENCE, NOW - 60, NOW), replaying([listing(mine, strange)])).result
    assert isinstance(one, UpstreamJob)
    assert one.id == "cgt-1"


def test_what_an_endpoint_made_is_found_under_its_models_name() -> None:
    traits = {"ep-1": {"like": "seedance-2-0"}}
    steps = wire(model_traits=traits).find("ep-1", video("ep-1"), REFERENCE, NOW - 60, NOW)
    found = drive(steps, replaying([listing(task(NOW - 30))])).result
    assert isinstance(found, UpstreamJob)
