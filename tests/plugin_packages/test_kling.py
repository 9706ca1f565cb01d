"""Kling: the suites, and the recorded exchanges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from pydantic import ValidationError

import relayhub_kling
from relayhub.sdk import (
    Artifact,
    ClientError,
    ErrorKind,
    Found,
    HttpReply,
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
    Fault,
    JobSample,
    JobWireSuite,
    Refused,
    RegistrationSuite,
    Told,
    drive,
    replaying,
)
from relayhub_kling.provider import KlingProvider
from relayhub_kling.settings import KlingSettings
from relayhub_kling.simulator import KlingSimulator
from relayhub_kling.wire import KlingWire

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "kling"
HOST = "https://api-singapore.klingai.com"
ACCESS = "access-canary-0123456789abcdef01"
SECRET = "secret-canary-0123456789abcdef0123456789"
KEY = "api-key-kling-canary-0123456789"
PAIR = {"access_key": ACCESS, "secret_key": SECRET}
MODEL = "kling-v2-6"
TASK = "849203117764010041"
LINK = "https://media.example.com/kling/849203117764010099.mp4?sig=abc"
PROMPT = "A paper lantern drifts over a quiet canal at dusk"
REFERENCE = "task_conformance0000000000000001"
NOW = int(FakeClock().now())
MONTH_S = 2_592_000.0


def fixture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return value


def answered(name: str) -> HttpReply:
    response = fixture(name)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def reply(value: object, status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json", **headers}, orjson.dumps(value))


def said(data: object) -> HttpReply:
    return reply({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data})


def refusal(status: int, code: int, message: str = "no", **headers: str) -> HttpReply:
    return reply({"code": code, "message": message, "request_id": "r-17"}, status, **headers)


def given(role: InputRole, url: str, field: str = "image") -> MediaInput:
    return MediaInput(role, Media(url=url), field)


def video(model: str = MODEL, **changes: Any) -> VideoRequest:
    return VideoRequest(**{"model": model, "prompt": PROMPT, **changes})


def image(model: str = "kling-v2-1", **changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": "A ceramic fox on a shelf", **changes})


PICTURE = given(InputRole.IMAGE, "https://media.example.com/in/portrait.jpg")
END = given(InputRole.LAST_FRAME, "https://media.example.com/in/portrait-end.jpg", "end")
START = given(InputRole.FIRST_FRAME, "https://media.example.com/in/portrait.jpg", "start")
CLIP = given(InputRole.SOURCE_VIDEO, "https://media.example.com/in/walk.mp4", "video")
FOLLOWED = given(InputRole.REFERENCE_VIDEO, "https://media.example.com/in/walk.mp4", "video")
PNG = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo=", media_type="image/png"), "image")
CAMERA = {"type": "simple", "config": {"zoom": 5}}
SHOTS = {
    "multi_shot": True,
    "shot_type": "customize",
    "multi_prompt": [{"index": 1, "prompt": "A door", "duration": "4"}, {"prompt": "A hall", "duration": 3}],
}

TERMS = {
    "api": "classic",
    "path": "/v1/videos/text2video",
    "input_kind": "text",
    "video_ms": "5000",
    "resolution": "720p",
    "audio": "false",
}
DONE = MediaUsage(video_ms=5000, resolution="720p", audio=False)


def task(created_s: int, **more: object) -> dict[str, object]:
    task = {"task_id": TASK, "task_status": "submitted", "created_at": created_s * 1000, "updated_at": created_s * 1000}
    return {**task, **more}


def mine(reference: str = REFERENCE) -> dict[str, object]:
    return {"external_task_id": reference}


UNKNOWN = refusal(404, 1203, "task not found")


class TestKling(RegistrationSuite, JobWireSuite):
    provider_type = relayhub_kling.KLING
    package = relayhub_kling
    settings = {**PAIR, "account_references": True}
    signs = True
    error_body = '{"code": 1, "message": "{message}", "request_id": "c2f6"}'
    samples = (
        JobSample(video(), MediaUsage(video_ms=5000)),
        JobSample(video(seconds=10, resolution="1080p", ratio="9:16", audio=True, negative_prompt="blur")),
        JobSample(video(audio=True)),
        JobSample(video(inputs=(PICTURE,), prompt="")),
        JobSample(video(inputs=(START, END), vendor={"mode": "pro"})),
        JobSample(video(inputs=(PNG, PICTURE))),
        JobSample(video(inputs=(END,))),
        JobSample(video("kling-v1", vendor={"cfg_scale": 0.7, "camera_control": CAMERA})),
        JobSample(video("kling-v1-5", inputs=(PICTURE,), vendor={"camera_control": {"type": "down_back"}})),
        JobSample(video("kling-v1-6", inputs=(PICTURE, PNG), ratio="1:1"), MediaUsage(video_ms=5000)),
        JobSample(video("kling-v1", prompt="", vendor={"video_id": "849203117764010077"})),
        JobSample(video("kling-v2-master", watermark=True)),
        JobSample(video("kling-v2-1", inputs=(PICTURE,))),
        JobSample(video("kling-v2-5-turbo", vendor={"watermark_info": {"enabled": True}})),
        JobSample(video("kling-v3", seconds=15, resolution="4K", vendor={"sound": "on"}), MediaUsage(video_ms=15_000)),
        JobSample(video("kling-v3", prompt="", vendor=SHOTS), MediaUsage(video_ms=7000)),
        JobSample(video("kling-v3", vendor={"multi_shot": True, "shot_type": "intelligence"})),
        JobSample(video("kling-v3", inputs=(PICTURE,), vendor={"element_list": [{"element_id": 17}]})),
        JobSample(video("kling-v3-omni", audio=True, ratio="9:16")),
        JobSample(video("kling-v3-omni", inputs=(PICTURE,))),
        JobSample(video("kling-v3-omni", inputs=(PICTURE,) * 6, vendor={"element_list": [{"element_id": 1}]})),
        JobSample(video("kling-v3-omni", inputs=(START, END, given(InputRole.REFERENCE_IMAGE, "https://x/1.png")))),
        JobSample(video("kling-v3-omni", inputs=(CLIP, PICTURE), remix=True), MediaUsage(video_ms=8000)),
        JobSample(video("kling-video-o1", inputs=(FOLLOWED,), seconds=10)),
        JobSample(video("kling-3.0")),
        JobSample(video("kling-3.0", inputs=(START, END), seconds=8, resolution="1080p", audio=True)),
        JobSample(video("kling-3.0-turbo", watermark=True, vendor={"multi_shot": True})),
        JobSample(video("kling-v3-turbo", inputs=(PNG,), prompt="")),
        JobSample(video("kling-3.0-omni", inputs=(PICTURE, PICTURE), vendor={"element_list": [{"element_id": "e"}]})),
        JobSample(video("kling-3.0-omni", inputs=(CLIP,), audio=True), MediaUsage(video_ms=8000)),
        JobSample(video("kling-3.0-omni", inputs=(FOLLOWED, PICTURE), seconds=3)),
    )
    refused = (
        Refused(video(resolution="480p"), "resolution"),
        Refused(video(resolution="4k"), "resolution"),
        Refused(video(vendor={"mode": "turbo"}), "mode"),
        Refused(video(vendor={"mode": "4k"}), "mode"),
        Refused(video(resolution="720p", vendor={"mode": "pro"}), "mode"),
        Refused(video(ratio="4:3"), "ratio"),
        Refused(video(inputs=(PICTURE,), ratio="16:9"), "ratio"),
        Refused(video(seconds=7), "duration"),
        Refused(video(seconds=5.5), "duration"),
        Refused(video("kling-v3", seconds=16), "duration"),
        Refused(video("kling-video-o1", seconds=15), "duration"),
        Refused(video("kling-v3-omni", inputs=(CLIP,), seconds=5), "duration"),
        Refused(video("kling-v1", audio=True), "audio"),
        Refused(video("kling-v1", vendor={"sound": "on"}), "sound"),
        Refused(video(resolution="720p", audio=True), "audio"),
        Refused(video(audio=True, vendor={"sound": "off"}), "sound"),
        Refused(video(vendor={"sound": True}), "sound"),
        Refused(video(vendor={"keep_original_sound": "yes"}), "keep_original_sound"),
        Refused(video(seed=1), "seed"),
        Refused(video("kling-v3-omni", negative_prompt="rain"), "negative_prompt"),
        Refused(video("kling-3.0", negative_prompt="rain"), "negative_prompt"),
        Refused(video(negative_prompt="x" * 2501), "negative_prompt"),
        Refused(video(prompt=" "), "prompt"),
        Refused(video(prompt="x" * 2501), "prompt"),
        Refused(video("kling-v3-omni", prompt="", inputs=(PICTURE,)), "prompt"),
        Refused(video("kling-v2-1"), "image"),
        Refused(video(inputs=(PICTURE,) * 3), "image"),
        Refused(video("kling-v1-6", inputs=(PICTURE,) * 5), "image"),
        Refused(video("kling-v3-omni", inputs=(PICTURE,) * 8), "image"),
        Refused(video("kling-v3-omni", inputs=(CLIP, *(PICTURE,) * 5)), "image"),
        Refused(video("kling-v2-master", inputs=(START, END)), "end"),
        Refused(video(inputs=(START, END), resolution="720p"), "end"),
        Refused(video("kling-v3-omni", inputs=(END,)), "end"),
        Refused(video("kling-3.0", inputs=(END,)), "end"),
        Refused(video("kling-v3-omni", inputs=(CLIP, START)), "video"),
        Refused(video("kling-v3-omni", inputs=(CLIP, FOLLOWED)), "video"),
        Refused(video(inputs=(CLIP,)), "video"),
        Refused(video(inputs=(CLIP,), remix=True), "video"),
        Refused(video("kling-v1-6", inputs=(START, given(InputRole.REFERENCE_IMAGE, "https://x", "ref"))), "ref"),
        Refused(video(inputs=(given(InputRole.MASK, "https://x/1.png", "mask"),)), "mask"),
        Refused(video(inputs=(given(InputRole.REFERENCE_AUDIO, "https://x/1.mp3", "beat"),)), "beat"),
        Refused(video(inputs=(MediaInput(InputRole.IMAGE, Media(file_id="f"), "image"),)), "image"),
        Refused(video(inputs=(MediaInput(InputRole.IMAGE, Media(data="AA==", media_type="image/webp")),)), "input"),
        Refused(video(inputs=(MediaInput(InputRole.IMAGE, Media(data="A" * 14_000_000), "image"),)), "image"),
        Refused(video("kling-v3-omni", inputs=(MediaInput(InputRole.SOURCE_VIDEO, Media(data="AA=="), "v"),)), "v"),
        Refused(video(vendor={"cfg_scale": 0.5}), "cfg_scale"),
        Refused(video("kling-v1", vendor={"cfg_scale": 2}), "cfg_scale"),
        Refused(video("kling-v1-6", inputs=(PICTURE,) * 2, vendor={"cfg_scale": 0.5}), "cfg_scale"),
        Refused(video(vendor={"camera_control": CAMERA}), "camera_control"),
        Refused(video("kling-v1", seconds=10, vendor={"camera_control": CAMERA}), "camera_control"),
        Refused(video("kling-v1", resolution="1080p", vendor={"camera_control": CAMERA}), "camera_control"),
        Refused(video("kling-v1", vendor={"camera_control": {"type": "orbit"}}), "camera_control"),
        Refused(video("kling-v1", vendor={"camera_control": {"type": "simple"}}), "camera_control"),
        Refused(
            video("kling-v1", vendor={"camera_control": {"type": "simple", "config": {"pan": 1, "roll": 1}}}),
            "camera_control",
        ),
        Refused(video("kling-v1", vendor={"camera_control": {"type": "down_back", "config": {}}}), "camera_control"),
        Refused(video(vendor={"multi_shot": True}), "multi_shot"),
        Refused(video("kling-v3", vendor={"multi_shot": True}), "shot_type"),
        Refused(video("kling-v3", vendor={"shot_type": "customize"}), "shot_type"),
        Refused(video("kling-v3", seconds=10, vendor=SHOTS), "multi_prompt"),
        Refused(video("kling-v3", vendor={**SHOTS, "shot_type": "intelligence"}), "multi_prompt"),
        Refused(video("kling-v3", vendor={**SHOTS, "multi_prompt": []}), "multi_prompt"),
        Refused(video("kling-v3", vendor={**SHOTS, "multi_prompt": [{"prompt": "x"}]}), "multi_prompt"),
        Refused(
            video("kling-v3", vendor={**SHOTS, "multi_prompt": [{"index": 2, "prompt": "x", "duration": 5}]}),
            "multi_prompt",
        ),
        Refused(video("kling-3.0", vendor=SHOTS), "shot_type"),
        Refused(video(vendor={"voice_list": [{"voice_id": "v"}]}), "voice_list"),
        Refused(video(vendor={"element_list": [{"element_id": 1}]}), "element_list"),
        Refused(video("kling-v3", vendor={"element_list": [{"element_id": 1}]}), "element_list"),
        Refused(video("kling-v3-omni", vendor={"element_list": [{"name": 1}]}), "element_list"),
        Refused(
            video("kling-v3-omni", inputs=(PICTURE,) * 7, vendor={"element_list": [{"element_id": 1}]}), "element_list"
        ),
        Refused(video(vendor={"video_id": "1"}), "video_id"),
        Refused(video("kling-v1", seconds=5, vendor={"video_id": "1"}), "duration"),
        Refused(video("kling-v1", inputs=(PICTURE,), vendor={"video_id": "1"}), "image"),
        Refused(video("kling-v1", vendor={"video_id": "1", "mode": "pro"}), "mode"),
        Refused(video(vendor={"watermark_info": True}), "watermark_info"),
        Refused(video(vendor={"callback_url": "https://x"}), "callback_url"),
        Refused(video(vendor={"external_task_id": "x"}), "external_task_id"),
        Refused(video("kling-3.0", vendor={"cfg_scale": 0.5}), "cfg_scale"),
        Refused(video("kling-4.0"), "model"),
        Refused(image(MODEL), "model"),
    )
    submitted = Told((answered("t2v_submit"),), UpstreamJob(TASK, TERMS))
    polls = (
        Told((answered("t2v_poll_submitted"),), JobUpdate(JobState.QUEUED)),
        Told((answered("t2v_poll_processing"),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (answered("t2v_poll_succeed"),),
            JobUpdate(JobState.SUCCEEDED, None, (Artifact(LINK, None, "video/mp4", MONTH_S),), usage=DONE),
        ),
        Told(
            (answered("t2v_poll_failed"),),
            JobUpdate(
                JobState.FAILED,
                failure=JobFailure("content_policy", "Failure to pass the risk control system"),
            ),
        ),
    )
    unknown_poll = (said(task(NOW, task_status="contemplating")),)
    finds = (
        Told((said(task(NOW - 30, task_info=mine())),), UpstreamJob(TASK)),
        Told((said(task(NOW - 30)),), UpstreamJob(TASK)),
        Told((UNKNOWN, said([])), Found.NO),
        Told((refusal(400, 1201, "no such task"), said([])), Found.NO),
        Told((said(None), said([])), Found.NO),
        Told((UNKNOWN, said([task(NOW - 30, task_info=mine())])), UpstreamJob(TASK)),
        Told((UNKNOWN, said([task(NOW - 30, task_info=mine("another"))]), said([])), Found.NO),
        Told((UNKNOWN, said([task(NOW - 30)]), said([])), Found.UNSURE),
        Told((UNKNOWN, said([{"task_status": "submitted"}]), said([])), Found.UNSURE),
        Told((UNKNOWN, said([task(NOW - 9_999)])), Found.NO),
        Told((UNKNOWN, said([task(NOW - 30), task(NOW - 9_999)])), Found.UNSURE),
        Told((UNKNOWN, said([task(NOW - 9_999), task(NOW - 30, task_info=mine("x"))]), said([])), Found.NO),
        Told((UNKNOWN, *[said([task(NOW - 30, task_info=mine("x"))])] * 10), Found.UNSURE),
        Told((said(task(NOW - 30, task_info=mine("another"))), said([])), Found.NO),
    )
    callbacks = (
        ({}, orjson.dumps(fixture("callback_succeed")["request"]["body"]), TASK),
        ({}, answered("t2v_poll_succeed").body, TASK),
        ({}, answered("v3_poll_succeeded").body, "ka_7b1c0e55f2"),
        ({}, orjson.dumps(fixture("v3_poll_succeeded")["response"]["body"]["data"][0]), "ka_7b1c0e55f2"),
    )

    def simulator(self, clock: FakeClock) -> KlingSimulator:
        return KlingSimulator(clock=clock, accounts={ACCESS: SECRET}, forbidden=(SECRET,))


class TestKlingWithAnApiKey(TestKling):
    settings = {"api_key": KEY, "account_references": True, "base_url": "https://api-beijing.klingai.com"}
    signs = False

    def simulator(self, clock: FakeClock) -> KlingSimulator:
        return KlingSimulator(clock=clock, keys=(KEY,), lists_references=False)


KA = "ka_7b1c0e55f2"


def listed(*tasks: dict[str, object], **more: object) -> HttpReply:
    return said({**({"result": list(tasks)} if tasks else {}), "next_cursor": "c", "has_more": False, **more})


def second(created_s: int, **more: object) -> dict[str, object]:
    return {"id": KA, "status": "submitted", "create_time": created_s * 1000, **more}


class TestKlingsSecondGeneration(JobWireSuite):
    provider_type = relayhub_kling.KLING
    settings = TestKling.settings
    signs = True
    error_body = TestKling.error_body
    samples = tuple(sample for sample in TestKling.samples if sample.model.startswith("kling-3.0"))
    submitted = Told(
        (answered("v3_t2v_submit"),),
        UpstreamJob(KA, {**TERMS, "api": "second", "path": "/text-to-video/kling-3.0"}),
    )
    polls = (
        Told((answered("v3_poll_processing"),), JobUpdate(JobState.IN_PROGRESS)),
        Told((said([second(NOW)]),), JobUpdate(JobState.QUEUED)),
        Told((said([second(NOW, id="ka_other", status="failed"), second(NOW)]),), JobUpdate(JobState.QUEUED)),
        Told(
            (answered("v3_poll_succeeded"),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(Artifact("https://media.example.com/kling/ko_19.mp4?sig=abc", None, "video/mp4", MONTH_S),),
                usage=DONE,
            ),
        ),
        Told(
            (answered("v3_poll_failed"),),
            JobUpdate(JobState.FAILED, failure=JobFailure("content_policy", "content policy")),
        ),
    )
    unknown_poll = (said([second(NOW, status="contemplating")]),)
    finds = (
        Told((said([second(NOW, external_id=REFERENCE)]),), UpstreamJob(KA)),
        Told((said([]), listed()), Found.NO),
        Told((UNKNOWN, listed()), Found.NO),
        Told((said([]), listed(second(NOW, external_id=REFERENCE))), UpstreamJob(KA)),
        Told((said([]), listed(second(NOW, external_id="another"))), Found.NO),
        Told((said([]), listed(second(NOW))), Found.UNSURE),
        Told((said([]), listed(has_more=True), listed(second(NOW, external_id=REFERENCE))), UpstreamJob(KA)),
        Told((said([]), *[listed(has_more=True)] * 10), Found.UNSURE),
    )
    callbacks = TestKling.callbacks

    def simulator(self, clock: FakeClock) -> KlingSimulator:
        return KlingSimulator(clock=clock, accounts={ACCESS: SECRET}, forbidden=(SECRET,))


PICTURES = {
    "api": "classic",
    "path": "/v1/images/generations",
    "input_kind": "text",
    "images": "2",
    "resolution": "1k",
}
FOXES = tuple(
    Artifact(f"https://media.example.com/kling/fox-{index}.png", None, "image/png", MONTH_S) for index in range(2)
)


class TestKlingImages(JobWireSuite):
    kind = MediaKind.IMAGE
    provider_type = relayhub_kling.KLING
    settings = PAIR
    signs = True
    error_body = TestKling.error_body
    samples = (
        JobSample(image(count=2), MediaUsage(images=2)),
        JobSample(image(size="1024x1024", negative_prompt="cats", quality="low"), MediaUsage(images=1)),
        JobSample(image(size="2048x2048", count=9)),
        JobSample(image(size="1536x1024", output_format="png", background="auto")),
        JobSample(image(ratio="21:9", quality="high")),
        JobSample(image(inputs=(PNG,))),
        JobSample(image(inputs=(PNG, PICTURE), resolution="2k")),
        JobSample(image("kling-v1-5", inputs=(PICTURE,), vendor={"image_reference": "subject", "human_fidelity": 0.4})),
        JobSample(image("kling-image-o1", inputs=(PICTURE,) * 10)),
        JobSample(image("kling-v3-omni", resolution="4K")),
        JobSample(image("kling-v3")),
    )
    refused = (
        Refused(image(prompt=""), "prompt"),
        Refused(image(prompt="x" * 2501), "prompt"),
        Refused(image(negative_prompt="cats", inputs=(PNG,)), "negative_prompt"),
        Refused(image(count=10), "n"),
        Refused(image(count=0), "n"),
        Refused(image(size="1000x300"), "size"),
        Refused(image(size="big"), "size"),
        Refused(image(size="4096x4096"), "size"),
        Refused(image(size="0x10"), "size"),
        Refused(image(size="00x00"), "size"),
        Refused(image(size="1024x1024", ratio="1:1"), "size"),
        Refused(image(ratio="5:1"), "ratio"),
        Refused(image(resolution="4k"), "resolution"),
        Refused(image("kling-v1", quality="high"), "quality"),
        Refused(image(quality="ultra"), "quality"),
        Refused(image(size="1024x1024", quality="ultra"), "quality"),
        Refused(image("kling-v1", inputs=(PNG, PNG)), "image"),
        Refused(image(inputs=(PNG,) * 5), "image"),
        Refused(image(inputs=(given(InputRole.MASK, "https://x/m.png", "mask"),)), "mask"),
        Refused(image(seed=1), "seed"),
        Refused(image(watermark=True), "watermark"),
        Refused(image(background="transparent"), "background"),
        Refused(image(output_format="webp"), "output_format"),
        Refused(image(inputs=(PNG,), vendor={"image_reference": "face"}), "image_reference"),
        Refused(image("kling-v1-5", vendor={"image_fidelity": 0.5}), "image_fidelity"),
        Refused(image("kling-v1-5", inputs=(PNG,), vendor={"image_fidelity": 5}), "image_fidelity"),
        Refused(image("kling-v1-5", inputs=(PNG,), vendor={"human_fidelity": 0.5}), "human_fidelity"),
        Refused(image(vendor={"style": "vivid"}), "style"),
        Refused(image(MODEL), "model"),
        Refused(video("kling-v1"), "model"),
    )
    submitted = Told((answered("image_submit"),), UpstreamJob("849203117764020001", PICTURES))
    polls = (
        Told((said(task(NOW, task_status="processing")),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (answered("image_poll_succeed"),),
            JobUpdate(JobState.SUCCEEDED, artifacts=FOXES, usage=MediaUsage(images=2, resolution="1k")),
        ),
        Told(
            (said(task(NOW, task_status="failed", task_status_msg="Server busy", final_unit_deduction="0.5")),),
            JobUpdate(JobState.FAILED, failure=JobFailure("upstream_error", "Server busy", charged=True)),
        ),
    )
    unknown_poll = TestKling.unknown_poll
    finds = TestKling.finds
    callbacks = TestKling.callbacks

    def simulator(self, clock: FakeClock) -> KlingSimulator:
        return KlingSimulator(clock=clock, accounts={ACCESS: SECRET}, forbidden=(SECRET,))


# --- recorded exchanges -----------------------------------------------------------------------------------------------


def provider(clock: FakeClock | None = None, **settings: Any) -> KlingProvider:
    parsed = KlingSettings.model_validate(settings if "api_key" in settings else {**PAIR, **settings})
    return KlingProvider(parsed, ProviderContext("p", clock or FakeClock(), "relayhub/test"))


def wire(kind: MediaKind = MediaKind.VIDEO, **settings: Any) -> KlingWire:
    found = provider(**settings).jobs(kind)
    assert found is not None
    return found


def submit(request: VideoRequest, answer: HttpReply | None = None, **settings: Any) -> Driven[UpstreamJob]:
    steps = wire(**settings).submit(request.model, request, REFERENCE)
    return drive(steps, replaying([answer or answered("t2v_submit")]))


def sent(request: VideoRequest | ImageRequest, **settings: Any) -> dict[str, Any]:
    kind = MediaKind.VIDEO if isinstance(request, VideoRequest) else MediaKind.IMAGE
    made = next(wire(kind, **settings).submit(request.model, request, "job_5f2c91"))
    body: dict[str, Any] = orjson.loads(bytes(made.body))  # type: ignore[arg-type]
    return {"path": made.url.removeprefix(HOST), **body}


OURS: dict[str, object] = {"external_task_id": "job_5f2c91"}
RECORDED: dict[str, tuple[VideoRequest | ImageRequest, dict[str, object]]] = {
    "t2v_submit": (
        video(negative_prompt="blur, text", vendor={"mode": "pro", "sound": "off"}, ratio="16:9", seconds=5),
        {},
    ),
    "i2v_submit": (
        video(inputs=(PICTURE, END), prompt="She turns to the window", resolution="1080p", seconds=10),
        {"sound": "off"},
    ),
    "multi_image2video_submit": (
        video(
            "kling-v1-6",
            prompt="The cat wears the hat and bows",
            inputs=(
                given(InputRole.IMAGE, "https://media.example.com/in/cat.png"),
                given(InputRole.IMAGE, "https://media.example.com/in/hat.png"),
            ),
            ratio="1:1",
        ),
        OURS,
    ),
    "omni_video_submit": (
        video(
            "kling-v3-omni",
            prompt="Make <<<video_1>>> look like a rainy evening, keep <<<image_1>>> as the style",
            inputs=(CLIP, given(InputRole.IMAGE, "https://media.example.com/in/style.jpg")),
            resolution="1080p",
        ),
        {**OURS, "sound": "off"},
    ),
    "video_extend_submit": (
        video("kling-v1", prompt="The lantern reaches the bridge", vendor={"video_id": "849203117764010077"}),
        OURS,
    ),
    "image_submit": (image(count=2, size="1024x1024"), OURS),
    "v3_t2v_submit": (video("kling-3.0", resolution="720p", ratio="16:9", audio=False), {}),
    "v3_i2v_submit": (
        video(
            "kling-3.0",
            prompt="She turns to the window",
            inputs=(PICTURE, END),
            resolution="1080p",
            seconds=8,
            audio=True,
        ),
        {"options": {**OURS, "watermark_info": {"enabled": False}}},
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_submit_is_as_recorded(name: str) -> None:
    request, always_sent = RECORDED[name]
    recorded = fixture(name)["request"]
    expected = {"path": recorded["path"], **recorded["body"], **always_sent}
    assert sent(request, account_references=True) == expected


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("t2v_poll_submitted", UpstreamJob(TASK, TERMS)),
        ("image_poll_succeed", UpstreamJob("849203117764020001", PICTURES)),
        ("v3_poll_processing", UpstreamJob(KA, {**TERMS, "api": "second"})),
    ],
)
def test_a_poll_is_as_recorded(name: str, job: UpstreamJob) -> None:
    recorded = fixture(name)["request"]
    poll = next(wire(api_key=KEY).poll(job))
    assert (poll.method, poll.url, poll.body) == (recorded["method"], f"{HOST}{recorded['path']}", b"")
    assert (poll.headers["authorization"], "content-type" in poll.headers) == (f"Bearer {KEY}", False)


FAILED, REJECTED = ErrorKind.UPSTREAM_FAILED, ErrorKind.UPSTREAM_REJECTED
LIMITED, OVERLOADED = ErrorKind.UPSTREAM_RATE_LIMITED, ErrorKind.UPSTREAM_OVERLOADED
ERRORS = {
    "error_bad_auth_1002": (FAILED, "upstream_credentials", True),
    "error_bad_param_1201": (REJECTED, "1201", False),
    "error_concurrency_1303": (LIMITED, "upstream_rate_limited", True),
    "error_ip_whitelist_1304": (FAILED, "upstream_credentials", True),
    "error_pack_depleted_1102": (FAILED, "upstream_quota", True),
    "error_policy_1301": (REJECTED, "content_policy", False),
    "error_rate_limited_1302": (LIMITED, "upstream_rate_limited", True),
    "error_token_expired_1004": (FAILED, "upstream_credentials", True),
    "error_unavailable_5001": (OVERLOADED, "upstream_overloaded", True),
}


def failed(answer: HttpReply, **settings: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        submit(video(), answer, **settings)
    return caught.value


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_read_as_recorded(name: str) -> None:
    """``retryable`` is of another route, which the recording's word is not about."""
    answer = answered(name)
    error = failed(answer)
    kind, code, elsewhere = ERRORS[name]
    assert (error.kind, error.code, error.retryable) == (kind, code, elsewhere)
    assert (error.delivered, error.status) == (False, answer.status)
    assert "c2f6a1d0" not in error.message
    assert "c2f6a1d0" in (error.detail or "")


