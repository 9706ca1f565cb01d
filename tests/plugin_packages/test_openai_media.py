"""Speech, images and videos of OpenAI's API and of upstreams that are compatible with it: the suites."""

from __future__ import annotations

import base64
import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

import relayhub_openai
from relayhub.sdk import (
    Artifact,
    CancellingWire,
    ClientError,
    ErrorKind,
    FindingWire,
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
    SpeechRequest,
    UpstreamError,
    UpstreamJob,
    VideoRequest,
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
    RefusedSpeech,
    RegistrationSuite,
    SpeechSample,
    SpeechWireSuite,
    Spoken,
    Streamed,
    Told,
    drive,
    replaying,
)
from relayhub_openai.multipart import Part, field, form
from relayhub_openai.provider import OpenAIProvider
from relayhub_openai.settings import OpenAISettings
from relayhub_openai.simulator import OpenAIMediaSimulator
from relayhub_openai.videos import OpenAIVideos

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media"
KEY = "sk-canary-openai-0123456789"
SETTINGS: dict[str, object] = {"base_url": "https://api.example.com/v1", "api_key": KEY}
NOW = int(FakeClock().now())
JSON = {"content-type": "application/json"}


def fixture(folder: str, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / folder / f"{name}.json").read_text())
    return value


def answered(folder: str, name: str) -> HttpReply:
    response = fixture(folder, name)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    if "body_base64" in response:
        return HttpReply(response["status"], headers, base64.b64decode(response["body_base64"]))
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, JSON, orjson.dumps(value))


def simulator(clock: FakeClock, **more: Any) -> OpenAIMediaSimulator:
    return OpenAIMediaSimulator(clock=clock, keys=(KEY,), **more)


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = MediaInput(InputRole.IMAGE, Media(data=base64.b64encode(PNG).decode(), media_type="image/png"), "image")
MASK = MediaInput(InputRole.MASK, Media(data=base64.b64encode(PNG).decode()), "mask")
LINKED = MediaInput(InputRole.IMAGE, Media(url="https://media.example.com/in/bud.png"), "image")
NO_PICTURE = MediaInput(InputRole.IMAGE, Media(data="AAAA"), "image")
ELSEWHERE = MediaInput(InputRole.IMAGE, Media(file_id="file-1"), "image")

# --- speech -----------------------------------------------------------------------------------------------------------

TEXT = "Hello there."


def speech(model: str = "gpt-4o-mini-tts", **changes: Any) -> SpeechRequest:
    return SpeechRequest(**{"model": model, "text": TEXT, "voice": "alloy", **changes})


def events(*data: object) -> bytes:
    return b"".join(b"data: " + orjson.dumps(one) + b"\n\n" for one in data)


MP3 = answered("openai_speech", "speech_mp3")
WAV = answered("openai_speech", "speech_wav")
PLAIN = MediaUsage(characters=12)
TOLD = MediaUsage(characters=12, input_tokens=4, output_tokens=32)
SPOKEN_EVENTS = [one["data"] for one in fixture("openai_speech", "speech_sse")["response"]["sse"]]
SSE = HttpReply(200, {"content-type": "text/event-stream"}, events(*SPOKEN_EVENTS))
SHORT = events(
    {"type": "speech.audio.delta", "audio": base64.b64encode(b"\xff\xfbone ").decode()},
    {"type": "speech.audio.delta", "audio": base64.b64encode(b"two").decode()},
    {"type": "speech.audio.done", "usage": {"input_tokens": 4, "output_tokens": 32}},
)


