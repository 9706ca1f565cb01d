"""The official OpenAI SDK makes videos, images and speech with the running server, whoever is behind it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2
import openai
import pytest

from tests.support.media_hub import Hub, media_hub

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
POLL_MS = 200
VIDEO_MODELS = {"demo-video": 3, "kling-v2-6": 5, "doubao-seedance-2-0-260128": 4, "sora-2": 4, "happyhorse-1.0-t2v": 5}
IMAGE_MODELS = ("demo-image", "gpt-image-2", "kling-v2-1", "doubao-seedream-4-5-251128", "qwen-image-2.0")
VOICES = {
    "demo-speech": "alloy",
    "tts-1": "alloy",
    "gpt-4o-mini-tts": "alloy",
    "qwen3-tts-flash": "Cherry",
    "MiniMax/speech-2.8-hd": "male-qn-qingse",
}

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
"""The SDK's word for videos; relayhub goes on to serve them."""

every_video = pytest.mark.parametrize("model", VIDEO_MODELS)
every_image = pytest.mark.parametrize("model", IMAGE_MODELS)
every_voice = pytest.mark.parametrize("model", VOICES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("sdk")) as hub:
        yield hub


@pytest.fixture(scope="module")
def sdk(hub: Hub) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def finished(hub: Hub, sdk: openai.OpenAI) -> dict[str, str]:
    """A finished video of each model."""
    ids = {
        model: sdk.videos.create(model=model, prompt="A cat", extra_body={"seconds": str(seconds)}).id
        for model, seconds in VIDEO_MODELS.items()
    }
    assert {hub.ended(id_)["state"] for id_ in ids.values()} == {"succeeded"}
    return ids


@pytest.mark.parametrize("model", ["demo-video", "kling-v2-6", "doubao-seedance-2-0-260128"])
def test_a_video_is_created_and_polled(sdk: openai.OpenAI, model: str) -> None:
    video = sdk.videos.create_and_poll(model=model, prompt="A calico cat", poll_interval_ms=POLL_MS)
    assert (video.status, video.progress, video.model, video.error) == ("completed", 100, model, None)
    content = sdk.videos.download_content(video.id)
    assert content.read()[4:8] == b"ftyp"


def test_a_video_that_fails_is_told_with_its_reason(sdk: openai.OpenAI) -> None:
    video = sdk.videos.create_and_poll(model="demo-job-failed", prompt="A cat", poll_interval_ms=POLL_MS)
    assert video.status == "failed"
    assert video.error is not None
    assert (video.error.code, bool(video.error.message)) == ("upstream_error", True)


@every_video
def test_a_video_is_retrieved_and_downloaded(
    hub: Hub, sdk: openai.OpenAI, finished: dict[str, str], model: str
) -> None:
    video = sdk.videos.retrieve(finished[model])
    assert (video.id, video.status, video.model) == (finished[model], "completed", model)
    with sdk.videos.with_streaming_response.download_content(video.id) as stream:
        assert stream.headers["content-type"] == "video/mp4"
        streamed = b"".join(stream.iter_bytes())
    assert streamed == sdk.videos.download_content(video.id).content
    assert hub.job(video.id)["seconds"] == VIDEO_MODELS[model], "a form's seconds arrive"


def test_videos_are_listed_page_by_page(sdk: openai.OpenAI, finished: dict[str, str]) -> None:
    ids = [video.id for video in sdk.videos.list(limit=2)]
    assert set(finished.values()) <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_picture_goes_in_as_a_file(hub: Hub, sdk: openai.OpenAI) -> None:
    for model in ("demo-video", "kling-v2-6", "sora-2", "doubao-seedance-2-0-260128"):
        video = sdk.videos.create(model=model, prompt="It waves", input_reference=("cat.png", PNG, "image/png"))
        assert '"input_kind":"image"' in hub.job(video.id)["usage"]
        if model == "kling-v2-6":
            (job,) = (job for job in hub.upstreams.kling.jobs.values() if "It waves" in str(job.asked))
            assert hub.got(job.asked, PNG)


@pytest.mark.parametrize("model", ["demo-video", "sora-2", "doubao-seedance-2-0-260128"])
def test_a_video_is_remixed_by_its_own_model(
    hub: Hub, sdk: openai.OpenAI, finished: dict[str, str], model: str
) -> None:
    """The SDK cannot name another one."""
    remixed = sdk.videos.remix(finished[model], prompt="Make it snow")
    assert (remixed.remixed_from_video_id, remixed.model) == (finished[model], model)
    assert hub.ended(remixed.id)["state"] == "succeeded"