@pytest.mark.parametrize(
    ("status", "code", "kind", "delivered"),
    [
        (429, 1100, FAILED, False),
        (429, 1101, FAILED, False),
        (403, 1103, FAILED, False),
        (404, 1203, REJECTED, False),
        (400, 1300, REJECTED, False),
        (500, 5000, FAILED, True),
        (503, 5001, OVERLOADED, False),
        (504, 5002, ErrorKind.UPSTREAM_TIMEOUT, True),
        (503, 5002, ErrorKind.UPSTREAM_TIMEOUT, True),
        (500, 5001, FAILED, True),
        (500, 1201, FAILED, True),
        (502, 1302, FAILED, True),
        (200, 1301, REJECTED, False),
        (200, 1302, LIMITED, False),
        (200, 5000, FAILED, True),
        (200, 7777, FAILED, True),
        (429, 7777, LIMITED, False),
    ],
)
def test_the_code_decides_unless_it_promises_more_than_the_status(
    status: int, code: int, kind: ErrorKind, delivered: bool
) -> None:
    error = failed(refusal(status, code))
    assert (error.kind, error.delivered, error.status) == (kind, delivered, status)


def test_a_model_that_the_account_has_no_right_to_is_tried_elsewhere() -> None:
    error = failed(refusal(403, 1103, f"no right, see {KEY}"), api_key=KEY)
    assert (error.code, error.retryable) == ("upstream_model_unavailable", True)
    assert KEY not in str(error)