class TestOpenAISpeech(RegistrationSuite, SpeechWireSuite):
    provider_type = relayhub_openai.OPENAI
    package = relayhub_openai
    settings = SETTINGS
    speech_samples = (
        SpeechSample(speech(), MediaUsage(characters=12, input_tokens=4, output_tokens=32)),
        SpeechSample(speech("tts-1", format="wav", speed=0.25), MediaUsage(characters=12)),
        SpeechSample(speech("tts-1-hd", text="你好,这是一个测试。"), MediaUsage(characters=10)),
        SpeechSample(speech(text="x" * 1300, instructions="Whisper.", format="pcm", speed=0.25)),
    )
    refused_speech = (
        RefusedSpeech(speech(text=" "), "input"),
        RefusedSpeech(speech(text="x" * 4097), "input"),
        RefusedSpeech(speech(voice=""), "voice"),
        RefusedSpeech(speech(speed=5), "speed"),
        RefusedSpeech(speech(speed=float("nan")), "speed"),
        RefusedSpeech(speech("tts-1", instructions="Whisper."), "instructions"),
        RefusedSpeech(speech(format="ogg"), "response_format"),
        RefusedSpeech(speech(vendor={"emotion": "glad"}), "emotion"),
    )
    spoken = (
        Spoken(speech("tts-1"), (MP3,), MediaResult((Artifact(data=MP3.body, media_type="audio/mpeg"),), PLAIN)),
        Spoken(
            speech("tts-1", format="wav"),
            (WAV,),
            MediaResult((Artifact(data=WAV.body, media_type="audio/wav"),), PLAIN),
        ),
        Spoken(speech(), (SSE,), MediaResult((Artifact(data=MP3.body, media_type="audio/mpeg"),), TOLD)),
        # A compatible upstream may not know events, and may not care for the format.
        Spoken(speech(), (WAV,), MediaResult((Artifact(data=WAV.body, media_type="audio/wav"),), PLAIN)),
        Spoken(
            speech("tts-1", format="pcm"),
            (HttpReply(200, {"content-type": "audio/pcm"}, b"\xff\xfb\x00\x00"),),
            MediaResult((Artifact(data=b"\xff\xfb\x00\x00", media_type="audio/pcm"),), PLAIN),
        ),
    )
    streamed = (
        Streamed(speech(), SHORT, b"\xff\xfbone two", usage=TOLD),
        Streamed(
            speech("tts-1", format="wav"),
            WAV.body[:200],
            WAV.body[:200],
            headers={"content-type": "audio/wav"},
            usage=PLAIN,
            framed=False,
        ),
    )
    broken_stream = SHORT[:90] + b"\n\n" + events({"error": {"message": "no more", "type": "server_error"}})

    def speech_simulator(self, clock: FakeClock) -> OpenAIMediaSimulator:
        return simulator(clock)


# --- images -----------------------------------------------------------------------------------------------------------

APPLE = "A minimal red apple icon"