def test_a_model_that_cannot_remix_says_so(sdk: openai.OpenAI, finished: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.videos.remix(finished["kling-v2-6"], prompt="Make it snow")
    assert refused.value.code == "remix_unsupported"


def test_an_open_video_is_cancelled_and_a_finished_one_deleted(hub: Hub, sdk: openai.OpenAI) -> None:
    video = sdk.videos.create(model="slow-video", prompt="A cat")
    gone = sdk.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted")
    assert str(sdk.videos.retrieve(video.id).status) == "cancelled", "a word that the SDK lets pass"
    assert hub.usage_of(video.id)["cost_nano"] == 0
    done = sdk.videos.create_and_poll(model="demo-video", prompt="A cat", poll_interval_ms=POLL_MS)
    sdk.videos.delete(done.id)
    with pytest.raises(openai.APIStatusError) as missing:
        sdk.videos.download_content(done.id)
    assert missing.value.status_code == 410


def test_a_video_that_is_not_there_is_not_found(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.videos.retrieve("video_123")
    assert missing.value.code == "job_not_found"


# --- images -------------------------------------------------------------------------------------------------------------


@every_image
def test_an_image(sdk: openai.OpenAI, model: str) -> None:
    made = sdk.images.generate(model=model, prompt="A fox")
    assert made.data is not None
    content = base64.b64decode(made.data[0].b64_json or "")
    assert content.startswith((b"\x89PNG", b"\xff\xd8\xff"))


@every_image
def test_an_image_as_a_link(hub: Hub, sdk: openai.OpenAI, model: str) -> None:
    made = sdk.images.generate(model=model, prompt="A fox", response_format="url")
    assert made.data is not None
    assert hub.open_link(made.data[0].url).content.startswith((b"\x89PNG", b"\xff\xd8\xff"))


@every_image
def test_an_edit_of_several_files(sdk: openai.OpenAI, model: str) -> None:
    files = [("a.png", PNG, "image/png"), ("b.png", PNG + b"b", "image/png")]
    made = sdk.images.edit(model=model, prompt="With a hat", image=files)
    assert made.data is not None
    assert made.data[0].b64_json


def test_an_edit_of_one_file(sdk: openai.OpenAI) -> None:
    made = sdk.images.edit(model="demo-image", prompt="With a hat", image=("a.png", PNG, "image/png"))
    assert made.data is not None
    assert made.data[0].b64_json


def test_the_platform_mount_keeps_its_own_form(hub: Hub) -> None:
    with openai.OpenAI(base_url=f"{hub.url}/demo/v1", api_key=hub.key, max_retries=0) as platform:
        made = platform.images.generate(model="demo-image", prompt="A fox")
    assert made.data is not None
    assert (made.data[0].b64_json or "").startswith("data:image/png;base64,")


# --- speech -------------------------------------------------------------------------------------------------------------


@every_voice
def test_speech(sdk: openai.OpenAI, model: str) -> None:
    spoken = sdk.audio.speech.create(model=model, voice=VOICES[model], input="Hello")
    assert spoken.response.headers["content-type"].startswith("audio/")
    assert len(spoken.content) > 4


@every_voice
def test_speech_is_streamed(sdk: openai.OpenAI, model: str) -> None:
    whole = sdk.audio.speech.create(model=model, voice=VOICES[model], input="Hello", response_format="pcm").content
    with sdk.audio.speech.with_streaming_response.create(
        model=model, voice=VOICES[model], input="Hello", response_format="pcm"
    ) as stream:
        pieces = list(stream.iter_bytes())
    assert b"".join(pieces) == whole


def test_speech_that_cannot_be_made_is_refused_by_name(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.audio.speech.create(model="qwen3-tts-flash", voice="Cherry", input="Hello", speed=2)
    assert refused.value.param == "speed"


class LosesTheFirstAnswer(httpx2.HTTPTransport):
    """The request arrives, and the connection breaks before its answer does."""

    lost = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        if self.lost:
            return answer
        self.lost = 1
        answer.read()
        raise httpx2.ReadError("the connection broke", request=request)


def test_a_retry_of_the_sdk_is_the_same_video(hub: Hub) -> None:
    before = hub.upstreams.kling.counters.executions
    transport = LosesTheFirstAnswer()
    with openai.OpenAI(
        base_url=f"{hub.url}/v1", api_key=hub.key, http_client=httpx2.Client(transport=transport), max_retries=1
    ) as client:
        named = {"Idempotency-Key": "a cat, once"}
        video = client.videos.create(model="kling-v2-6", prompt="Only once", extra_headers=named)
        again = client.videos.create(model="kling-v2-6", prompt="Only once", extra_headers=named)
    assert (transport.lost, video.status, again.id) == (1, "queued", video.id)
    assert hub.upstreams.kling.counters.executions == before + 1