@pytest.mark.parametrize("shown", [ACCESS, SECRET])
def test_no_credential_stands_in_an_error(shown: str) -> None:
    for status, code in ((400, 1201), (401, 1002), (429, 1302), (500, 5000)):
        assert shown not in str(failed(refusal(status, code, f"it has {shown} in it")))


def test_the_token_does_not_stand_in_an_error() -> None:
    kling = wire()
    request = next(kling.submit(MODEL, video(), REFERENCE))
    token = request.headers["authorization"].removeprefix("Bearer ")
    with pytest.raises(UpstreamError) as caught:
        drive(kling.submit(MODEL, video(), REFERENCE), replaying([refusal(400, 1201, f"token {token}")]))
    assert token not in str(caught.value)


# --- tokens -----------------------------------------------------------------------------------------------------------


def authorization(kling: KlingWire) -> str:
    return next(kling.poll(UpstreamJob(TASK, TERMS))).headers["authorization"]


def claims_of(header: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(header.removeprefix("Bearer "), options={"verify_signature": False})
    return claims


def test_a_token_is_as_recorded() -> None:
    vector = fixture("auth_jwt_vector")
    pair = {"access_key": vector["access_key"], "secret_key": vector["secret_key"]}
    made = provider(FakeClock(vector["now"] + 0.9), **pair).jobs(MediaKind.VIDEO)
    assert made is not None
    assert authorization(made) == f"Bearer {vector['token']}"


def test_a_token_is_kept_until_shortly_before_its_end_and_shared_by_all_wires() -> None:
    clock = FakeClock()
    kling = provider(clock)
    videos, images = kling.jobs(MediaKind.VIDEO), kling.jobs(MediaKind.IMAGE)
    assert videos is not None
    assert images is not None
    first = authorization(videos)
    clock.advance(1499)
    assert authorization(images) == authorization(videos.with_callback("https://x")) == first
    clock.advance(1)
    assert claims_of(authorization(videos))["exp"] == NOW + 1500 + 1800
    clock.advance(-3600)
    assert claims_of(authorization(videos))["exp"] == NOW + 1500 - 3600 + 1800


def test_a_poll_with_a_stale_token_is_repeated_once_with_a_new_one() -> None:
    clock = FakeClock()
    kling = provider(clock).jobs(MediaKind.VIDEO)
    assert kling is not None
    first = authorization(kling)
    clock.advance(60)
    expired = answered("error_token_expired_1004")
    steps = kling.poll(UpstreamJob(TASK, TERMS))
    driven = drive(steps, replaying([expired, answered("t2v_poll_processing")]))
    assert driven.result.state is JobState.IN_PROGRESS
    assert driven.requests[1].headers["authorization"] != first
    with pytest.raises(UpstreamError) as caught:
        drive(kling.poll(UpstreamJob(TASK, TERMS)), replaying([expired, expired]))
    assert caught.value.status == 401


def test_a_stale_token_of_a_submit_is_replaced_for_the_next_one() -> None:
    """The paid request itself is never sent twice."""
    clock = FakeClock()
    kling = provider(clock).jobs(MediaKind.VIDEO)
    assert kling is not None
    first = authorization(kling)
    clock.advance(60)
    with pytest.raises(UpstreamError) as caught:
        drive(kling.submit(MODEL, video(), REFERENCE), replaying([answered("error_token_expired_1004")]))
    assert (caught.value.delivered, caught.value.retryable) == (False, True)
    assert authorization(kling) != first


def test_a_wrong_clock_is_set_right_by_the_upstreams() -> None:
    clock = FakeClock()
    upstream = KlingSimulator(clock=clock, accounts={ACCESS: SECRET})
    slow = FakeClock(clock.now() - 7200)
    kling = provider(slow).jobs(MediaKind.VIDEO)
    assert kling is not None
    date = "Mon, 21 Sep 2026 14:13:20 GMT"
    job = UpstreamJob("1", TERMS)
    with pytest.raises(UpstreamError):
        drive(kling.submit(MODEL, video(), REFERENCE), upstream.exchange)
    with pytest.raises(UpstreamError):
        drive(kling.poll(job), replaying([refusal(401, 1004, "token is expired", date=date), UNKNOWN]))
    assert drive(kling.submit(MODEL, video(), REFERENCE), upstream.exchange).result.id in upstream.jobs


def test_a_single_key_is_not_renewed() -> None:
    expired = answered("error_token_expired_1004")
    with pytest.raises(UpstreamError):
        drive(wire(api_key=KEY).poll(UpstreamJob(TASK, TERMS)), replaying([expired]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"access_key": ACCESS},
        {"secret_key": SECRET},
        {**PAIR, "api_key": KEY},
        {"api_key": KEY, "access_key": ACCESS},
        {"api_key": KEY, "base_url": f"{HOST}/v1"},
        {"api_key": KEY, "poll": {"every_s": 60, "slow_every_s": 10}},
        {"api_key": KEY, "poll": {"slow_after_s": 3000}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        KlingSettings.model_validate(settings)
    assert SECRET not in str(caught.value)


def test_the_pace_is_the_settings() -> None:
    pace = wire(poll={"first_s": 2, "every_s": 3}, gives_up_s=3600).pace
    assert (pace.first_s, pace.every_s, pace.slow_every_s, pace.limit_s) == (2, 3, 15, 3600)


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "count", "path"),
    [
        (MODEL, 0, "/v1/videos/text2video"),
        (MODEL, 1, "/v1/videos/image2video"),
        (MODEL, 2, "/v1/videos/image2video"),
        ("kling-v1-6", 1, "/v1/videos/image2video"),
        ("kling-v1-6", 4, "/v1/videos/multi-image2video"),
        ("kling-v3-omni", 0, "/v1/videos/omni-video"),
        ("kling-v3-omni", 7, "/v1/videos/omni-video"),
        ("kling-v3-turbo", 0, "/text-to-video/kling-3.0-turbo"),
        ("kling-3.0-turbo", 1, "/image-to-video/kling-3.0-turbo"),
        ("kling-3.0-omni", 0, "/omni-video/kling-3.0-omni"),
    ],
)
def test_what_goes_in_says_where_it_is_made(model: str, count: int, path: str) -> None:
    request = video(model, inputs=(PICTURE,) * count)
    assert sent(request)["path"] == path
    assert (
        submit(
            request, answered("v3_t2v_submit" if "path" in path or "/v1/" not in path else "t2v_submit")
        ).result.handle["path"]
        == path
    )


def test_two_images_are_first_and_last_frame_where_there_are_no_references() -> None:
    body = sent(video(inputs=(PICTURE, PNG)))
    assert (body["image"], body["image_tail"], body["mode"]) == (PICTURE.media.url, "iVBORw0KGgo=", "pro")


def test_the_cheapest_mode_that_can_do_what_is_asked_is_taken() -> None:
    assert sent(video())["mode"] == "std"
    assert sent(video(audio=True))["mode"] == "pro"
    assert sent(video("kling-v3", audio=True))["mode"] == "std"
    assert wire().measure(MODEL, video(audio=True)) == MediaUsage(video_ms=5000, resolution="1080p", audio=True)


def test_data_is_sent_as_bare_base64() -> None:
    assert sent(video(inputs=(PNG,)))["image"] == "iVBORw0KGgo="
    assert sent(image(inputs=(PNG,)))["image"] == "iVBORw0KGgo="
    assert sent(image(inputs=(PNG, PNG)))["image_list"] == [{"image": "iVBORw0KGgo="}] * 2


def test_a_callback_goes_where_each_generation_has_it() -> None:
    hook = "https://hub.example/hooks/1"
    for model in ("kling-v1", "kling-3.0"):
        made = next(wire().with_callback(hook).submit(model, video(model), "ref"))
        body = orjson.loads(bytes(made.body))  # type: ignore[arg-type]
        where = body["options"] if model == "kling-3.0" else body
        assert (where["callback_url"], where["external_task_id"]) == (hook, "ref")


def test_several_shots_are_sent_numbered_and_priced_together() -> None:
    body = sent(video("kling-v3", prompt="", vendor=SHOTS))
    assert body["multi_prompt"] == [
        {"index": 1, "prompt": "A door", "duration": "4"},
        {"index": 2, "prompt": "A hall", "duration": "3"},
    ]
    assert (body["duration"], "prompt" in body) == ("7", False)


def test_the_second_generation_is_told_not_to_cut_into_shots() -> None:
    assert sent(video("kling-3.0"))["settings"]["multi_shot"] is False
    assert sent(video("kling-3.0", vendor={"multi_shot": True}))["settings"]["multi_shot"] is True


def test_contents_of_the_second_generation_have_names() -> None:
    contents = sent(video("kling-3.0-omni", inputs=(FOLLOWED, PICTURE, PNG)))["contents"]
    assert [(item["type"], item.get("id")) for item in contents] == [
        ("prompt", None),
        ("feature_video", "video_1"),
        ("refer_image", "image_1"),
        ("refer_image", "image_2"),
    ]


@pytest.mark.parametrize(
    ("source", "audio", "kept"),
    [(CLIP, None, "yes"), (CLIP, False, "no"), (FOLLOWED, None, "no"), (FOLLOWED, True, "yes")],
)
def test_sound_beside_a_clip_is_the_clips_own(source: MediaInput, audio: bool | None, kept: str) -> None:
    request = video("kling-v3-omni", inputs=(source,), audio=audio)
    body = sent(request)
    assert (body["video_list"][0]["keep_original_sound"], body["sound"]) == (kept, "off")
    assert wire().measure("kling-v3-omni", request).audio is False
    settings = sent(video("kling-3.0-omni", inputs=(source,), audio=audio))["settings"]
    assert settings["audio"] == ("original" if kept == "yes" else "off")


def test_a_remix_by_a_model_that_cannot_says_so() -> None:
    with pytest.raises(ClientError) as caught:
        wire().measure(MODEL, video(inputs=(CLIP,), remix=True))
    assert caught.value.code == "remix_unsupported"


def test_an_edit_is_held_for_the_longest_clip_and_seconds_that_only_price_are_not_sent() -> None:
    request = video("kling-v3-omni", inputs=(CLIP,), billed_seconds=12)
    assert wire().measure("kling-v3-omni", request).video_ms == 12_000
    assert wire().measure("kling-v3-omni", video("kling-v3-omni", inputs=(CLIP,))).video_ms == 10_000
    assert "duration" not in sent(request)
    assert wire().measure(MODEL, video(billed_seconds=9)).video_ms == 9_000
    assert sent(video(billed_seconds=9))["duration"] == "5"


@pytest.mark.parametrize(
    ("seconds", "billed_ms"), [("8.041", 8_000), ("3.5", 4_000), ("99", 10_000), ("nan", 10_000), (None, 10_000)]
)
def test_an_edit_is_billed_as_long_as_it_became(seconds: str | None, billed_ms: int) -> None:
    job = submit(video("kling-v3-omni", inputs=(CLIP,))).result
    done = task(NOW, task_status="succeed", task_result={"videos": [{"id": "1", "url": LINK, "duration": seconds}]})
    usage = drive(wire().poll(job), replaying([said(done)])).result.usage
    assert usage is not None
    assert (usage.video_ms, usage.input_kind) == (billed_ms, "video")


def test_what_was_said_for_the_hold_is_not_billed() -> None:
    job = submit(video(billed_seconds=9)).result
    usage = drive(wire().poll(job), replaying([answered("t2v_poll_succeed")])).result.usage
    assert usage == DONE


def test_an_extension_is_held_at_the_dearest_resolution() -> None:
    request = video("kling-v1", vendor={"video_id": "1"})
    usage = wire(account_references=True).measure("kling-v1", request)
    assert usage == MediaUsage(video_ms=5000, resolution="1080p", input_kind="video")


@pytest.mark.parametrize("name", ["element_list", "voice_list", "video_id"])
def test_things_of_the_account_are_named_only_where_the_operator_lets_them(name: str) -> None:
    with pytest.raises(ClientError, match=name):
        wire().measure("kling-v3-omni", video("kling-v3-omni", vendor={name: [{"element_id": 1}]}))


def test_an_operator_may_know_better() -> None:
    traits = {"kling-4*": {"like": "kling-3.0", "seconds": [4, 20]}, MODEL: {"voices": 2}}
    assert sent(video("kling-4.0"), model_traits=traits)["path"] == "/text-to-video/kling-4.0"
    assert wire(model_traits=traits).measure("kling-4.0", video("kling-4.0")).video_ms == 4000
    with pytest.raises(ClientError, match="duration"):
        wire(model_traits=traits).measure("kling-4.0", video("kling-4.0", seconds=5))
    speaking = video(audio=True, vendor={"voice_list": [{"voice_id": "v1"}]})
    assert sent(speaking, model_traits=traits, account_references=True)["voice_list"] == [{"voice_id": "v1"}]
    with pytest.raises(ClientError, match="voice_list"):
        wire(model_traits=traits, account_references=True).measure(MODEL, video(vendor=speaking.vendor))


def test_part_of_a_name_is_not_another_model() -> None:
    with pytest.raises(ClientError, match="model"):
        wire().measure("kling-v2", video("kling-v2"))


# --- what is answered -------------------------------------------------------------------------------------------------


def polled(data: object, **handle: str) -> JobUpdate:
    return drive(wire().poll(UpstreamJob(TASK, {**TERMS, **handle})), replaying([said(data)])).result


def test_both_words_for_success_are_known_to_both_generations() -> None:
    videos = {"videos": [{"id": "1", "url": LINK, "duration": "5.0"}]}
    for word in ("succeed", "succeeded"):
        assert polled(task(NOW, task_status=word, task_result=videos)).state is JobState.SUCCEEDED
        outputs = [{"type": "video", "url": LINK}]
        found = polled([second(NOW, id=TASK, status=word, outputs=outputs)], api="second")
        assert found.artifacts[0].url == LINK


def test_the_watermarked_result_is_the_one_that_was_asked_for() -> None:
    videos = {"videos": [{"id": "1", "url": LINK, "watermark_url": "https://x/marked.mp4"}]}
    done = task(NOW, task_status="succeed", task_result=videos)
    assert polled(done).artifacts[0].url == LINK
    assert polled(done, watermarked="true").artifacts[0].url == "https://x/marked.mp4"
    assert submit(video(watermark=True)).result.handle["watermarked"] == "true"


def test_a_failure_shows_no_links_and_no_secrets_and_may_have_cost() -> None:
    leaked = polled(task(NOW, task_status="failed", task_status_msg=f"bad {ACCESS} {SECRET}")).failure
    assert leaked is not None
    assert ACCESS not in leaked.message
    assert SECRET not in leaked.message
    failure = polled(task(NOW, task_status="failed", task_status_msg="See https://x.example/y?z now")).failure
    assert failure == JobFailure("upstream_error", "See … now")
    billing = [{"charge_type": "unit", "amount": "3.00"}]
    lost = polled([second(NOW, id=TASK, status="failed", billing=billing)], api="second").failure
    assert lost == JobFailure("upstream_error", "The upstream failed without saying why.", charged=True)


def test_a_success_without_a_link_is_no_success() -> None:
    results: tuple[object, ...] = (None, {"videos": []}, {"videos": [{"id": "1"}]}, {"images": [{"url": LINK}]})
    for result in results:
        with pytest.raises(UpstreamError):
            polled(task(NOW, task_status="succeed", task_result=result))


def test_a_task_that_the_second_generation_does_not_list_is_not_there() -> None:
    with pytest.raises(UpstreamError) as caught:
        polled([], api="second")
    assert caught.value.status == 404


def test_a_job_id_cannot_leave_its_path() -> None:
    for terms in (TERMS, {**TERMS, "api": "second"}):
        url = next(wire().poll(UpstreamJob("../../models?x=1&y", terms))).url
        assert url.endswith(("/..%2F..%2Fmodels%3Fx%3D1%26y", "=..%2F..%2Fmodels%3Fx%3D1%26y"))


# --- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["kling-v2-6", "kling-3.0", "kling-v3-omni"])
def test_a_job_whose_picture_the_hub_no_longer_has_is_found(model: str) -> None:
    """The hub keeps no inline data, and a lookup needs none."""
    clock = FakeClock()
    upstream = KlingSimulator(clock=clock, accounts={ACCESS: SECRET})
    kling = provider(clock).jobs(MediaKind.VIDEO)
    assert kling is not None
    upstream.inject(Fault(502, executed=True))
    with pytest.raises(UpstreamError):
        drive(kling.submit(model, video(model, inputs=(PNG,)), REFERENCE), upstream.exchange)
    kept = video(model, inputs=(MediaInput(InputRole.IMAGE, Media(media_type="image/png"), "image"),))
    clock.advance(90)
    found = drive(kling.find(model, kept, REFERENCE, NOW, NOW + 30), upstream.exchange).result
    assert isinstance(found, UpstreamJob)
    clock.advance(600)
    assert drive(kling.poll(found), upstream.exchange).result.state is JobState.SUCCEEDED


def test_a_window_is_asked_for_in_milliseconds_and_page_by_page() -> None:
    steps = wire().find("kling-3.0", video("kling-3.0"), REFERENCE, NOW - 60, NOW)
    driven = drive(steps, replaying([said([]), listed(has_more=True), listed()]))
    bodies = [orjson.loads(bytes(request.body)) for request in driven.requests[1:]]  # type: ignore[arg-type]
    window = {"start_time": (NOW - 120) * 1000, "end_time": (NOW + 60) * 1000, "limit": 500}
    assert bodies == [window, {**window, "cursor": "c"}]
    assert driven.result is Found.NO