def image(model: str = "gpt-image-2", **changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": APPLE, **changes})


def pictured(size: str | None = None, quality: str | None = None, **changes: Any) -> MediaUsage:
    return MediaUsage(**{"images": 1, "size": size, "quality": quality, **changes})


class TestOpenAIImages(RegistrationSuite, ImageWireSuite):
    provider_type = relayhub_openai.OPENAI
    package = relayhub_openai
    settings = SETTINGS
    image_samples = (
        ImageSample(image(size="1024x1024"), MediaUsage(images=1, input_tokens=12, output_tokens=4160)),
        ImageSample(image(size="1536x1024", quality="high"), MediaUsage(output_tokens=6240)),
        ImageSample(image(size="1024x1024", quality="low"), MediaUsage(output_tokens=272)),
        ImageSample(image(size="1024x1536", quality="medium"), MediaUsage(output_tokens=1584)),
        ImageSample(image(count=10, quality="standard"), MediaUsage(images=10)),
        ImageSample(image(resolution="4k", ratio="16:9", quality="hd")),
        ImageSample(image("gpt-image-1.5", ratio="3:2", background="transparent", output_format="webp")),
        ImageSample(image(vendor={"moderation": "low", "output_compression": 70}, output_format="jpg")),
        ImageSample(image(inputs=(PICTURE,), vendor={"input_fidelity": "high"}), MediaUsage(input_tokens=4012)),
        ImageSample(image(inputs=(PICTURE, PICTURE, MASK), size="auto")),
        ImageSample(image("some-other-model", size="512x512", output_format="png", background="opaque")),
    )
    refused_images = (
        RefusedImage(image(prompt=" "), "prompt"),
        RefusedImage(image(prompt="x" * 32_001), "prompt"),
        RefusedImage(image(count=0), "n"),
        RefusedImage(image(count=11), "n"),
        RefusedImage(image("dall-e-3", count=2), "n"),
        RefusedImage(image("gpt-image-1", size="512x512"), "size"),
        RefusedImage(image(size="1000x1000"), "size"),
        RefusedImage(image(size="4096x1024"), "size"),
        RefusedImage(image(size="3840x3840"), "size"),
        RefusedImage(image(size="large"), "size"),
        RefusedImage(image(size="1024x1024", ratio="1:1"), "size"),
        RefusedImage(image(resolution="8k"), "resolution"),
        RefusedImage(image("gpt-image-1", resolution="2k"), "resolution"),
        RefusedImage(image("gpt-image-1", ratio="21:9"), "ratio"),
        RefusedImage(image(ratio="wide"), "ratio"),
        RefusedImage(image(quality="xhigh"), "quality"),
        RefusedImage(image(background="blue"), "background"),
        RefusedImage(image("some-other-model", background="transparent"), "background"),
        RefusedImage(image(background="transparent", output_format="jpeg"), "output_format"),
        RefusedImage(image(output_format="svg"), "output_format"),
        RefusedImage(image(negative_prompt="rain"), "negative_prompt"),
        RefusedImage(image(seed=1), "seed"),
        RefusedImage(image(watermark=True), "watermark"),
        RefusedImage(image(vendor={"partial_images": 2}), "partial_images"),
        RefusedImage(image(vendor={"output_compression": 101}), "output_compression"),
        RefusedImage(image(vendor={"moderation": "off"}), "moderation"),
        RefusedImage(image(vendor={"input_fidelity": "high"}), "input_fidelity"),
        RefusedImage(image(inputs=(PICTURE,) * 17), "image"),
        RefusedImage(image("dall-e-3", inputs=(PICTURE,)), "image"),
        RefusedImage(image(inputs=(LINKED,)), "image"),
        RefusedImage(image(inputs=(NO_PICTURE,)), "image"),
        RefusedImage(image(inputs=(ELSEWHERE,)), "image"),
        RefusedImage(image(inputs=(MASK,)), "mask"),
        RefusedImage(image(inputs=(PICTURE, MASK, MASK)), "mask"),
        RefusedImage(image(inputs=(MediaInput(InputRole.SOURCE_VIDEO, Media(url="https://x/v"), "video"),)), "video"),
    )
    pictured = (
        Pictured(
            image(size="1024x1024"),
            (answered("openai_images", "generate"),),
            MediaResult(
                (Artifact(data=PNG, media_type="image/png"),),
                pictured("1024x1024", "high", input_tokens=12, output_tokens=4160),
            ),
        ),
        Pictured(
            image(prompt="Put the apple on a plate", inputs=(PICTURE,)),
            (answered("openai_images", "edit_multipart"),),
            MediaResult(
                (Artifact(data=PNG, media_type="image/png"),),
                pictured("1024x1024", input_tokens=212, output_tokens=4160, input_kind="image"),
            ),
        ),
        Pictured(
            image("dall-e-3", size="1024x1024", quality="standard"),
            (
                reply(
                    {"created": 1, "data": [{"url": "https://media.example.com/a.png", "revised_prompt": "An apple"}]}
                ),
            ),
            MediaResult(
                (Artifact("https://media.example.com/a.png", lives_s=3600.0, note="An apple"),),
                # Nothing is told: what was measured stands.
                pictured("1024x1024", "standard", input_tokens=88, output_tokens=1099),
            ),
        ),
        Pictured(
            image("some-relay-model"),
            (reply({"data": [{"b64_json": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}], "usage": {}}),),
            MediaResult((Artifact(data=PNG, media_type="image/png"),), pictured(input_tokens=88, output_tokens=6304)),
        ),
    )
    blocked = reply({"error": {"message": "The image was unsafe.", "code": "moderation_blocked"}})

    def image_simulator(self, clock: FakeClock) -> OpenAIMediaSimulator:
        return simulator(clock)


# --- videos -----------------------------------------------------------------------------------------------------------

FOX = "A fox in the snow"


def video(model: str = "sora-2", **changes: Any) -> VideoRequest:
    return VideoRequest(**{"model": model, "prompt": FOX, **changes})


def told(**changes: object) -> dict[str, object]:
    return {
        "id": "video_1",
        "object": "video",
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
        "created_at": NOW - 30,
        "seconds": "4",
        "size": "720x1280",
        "prompt": FOX,
        "error": None,
        **changes,
    }


def listing(*videos: dict[str, object], more: bool = False) -> HttpReply:
    return reply({"object": "list", "data": list(videos), "has_more": more})


HANDLE = {"video_ms": "4000", "input_kind": "text", "resolution": "720p", "size": "720x1280", "audio": "true"}
MADE = MediaUsage(video_ms=4000, resolution="720p", size="720x1280", audio=True)
SOURCE = MediaInput(InputRole.SOURCE_VIDEO, Media(url="https://hub.example/v.mp4"), "video")
LINK = "https://media.example.com/out.mp4?signature=abc"


def linked(**where: object) -> Told[JobUpdate]:
    update = JobUpdate(JobState.SUCCEEDED, 100, (Artifact(LINK, media_type="video/mp4"),), usage=MADE)
    return Told((reply(told(status="completed", **where)),), update)


def failed(code: str, message: str, **changes: object) -> Told[JobUpdate]:
    update = JobUpdate(JobState.FAILED, failure=JobFailure(code, message))
    return Told((reply(told(**{"status": "failed", **changes})),), update)


CONTENT = "https://api.example.com/v1/videos/video_1/content"
OWN = Artifact(CONTENT, media_type="video/mp4", headers={"authorization": f"Bearer {KEY}"})
DONE = JobUpdate(JobState.SUCCEEDED, 100, (OWN,), usage=MADE)
HEAD = HttpReply(200, {"content-type": "video/mp4"}, b"")


class TestOpenAIVideos(RegistrationSuite, JobWireSuite):
    provider_type = relayhub_openai.OPENAI
    package = relayhub_openai
    settings = {**SETTINGS, "videos": {"listing": True, "cancels": True}}
    samples = (
        JobSample(video(), MediaUsage(video_ms=4000)),
        JobSample(video(seconds=12, resolution="720p", ratio="16:9", audio=True), MediaUsage(video_ms=12_000)),
        JobSample(video("sora-2-pro", resolution="1080p", ratio="9:16")),
        JobSample(video("sora-2-pro", vendor={"size": "1792x1024"})),
        JobSample(video(inputs=(PICTURE,), watermark=False)),
        JobSample(video(inputs=(LINKED,), billed_seconds=30), MediaUsage(video_ms=30_000)),
        JobSample(video("some-other-model", resolution="1080p", seconds=8), MediaUsage(video_ms=8000)),
    )
    refused = (
        Refused(video(prompt=" "), "prompt"),
        Refused(video(seconds=5), "duration"),
        Refused(video("some-other-model", seconds=61), "duration"),
        Refused(video("some-other-model", seconds=4.5), "duration"),
        Refused(video(resolution="1080p"), "resolution"),
        Refused(video(ratio="1:1"), "ratio"),
        Refused(video("some-other-model", resolution="8k"), "resolution"),
        Refused(video("some-other-model", ratio="adaptive"), "ratio"),
        Refused(video("some-other-model", ratio="999:1"), "ratio"),
        Refused(video(vendor={"size": "100x100"}), "size"),
        Refused(video("some-other-model", vendor={"size": 7}), "size"),
        Refused(video(resolution="720p", vendor={"size": "720x1280"}), "size"),
        Refused(video(audio=False), "generate_audio"),
        Refused(video("some-other-model", audio=True), "generate_audio"),
        Refused(video(seed=1), "seed"),
        Refused(video(negative_prompt="rain"), "negative_prompt"),
        Refused(video(watermark=True), "watermark"),
        Refused(video(vendor={"camera_fixed": True}), "camera_fixed"),
        Refused(video(inputs=(PICTURE, PICTURE)), "image"),
        Refused(video(inputs=(NO_PICTURE,)), "image"),
        Refused(video(inputs=(ELSEWHERE,)), "image"),
        Refused(video(inputs=(SOURCE,)), "video"),
        Refused(video(inputs=(SOURCE,), remix=True), "video"),
        Refused(video(inputs=(SOURCE,), remix=True, seconds=4), "duration"),
        Refused(video(inputs=(), remix=True), "video"),
        Refused(ImageRequest("sora-2", FOX), "model"),
    )
    submitted = Told((reply(told()),), UpstreamJob("video_1", HANDLE))
    polls = (
        Told((reply(told()),), JobUpdate(JobState.QUEUED, 0)),
        Told((reply(told(status="in_progress", progress=50)),), JobUpdate(JobState.IN_PROGRESS, 50)),
        Told(
            (reply({"task_id": "t", "status": "PROCESSING", "progress": "30%"}),), JobUpdate(JobState.IN_PROGRESS, 30)
        ),
        Told((reply({"data": {"status": "IN_PROGRESS", "progress": "7%"}}),), JobUpdate(JobState.IN_PROGRESS, 7)),
        Told((reply(told(status="cancelled")),), JobUpdate(JobState.CANCELLED, 0)),
        Told((reply(told(status="completed")), HEAD), DONE),
        # An upstream may have no HEAD; what it says to GET is what counts.
        Told((reply(told(status="completed")), reply({}, 405)), DONE),
        # A link of the upstream's own needs its credential.
        Told((reply(told(status="completed", url=CONTENT)), HEAD), DONE),
        Told(
            (reply(told(status="completed")), HttpReply(302, {"location": LINK}, b"")),
            JobUpdate(JobState.SUCCEEDED, 100, (Artifact(LINK, media_type="video/mp4"),), usage=MADE),
        ),
        linked(metadata={"url": LINK}),
        linked(video_url=LINK),
        linked(output={"url": LINK}),
        failed(
            "content_policy", "It may be unsafe.", error={"code": "moderation_blocked", "message": "It may be unsafe."}
        ),
        failed("upstream_error", "See …", error={"code": "x", "message": "See https://x.example/secret"}),
        failed("upstream_error", "The upstream does not say why."),
        failed("timeout", "The upstream did not finish the job in its time limit.", status="expired"),
    )
    unknown_poll = (reply(told(status="contemplating")),)
    finds = (
        Told((listing(),), Found.NO),
        Told((listing(told()),), UpstreamJob("video_1")),
        Told((listing(told(prompt="Another")),), Found.NO),
        Told((listing(told(remixed_from_video_id="video_0")),), Found.NO),
        Told((listing(told(created_at=NOW - 9_999)),), Found.NO),
        Told((listing(told(created_at=NOW + 9_999)),), Found.NO),
        Told((listing(told(), told(id="video_2")),), Found.UNSURE),
        Told((listing(told(model="sora-2-2026")),), Found.UNSURE),
        Told((listing(told(seconds="8")),), Found.UNSURE),
        Told((listing(told(prompt=None)),), Found.UNSURE),
        Told((listing(told(), {"id": "video_2"}),), Found.UNSURE),
        Told((listing(told(), more=True), listing()), UpstreamJob("video_1")),
        Told((listing(told(), more=True), listing(told(id="video_2"))), Found.UNSURE),
        Told((listing(told(), more=True), listing(more=True)), Found.UNSURE),
        Told((listing(told(), told(id="old", created_at=1), more=True),), UpstreamJob("video_1")),
        Told((listing(told(id="old", created_at=1), told()),), Found.UNSURE),
    )
    cancels = (
        Told((reply(told()), reply({"id": "video_1", "deleted": True})), True),
        Told((reply(told(status="in_progress")), reply({"error": {"message": "no"}}, 409)), False),
        Told((reply(told()), reply({"error": {"message": "no such method"}}, 405)), False),
        Told((reply(told(status="completed")),), False),
        Told((reply(told(status="cancelled")),), True),
    )

    def simulator(self, clock: FakeClock) -> OpenAIMediaSimulator:
        return simulator(clock)

    def sent_reference(self, _reference: str) -> None:
        return None


class TestOpenAIVideosOfARelay(TestOpenAIVideos):
    """Results by link, bodies always JSON, nothing to find or cancel by."""

    settings = {**SETTINGS, "video_traits": {"*": {"form": "json"}}}
    finds = ()
    cancels = ()

    def simulator(self, clock: FakeClock) -> OpenAIMediaSimulator:
        return simulator(clock, linked=True)


# --- what goes over the wire ------------------------------------------------------------------------------------------


def provider(**settings: object) -> OpenAIProvider:
    parsed = OpenAISettings.model_validate({**SETTINGS, **settings})
    return OpenAIProvider(parsed, ProviderContext("p", FakeClock(), "relayhub/test"))


def videos(**settings: object) -> OpenAIVideos:
    wire = provider(**settings).jobs(MediaKind.VIDEO)
    assert wire is not None
    return wire


def submitted(request: VideoRequest, **settings: object) -> HttpRequest:
    return next(videos(**settings).submit(request.model, request, "task_1"))


def json_body(request: HttpRequest) -> dict[str, Any]:
    assert isinstance(request.body, bytes)
    value: dict[str, Any] = json.loads(request.body)
    return value


def form_of(request: HttpRequest) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and bytes of each part, read by the standard library."""
    assert isinstance(request.body, bytes)
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    whole = BytesParser().parsebytes(head + request.body)
    assert not whole.defects
    return [
        (str(part.get_param("name", header="content-disposition")), part.get_filename(), part.get_payload(decode=True))
        for part in whole.get_payload()
    ]


def failed_image(answer: HttpReply) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        drive(provider().images().generate("gpt-image-2", image()), replaying((answer,)))
    return caught.value


def test_an_image_is_asked_for_as_recorded() -> None:
    recorded = fixture("openai_images", "generate")["request"]
    sent = next(provider().images().generate("gpt-image-2", image(size="1024x1024")))
    assert sent.url.endswith(recorded["path"])
    assert json_body(sent) == recorded["body"]


def test_an_edit_is_a_form_with_the_pictures_and_the_mask() -> None:
    request = image(inputs=(PICTURE, PICTURE, MASK), quality="high")
    sent = next(provider().images().generate("gpt-image-2", request))
    assert sent.url == "https://api.example.com/v1/images/edits"
    assert form_of(sent) == [
        ("model", None, b"gpt-image-2"),
        ("prompt", None, APPLE.encode()),
        ("n", None, b"1"),
        ("quality", None, b"high"),
        ("image[]", "image-0.png", PNG),
        ("image[]", "image-1.png", PNG),
        ("mask", "mask.png", PNG),
    ]


def test_a_form_has_the_line_ends_that_the_grammar_asks_for() -> None:
    made = form([field("n", 1), Part("image", PNG, "a.png", "image/png")])
    boundary = made.content_type.partition("boundary=")[2].encode()
    assert made.body == (
        b"--" + boundary + b'\r\ncontent-disposition: form-data; name="n"\r\n\r\n1\r\n'
        b"--" + boundary + b'\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n'
        b"content-type: image/png\r\n\r\n" + PNG + b"\r\n--" + boundary + b"--\r\n"
    )


def test_one_picture_is_not_a_list() -> None:
    sent = next(provider().images().generate("gpt-image-2", image(inputs=(PICTURE,))))
    assert [name for name, file, _ in form_of(sent) if file] == ["image"]


def test_models_that_answer_with_links_are_told_to_send_the_image() -> None:
    sent = next(provider().images().generate("dall-e-3", image("dall-e-3")))
    assert json_body(sent)["response_format"] == "b64_json"


def test_speech_is_asked_for_as_recorded() -> None:
    recorded = fixture("openai_speech", "speech_sse")["request"]
    request = speech(format="mp3", speed=1.0)
    assert json_body(provider().speech().stream_request(request.model, request)) == recorded["body"]


def test_older_speech_models_are_not_asked_for_events() -> None:
    assert "stream_format" not in json_body(provider().speech().stream_request("tts-1", speech("tts-1")))


def test_streams_say_what_they_will_be() -> None:
    wire = provider().speech()
    assert wire.streams("tts-1", speech("tts-1")) == "audio/mpeg"
    assert wire.streams("tts-1", speech("tts-1", format="opus")) == "audio/ogg"


def test_a_video_is_asked_for_by_form_as_the_official_sdk_does() -> None:
    sent = submitted(video(inputs=(PICTURE,), seconds=8))
    assert form_of(sent) == [
        ("model", None, b"sora-2"),
        ("prompt", None, FOX.encode()),
        ("seconds", None, b"8"),
        ("size", None, b"720x1280"),
        ("input_reference", "reference.png", PNG),
    ]


def test_a_video_from_a_link_is_asked_for_in_json() -> None:
    assert json_body(submitted(video(inputs=(LINKED,))))["input_reference"] == {"image_url": LINKED.media.url}


def test_a_relay_that_takes_only_json_is_sent_the_picture_in_it() -> None:
    sent = submitted(video(inputs=(PICTURE,)), video_traits={"sora-*": {"form": "json"}})
    assert json_body(sent)["input_reference"]["image_url"].startswith("data:image/png;base64,iVBOR")


def test_a_remix_goes_to_the_video_that_the_upstream_made() -> None:
    source = MediaInput(InputRole.SOURCE_VIDEO, Media(file_id="video/1"), "video")
    request = video(inputs=(source,), remix=True)
    sent = submitted(request)
    assert sent.url == "https://api.example.com/v1/videos/video%2F1/remix"
    assert json_body(sent) == {"prompt": FOX}
    assert videos().measure("sora-2", request).video_ms == 12_000


def test_parameters_of_a_compatible_upstream_are_passed_on_where_its_operator_says_so() -> None:
    own = {"wan-*": {"parameters": ["seed", "negative_prompt", "generate_audio", "camera"], "max_s": 10}}
    request = video("wan-3", seed=7, negative_prompt="rain", audio=True, vendor={"camera": "fixed"}, ratio="1:1")
    fields = {name: value.decode() for name, _, value in form_of(submitted(request, video_traits=own))}
    expected = {"seed": "7", "negative_prompt": "rain", "generate_audio": "true", "camera": "fixed", "size": "720x720"}
    assert fields == {"model": "wan-3", "prompt": FOX, "seconds": "4", **expected}
    with pytest.raises(ClientError):
        videos(video_traits=own).measure("wan-3", video("wan-3", seconds=11))


@pytest.mark.parametrize(
    ("model", "resolution", "ratio", "size"),
    [
        ("sora-2-pro", "1024p", "7:4", "1792x1024"),
        ("sora-2-pro", None, "16:9", "1280x720"),
        ("sora-2", "720p", None, "720x1280"),
        ("other", "480p", "427:240", "854x480"),
        ("other", "4K", "9:16", "2160x3840"),
        ("other", "512p", "1:1", "512x512"),
    ],
)
def test_a_size_is_found_again_from_its_resolution_and_ratio(
    model: str, resolution: str | None, ratio: str | None, size: str
) -> None:
    assert videos().measure(model, video(model, resolution=resolution, ratio=ratio)).size == size


@pytest.mark.parametrize("changes", [{}, {"ratio": "3:2"}])
def test_a_size_left_to_the_model_may_have_a_shape(changes: dict[str, str]) -> None:
    size = provider().images().measure("gpt-image-1", image("gpt-image-1", size="auto", **changes)).size
    assert size == ("1536x1024" if changes else None)


def test_a_query_is_on_every_url() -> None:
    wire = videos(query={"api-version": "1"})
    update = drive(wire.poll(UpstreamJob("video_1", HANDLE)), replaying((reply(told(status="completed")), HEAD)))
    assert [request.url.partition("?")[2] for request in update.requests] == ["api-version=1"] * 2
    assert update.result.artifacts[0].url == f"{CONTENT}?api-version=1"


def test_a_link_that_leads_elsewhere_gets_no_credential() -> None:
    evil = "https://api.example.com.evil.example/x.mp4"
    wire = videos(base_url="https://api.example.com")
    done = (reply(told(status="completed", url=evil)),)
    result = drive(wire.poll(UpstreamJob("video_1", HANDLE)), replaying(done)).result
    assert result.artifacts == (Artifact(evil, media_type="video/mp4"),)


def test_the_length_that_was_really_made_is_billed() -> None:
    done = (reply(told(status="completed", seconds="8", url=LINK)),)
    usage = drive(videos().poll(UpstreamJob("video_1", HANDLE)), replaying(done)).result.usage
    assert usage is not None
    assert usage.video_ms == 8000


@pytest.mark.parametrize("listing_", [True, False])
@pytest.mark.parametrize("cancels", [True, False])
def test_what_the_upstream_cannot_do_is_not_offered(listing_: bool, cancels: bool) -> None:
    wire = videos(videos={"listing": listing_, "cancels": cancels})
    assert (isinstance(wire, FindingWire), isinstance(wire, CancellingWire)) == (listing_, cancels)


def test_a_lost_submit_is_found_though_its_picture_is_not_kept() -> None:
    kept = MediaInput(InputRole.IMAGE, Media(media_type="image/png"), "image")
    wire = videos(videos={"listing": True})
    assert isinstance(wire, FindingWire)
    steps = wire.find("sora-2", video(inputs=(kept,)), "task_1", NOW - 60, NOW)
    found = drive(steps, replaying((listing(told()),))).result
    assert found == UpstreamJob("video_1", {**HANDLE, "input_kind": "image"})


def test_refused_content_has_one_code() -> None:
    error = failed_image(answered("openai_images", "error_policy"))
    assert (error.kind, error.code, error.delivered) == (ErrorKind.UPSTREAM_REJECTED, "content_policy", False)


def test_an_error_that_comes_as_a_success_may_have_cost_something() -> None:
    for code in ("moderation_blocked", "server_error"):
        error = failed_image(reply({"error": {"message": "no", "code": code}}))
        assert (error.delivered, error.retryable) == (True, False)


def test_a_key_of_any_form_is_kept_out_of_messages() -> None:
    wire = provider(api_key="plainword").images()
    refused = reply({"error": {"message": "plainword is wrong", "type": "invalid_request_error"}}, 400)
    with pytest.raises(UpstreamError) as caught:
        drive(wire.generate("gpt-image-2", image()), replaying((refused,)))
    assert caught.value.message == "*** is wrong"


def test_a_base_url_ends_before_any_endpoint() -> None:
    for path in ("/audio/speech", "/images/edits", "/videos"):
        with pytest.raises(ValidationError):
            provider(base_url=f"https://x.example/v1{path}")


# --- the simulator ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, object]]] = {
    "an unknown field of a video": ("/videos", {"model": "m", "prompt": "p", "n": 1}),
    "a length that is none": ("/videos", {"model": "m", "prompt": "p", "seconds": "5"}),
    "a length as a number": ("/videos", {"model": "m", "prompt": "p", "seconds": 4}),
    "a size that is none": ("/videos", {"model": "m", "prompt": "p", "size": "100x100"}),
    "a picture that is none": ("/videos", {"model": "m", "prompt": "p", "input_reference": "x"}),
    "no prompt": ("/images/generations", {"model": "gpt-image-2"}),
    "a response format for images": ("/images/generations", {"prompt": "p", "response_format": "url"}),
    "a size off the grid": ("/images/generations", {"prompt": "p", "size": "1000x1000"}),
    "too many images": ("/images/generations", {"prompt": "p", "n": 11}),
    "an edit of nothing": ("/images/edits", {"prompt": "p"}),
    "a text too long": ("/audio/speech", {"model": "tts-1", "input": "x" * 4097, "voice": "v"}),
    "events of an old model": ("/audio/speech", {"model": "tts-1", "input": "x", "voice": "v", "stream_format": "sse"}),
    "a speed that is none": ("/audio/speech", {"model": "tts-1", "input": "x", "voice": "v", "speed": 5}),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_simulator_rejects(what: str) -> None:
    path, body = WRONG[what]
    upstream = simulator(FakeClock())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    told_ = upstream.exchange(HttpRequest("POST", f"https://x/v1{path}", headers, orjson.dumps(body)))
    assert (told_.status, upstream.counters.executions) == (400, 0)


def test_the_simulator_wants_a_key_even_for_the_content() -> None:
    upstream = simulator(FakeClock())
    assert upstream.exchange(HttpRequest("GET", "https://x/v1/videos/video_1/content")).status == 401


def test_a_remix_at_the_simulator_is_as_long_as_its_source() -> None:
    clock = FakeClock()
    upstream, wire = simulator(clock), videos()
    first = drive(wire.submit("sora-2", video(seconds=8), "task_1"), upstream.exchange).result
    clock.advance(3600)
    source = MediaInput(InputRole.SOURCE_VIDEO, Media(file_id=first.id), "video")
    remix = video(prompt="Make it snow", inputs=(source,), remix=True)
    second = drive(wire.submit("sora-2", remix, "task_2"), upstream.exchange).result
    clock.advance(3600)
    usage = drive(wire.poll(second), upstream.exchange).result.usage
    assert usage is not None
    assert (usage.video_ms, usage.input_kind, upstream.counters.executions) == (8000, "video", 2)
