"""Images through Gemini's generateContent: the suite, and answers that have none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import relayhub_gemini
from relayhub.sdk import (
    Artifact,
    ClientError,
    ErrorKind,
    HttpReply,
    ImageRequest,
    InputRole,
    Media,
    MediaInput,
    MediaResult,
    MediaUsage,
    ProviderContext,
    UpstreamError,
)
from relayhub.testing import (
    FakeClock,
    ImageSample,
    ImageWireSuite,
    Pictured,
    RefusedImage,
    RegistrationSuite,
    drive,
    replaying,
)
from relayhub_gemini.images import GeminiImages
from relayhub_gemini.provider import GeminiProvider
from relayhub_gemini.settings import GeminiSettings
from relayhub_gemini.simulator import GeminiImageSimulator

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "gemini_images"
KEY = "AIza-canary-0123456789"
MODEL = "gemini-3.1-flash-image-preview"
CIRCLE = "A minimal blue circle icon on white"
BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG = base64.b64decode(BASE64)
PICTURE = MediaInput(InputRole.IMAGE, Media(data=BASE64), "image")


def fixture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return value


def answered(name: str) -> HttpReply:
    response = fixture(name)["response"]
    return reply(response["body"], response["status"])


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def image(model: str = MODEL, **changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": CIRCLE, **changes})


def given(role: InputRole, field: str, **media: str) -> MediaInput:
    return MediaInput(role, Media(**media), field)


def drawn(**changes: Any) -> MediaUsage:
    return MediaUsage(**{"images": 1, "input_tokens": 9, "output_tokens": 1120, "resolution": "1k", **changes})


ONE = (Artifact(data=PNG, media_type="image/png"),)


class TestGeminiImages(RegistrationSuite, ImageWireSuite):
    provider_type = relayhub_gemini.GEMINI
    package = relayhub_gemini
    settings = {"api_key": KEY}
    error_body = '{"error": {"code": 400, "message": "{message}", "status": "INVALID_ARGUMENT"}}'
    image_samples = (
        ImageSample(image(), MediaUsage(images=1, input_tokens=9, output_tokens=1120)),
        ImageSample(image(resolution="4k", ratio="16:9", seed=7), MediaUsage(output_tokens=2520)),
        ImageSample(image(size="1024x1024", quality="high"), MediaUsage(output_tokens=1680)),
        ImageSample(image(size="auto", ratio="3:2")),
        ImageSample(image(size="1536x1024", background="opaque", watermark=False)),
        ImageSample(image(ratio="1:8", inputs=(PICTURE, PICTURE)), MediaUsage(input_tokens=2589)),
        ImageSample(image("gemini-2.5-flash-image", ratio="1:1", inputs=(PICTURE,)), MediaUsage(output_tokens=1290)),
        ImageSample(image("gemini-3-pro-image-preview", resolution="4K"), MediaUsage(output_tokens=2000)),
    )
    refused_images = (
        RefusedImage(image("gemini-3.5-flash"), "model"),
        RefusedImage(image("imagen-4.0-generate-001"), "model"),
        RefusedImage(image(prompt=""), "prompt"),
        RefusedImage(image(count=2), "n"),
        RefusedImage(image(size="1000x400"), "size"),
        RefusedImage(image(size="9000x9000"), "size"),
        RefusedImage(image(size="big"), "size"),
        RefusedImage(image(size="1024x1024", ratio="1:1"), "size"),
        RefusedImage(image("gemini-2.5-flash-image", size="2048x2048"), "size"),
        RefusedImage(image("gemini-2.5-flash-image", resolution="2k"), "resolution"),
        RefusedImage(image(resolution="8k"), "resolution"),
        RefusedImage(image("gemini-2.5-flash-image", quality="hd"), "quality"),
        RefusedImage(image(quality="max"), "quality"),
        RefusedImage(image(ratio="7:5"), "ratio"),
        RefusedImage(image("gemini-2.5-flash-image", ratio="1:8"), "ratio"),
        RefusedImage(image(seed=-1), "seed"),
        RefusedImage(image(negative_prompt="rain"), "negative_prompt"),
        RefusedImage(image(watermark=True), "watermark"),
        RefusedImage(image(background="transparent"), "background"),
        RefusedImage(image(output_format="webp"), "output_format"),
        RefusedImage(image(vendor={"style": "vivid"}), "style"),
        RefusedImage(image(inputs=(given(InputRole.MASK, "mask", data=BASE64),)), "mask"),
        RefusedImage(image(inputs=(given(InputRole.IMAGE, "image", url="https://x/1.png"),)), "image"),
        RefusedImage(image(inputs=(given(InputRole.IMAGE, "image", file_id="f"),)), "image"),
        RefusedImage(image(inputs=(given(InputRole.IMAGE, "image", data="AAAA"),)), "image"),
        RefusedImage(image(inputs=(given(InputRole.IMAGE, "image", data="!"),)), "image"),
        RefusedImage(image("gemini-2.5-flash-image", inputs=(PICTURE,) * 4), "image"),
    )
    pictured = (
        Pictured(image(ratio="1:1", resolution="1k"), (answered("generate"),), MediaResult(ONE, drawn())),
        # As some relays do it; what is not told is charged as it was measured.
        Pictured(
            image(),
            (answered("client_shape_seed003"),),
            MediaResult(ONE, drawn(input_tokens=len(CIRCLE) + 64)),
        ),
        Pictured(
            image(),
            (
                reply(
                    {
                        "candidates": [
                            {
                                "content": {
                                    "parts": [
                                        {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                                        {"inline_data": {"mime_type": "image/jpeg", "data": BASE64}},
                                    ]
                                }
                            }
                        ],
                        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5000},
                    }
                ),
            ),
            MediaResult(ONE, drawn()),
        ),
    )
    blocked = answered("image_safety")

    def image_simulator(self, clock: FakeClock) -> GeminiImageSimulator:
        return GeminiImageSimulator(clock=clock, keys=(KEY,))


def wire(**settings: object) -> GeminiImages:
    parsed = GeminiSettings.model_validate({"api_key": KEY, **settings})
    return GeminiProvider(parsed, ProviderContext("p", FakeClock(), "relayhub/test")).images()


def failed(answer: HttpReply) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        drive(wire().generate(MODEL, image()), replaying((answer,)))
    return caught.value


def test_the_request_is_the_recorded_one() -> None:
    recorded = fixture("generate")["request"]
    request = image(ratio="1:1", resolution="1k")
    sent = next(wire().generate(MODEL, request))
    assert isinstance(sent.body, bytes)
    assert sent.url.endswith(recorded["path"])
    assert json.loads(sent.body) == recorded["body"]


def test_an_edit_sends_the_pictures_before_the_text() -> None:
    sent = next(wire().generate(MODEL, image(inputs=(PICTURE,))))
    assert isinstance(sent.body, bytes)
    parts = json.loads(sent.body)["contents"][0]["parts"]
    assert parts == [{"inlineData": {"mimeType": "image/png", "data": BASE64}}, {"text": CIRCLE}]


def test_what_is_blocked_is_a_matter_of_content() -> None:
    error = failed(answered("image_safety"))
    assert (error.kind, error.code, error.delivered) == (ErrorKind.UPSTREAM_REJECTED, "content_policy", True)
    assert "IMAGE_SAFETY" in error.message
    prompt = failed(reply({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}))
    assert (prompt.code, prompt.retryable) == ("content_policy", False)


def test_no_image_without_a_reason_is_no_matter_of_content() -> None:
    answer = {"candidates": [{"finishReason": "NO_IMAGE", "content": {"parts": [{"text": "I would rather not."}]}}]}
    assert failed(reply(answer)).code == "no_image"


def test_the_hubs_own_key_is_not_the_clients_affair() -> None:
    error = failed(answered("error_bad_auth"))
    assert (error.kind, error.delivered) == (ErrorKind.UPSTREAM_FAILED, False)


def test_a_rate_limit_says_when_to_come_back() -> None:
    error = failed(answered("error_rate_limited"))
    assert (error.kind, error.retry_after_s) == (ErrorKind.UPSTREAM_RATE_LIMITED, 7)


def test_an_error_that_comes_as_a_success_may_have_cost_something() -> None:
    error = failed(reply({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}))
    assert (error.delivered, error.retryable) == (True, False)


def test_the_operator_knows_more_than_the_table() -> None:
    own = {"image_traits": {"nano-*": {"ratios": ["7:5"], "tokens": {"1k": 99}, "inputs": 0}}}
    usage = wire(**own).measure("nano-1", image("nano-1", ratio="7:5"))
    assert (usage.output_tokens, usage.resolution) == (99, "1k")
    with pytest.raises(ClientError):
        wire(**own).measure("nano-1", image("nano-1", inputs=(PICTURE,)))
