"""Qwen and Wan images: the suites of both ways, and the recorded exchanges."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import relayhub_happyhorse
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
    MediaResult,
    MediaUsage,
    UpstreamError,
    UpstreamJob,
)
from relayhub.testing import (
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
from relayhub_happyhorse.simulator import DashScopeSimulator
from tests.plugin_packages.test_happyhorse import (
    BEIJING,
    KEY,
    NOW,
    REFERENCE,
    TASK,
    TestHappyHorse,
    answered,
    fixture,
    given,
    listing,
    provider,
    reply,
    row,
    video,
)

FOLDER = "dashscope_images"
FOX = "A ceramic fox on a shelf"
FOX_LINK = "https://media.example.com/ds/fox.png?Expires=1794386400"
QWEN, WAN = "qwen-image-2.0", "wan2.7-image"
PICTURE = given(InputRole.IMAGE, "https://media.example.com/in/shelf.png")
PNG = MediaInput(InputRole.IMAGE, Media(data="iVBORw0KGgo="), "image")


def image(model: str = QWEN, **changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": FOX, **changes})


def as_recorded(model: str) -> ImageRequest:
    return image(model, size="1024x1024", watermark=False, vendor={"prompt_extend": True})


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"prompt": ""}, "prompt"),
    ({"count": 7}, "n"),
    ({"count": 0}, "n"),
    ({"size": "64x64"}, "size"),
    ({"size": "8192x8192"}, "size"),
    ({"size": "huge"}, "size"),
    ({"size": "1024x1024", "ratio": "1:1"}, "size"),
    ({"ratio": "0:1"}, "ratio"),
    ({"ratio": "wide"}, "ratio"),
    ({"ratio": "99:1"}, "ratio"),
    ({"resolution": "8k"}, "resolution"),
    ({"quality": "high"}, "quality"),
    ({"background": "transparent"}, "background"),
    ({"output_format": "jpeg"}, "output_format"),
    ({"seed": -1}, "seed"),
    ({"inputs": (PICTURE,) * 10}, "image"),
    ({"inputs": (given(InputRole.MASK, "https://x.example/m.png", "mask"),)}, "mask"),
    ({"inputs": (given(InputRole.IMAGE, "http://localhost/1.png"),)}, "image"),
    ({"inputs": (MediaInput(InputRole.IMAGE, Media(data="AAAA"), "image"),)}, "image"),
    ({"inputs": (MediaInput(InputRole.IMAGE, Media(data="AAAA", media_type="audio/wav"), "image"),)}, "image"),
    ({"inputs": (PICTURE,), "vendor": {"thinking_mode": True}}, "thinking_mode"),
    ({"vendor": {"prompt_extend": "yes"}}, "prompt_extend"),
    ({"vendor": {"enable_sequential": True}}, "enable_sequential"),
)
"""What neither a model of the one kind nor one of the other takes."""


class TestQwenImages(RegistrationSuite, ImageWireSuite):
    provider_type = relayhub_happyhorse.HAPPYHORSE
    package = relayhub_happyhorse
    settings = {"api_key": KEY}
    error_body = TestHappyHorse.error_body
    image_samples = (
        ImageSample(image(), MediaUsage(images=1)),
        ImageSample(as_recorded(QWEN), MediaUsage(images=1)),
        ImageSample(image(count=6, seed=7, negative_prompt="blur"), MediaUsage(images=6)),
        ImageSample(image("qwen-image-2.0-pro", ratio="16:9", resolution="2k")),
        ImageSample(image("qwen-image-2.0-pro-2026-04-22", size="3072*1024")),
        ImageSample(image("qwen-image-3.0-pro", size="2560x2560")),
        ImageSample(image(inputs=(PICTURE, PNG), count=2)),
        ImageSample(image("qwen-image", quality="standard", output_format="png", background="opaque")),
        ImageSample(image("qwen-image-plus", ratio="16:9")),
        ImageSample(image("qwen-image-max", size="928x1664", watermark=True)),
        ImageSample(image("qwen-image-edit", inputs=(PICTURE,))),
        ImageSample(image("qwen-image-edit-max", inputs=(PICTURE,), size="512x2048")),
        ImageSample(image("qwen-image-edit-plus", inputs=(PICTURE,) * 3, count=6, ratio="3:4")),
        ImageSample(image("z-image-turbo", size="auto", watermark=False)),
    )
    refused_images = (
        *(RefusedImage(image(**changes), param) for changes, param in BAD),
        RefusedImage(image("qwen-image", count=2), "n"),
        RefusedImage(image("qwen-image", size="1024x1024"), "size"),
        RefusedImage(image("qwen-image", ratio="2:1"), "ratio"),
        RefusedImage(image("qwen-image", resolution="2k"), "resolution"),
        RefusedImage(image("qwen-image", inputs=(PICTURE,)), "image"),
        RefusedImage(image("qwen-image-edit"), "image"),
        RefusedImage(image("qwen-image-edit", inputs=(PICTURE,), size="1024x1024"), "size"),
        RefusedImage(image("qwen-image-edit-max", inputs=(PICTURE,), size="256x2048"), "size"),
        RefusedImage(image("z-image", negative_prompt="blur"), "negative_prompt"),
        RefusedImage(image("z-image", watermark=True), "watermark"),
        RefusedImage(image(vendor={"thinking_mode": True}), "thinking_mode"),
        RefusedImage(image("a-model-of-the-future"), "model"),
        RefusedImage(image(WAN), "model"),
    )
    pictured = (
        Pictured(
            as_recorded(QWEN),
            (answered("sync", FOLDER),),
            MediaResult((Artifact(FOX_LINK, None, "image/png", 86_400.0),), MediaUsage(images=1, size="1024x1024")),
        ),
        Pictured(
            image(count=3),
            (reply({"output": {"results": [{"url": FOX_LINK}, {"code": "DataInspectionFailed", "message": "No."}]}}),),
            MediaResult((Artifact(FOX_LINK, None, "image/png", 86_400.0),), MediaUsage(images=1, size="1024x1024")),
        ),
    )
    blocked = reply({"output": {"results": [{"code": "DataInspectionFailed", "message": "It may be inappropriate."}]}})

    def image_simulator(self, clock: FakeClock) -> DashScopeSimulator:
        return DashScopeSimulator(clock=clock, keys=(KEY,))


WAN_HANDLE = {"input_kind": "text", "size": "1024x1024", "made_at": str(NOW - 3600)}


def painted(**more: object) -> HttpReply:
    part = {"image": FOX_LINK, "type": "image"}
    choices = [{"finish_reason": "stop", "message": {"role": "assistant", "content": [part]}}]
    return reply({"output": {"task_id": TASK, "task_status": "SUCCEEDED", "choices": choices, **more}})


class TestWanImages(RegistrationSuite, JobWireSuite):
    provider_type = relayhub_happyhorse.HAPPYHORSE
    package = relayhub_happyhorse
    settings = {"api_key": KEY}
    kind = MediaKind.IMAGE
    error_body = TestHappyHorse.error_body
    samples = (
        JobSample(as_recorded(WAN), MediaUsage(images=1)),
        JobSample(image(WAN), MediaUsage(images=1)),
        JobSample(image(WAN, count=4, resolution="1k"), MediaUsage(images=4)),
        JobSample(image(WAN, size="2K", vendor={"thinking_mode": True})),
        JobSample(image(WAN, inputs=(PICTURE, PNG), ratio="4:3")),
        JobSample(image(WAN, inputs=(PICTURE,) * 9, seed=1)),
        JobSample(image("wan2.7-image-pro", resolution="4k")),
        JobSample(image("wan2.7-image-pro", ratio="16:9", resolution="4k")),
        JobSample(image("wan2.7-image-pro", inputs=(PICTURE,), resolution="2k")),
        JobSample(image("wan2.6-t2i", negative_prompt="blur", ratio="16:9")),
    )
    refused = (
        *(Refused(image(WAN, **changes), param) for changes, param in BAD),
        Refused(image(WAN, count=5), "n"),
        Refused(image(WAN, resolution="4k"), "resolution"),
        Refused(image(WAN, negative_prompt="blur"), "negative_prompt"),
        Refused(image("wan2.7-image-pro", inputs=(PICTURE,), resolution="4k"), "resolution"),
        Refused(image("wan2.7-image-pro", inputs=(PICTURE,), size="4K"), "size"),
        Refused(image("wan2.7-image-pro", inputs=(PICTURE,), size="4096x2048"), "size"),
        Refused(image("wan2.6-t2i", size="1024x1024"), "size"),
        Refused(image("wan2.6-t2i", resolution="2k"), "resolution"),
        Refused(image(QWEN), "model"),
        Refused(video(WAN), "model"),
    )
    submitted = Told((answered("async_submit", FOLDER),), UpstreamJob(TASK, WAN_HANDLE))
    polls = (
        Told((answered("poll_pending"),), JobUpdate(JobState.QUEUED)),
        Told((answered("poll_running"),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (answered("async_poll_succeeded", FOLDER),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(Artifact(FOX_LINK, None, "image/png", 86_400.0),),
                usage=MediaUsage(images=1, size="1024x1024"),
            ),
        ),
        Told(
            (answered("poll_failed"),),
            JobUpdate(
                JobState.FAILED, failure=JobFailure("content_policy", "Output data may contain inappropriate content.")
            ),
        ),
        Told((answered("poll_canceled"),), JobUpdate(JobState.CANCELLED)),
    )
    unknown_poll = TestHappyHorse.unknown_poll
    finds = (
        Told((listing(),), Found.NO),
        Told((listing(row(NOW - 30, model_name=WAN)), painted()), UpstreamJob(TASK)),
        Told((listing(row(NOW - 30, model_name="wan2.7-image-pro")),), Found.NO),
        Told((listing(row(NOW - 30, model_name=WAN)), painted(orig_prompt="Another")), Found.NO),
        Told((listing(row(NOW - 30, model_name=WAN)), answered("poll_running")), Found.UNSURE),
    )
    cancels = TestHappyHorse.cancels

    def simulator(self, clock: FakeClock) -> DashScopeSimulator:
        return DashScopeSimulator(clock=clock, keys=(KEY,))

    def sent_reference(self, reference: str) -> None:
        return None


# --- recorded exchanges -----------------------------------------------------------------------------------------------


def jobs(**settings: object) -> Any:
    found = provider(**settings).jobs(MediaKind.IMAGE)
    assert found is not None
    return found


def sent(request: ImageRequest, **settings: object) -> dict[str, Any]:
    made = next(provider(**settings).images().generate(request.model, request))
    body: dict[str, Any] = orjson.loads(bytes(made.body))  # type: ignore[arg-type]
    return body


@pytest.mark.parametrize(("name", "model"), [("sync", QWEN), ("async_submit", WAN)])
def test_an_image_request_is_as_recorded(name: str, model: str) -> None:
    recorded, request = fixture(name, FOLDER)["request"], as_recorded(model)
    images = provider().images()
    made = next(images.generate(model, request) if name == "sync" else jobs().submit(model, request, REFERENCE))
    assert (made.method, made.url) == (recorded["method"], f"{BEIJING}{recorded['path']}")
    assert made.headers.get("x-dashscope-async") == recorded["headers"].get("X-DashScope-Async")
    assert orjson.loads(bytes(made.body)) == recorded["body"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("error_bad_auth", ErrorKind.UPSTREAM_FAILED), ("error_rate_limited", ErrorKind.UPSTREAM_RATE_LIMITED)],
)
def test_an_error_of_images_is_read_as_recorded(name: str, kind: ErrorKind) -> None:
    with pytest.raises(UpstreamError) as caught:
        drive(provider().images().generate(QWEN, image()), replaying([answered(name, FOLDER)]))
    assert (caught.value.kind, caught.value.delivered) == (kind, False)


def test_a_200_that_is_an_error_is_one() -> None:
    said = reply({"code": "DataInspectionFailed", "message": "No.", "request_id": "r"})
    with pytest.raises(UpstreamError) as caught:
        drive(provider().images().generate(QWEN, image()), replaying([said]))
    assert (caught.value.code, caught.value.delivered) == ("content_policy", True)


def test_what_was_made_is_billed_and_what_is_said_goes_before_what_is_seen() -> None:
    answer = reply({"output": {"results": [{"url": FOX_LINK}]}, "usage": {"image_count": 2}})
    result = drive(provider().images().generate(QWEN, image(count=2)), replaying([answer])).result
    assert result.usage == MediaUsage(images=2, size="1024x1024")


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_pictures_go_before_the_prompt_and_data_becomes_a_data_url() -> None:
    content = sent(image(inputs=(PICTURE, PNG)))["input"]["messages"][0]["content"]
    assert content == [
        {"image": "https://media.example.com/in/shelf.png"},
        {"image": "data:image/png;base64,iVBORw0KGgo="},
        {"text": FOX},
    ]


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (image(), "1024*1024"),
        (image(ratio="16:9"), "1360*768"),
        (image(ratio="16:9", resolution="2k"), "2720*1536"),
        (image(inputs=(PICTURE,)), None),
        (image(inputs=(PICTURE,), ratio="1:1"), "1024*1024"),
        (image("qwen-image"), "1328*1328"),
        (image("qwen-image", ratio="9:16"), "928*1664"),
        (image("qwen-image-edit", inputs=(PICTURE,)), None),
    ],
)
def test_the_size_is_said_with_a_star_unless_an_input_decides_it(request_: ImageRequest, size: str | None) -> None:
    assert sent(request_)["parameters"].get("size") == size
    measured = provider().images().measure(request_.model, request_)
    assert measured.size == (size.replace("*", "x") if size else None)


def test_a_size_by_name_is_a_resolution_in_the_price() -> None:
    made = next(jobs().submit(WAN, image(WAN), REFERENCE))
    assert orjson.loads(bytes(made.body))["parameters"]["size"] == "2K"
    measured = jobs().measure(WAN, image(WAN))
    assert (measured.resolution, measured.size) == ("2k", None)


def test_how_a_model_is_asked_is_the_operators_choice() -> None:
    at_once = {WAN: {"at_once": True}}
    assert provider(image_traits=at_once).images().measure(WAN, image(WAN)).images == 1
    with pytest.raises(ClientError, match="model"):
        jobs(image_traits=at_once).measure(WAN, image(WAN))


def test_what_is_wrong_with_a_request_is_said_before_who_would_take_it() -> None:
    """The hub asks the wire of images at once first, and shows its refusal."""
    with pytest.raises(ClientError, match="negative_prompt"):
        provider().images().measure(WAN, image(WAN, negative_prompt="blur"))


def test_a_lookup_needs_no_data_of_the_request() -> None:
    """Of a job that is kept, inline data is left out."""
    kept = image(WAN, inputs=(MediaInput(InputRole.IMAGE, Media(), "image"),))
    steps = jobs().find(WAN, kept, REFERENCE, NOW - 60, NOW)
    assert drive(steps, replaying([listing()])).result is Found.NO
