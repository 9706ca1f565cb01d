"""Images, speech and videos of the demo: the suites, and that what it makes is what it says."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import wave
import zlib
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest

import relayhub_demo
from relayhub.sdk import (
    Artifact,
    Deadlines,
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
    Answer,
    FakeClock,
    ImageSample,
    ImageWireSuite,
    JobSample,
    JobWireSuite,
    Pictured,
    Recorded,
    Refused,
    RefusedImage,
    RefusedSpeech,
    RegistrationSuite,
    SpeechSample,
    SpeechWireSuite,
    Spoken,
    Streamed,
    Told,
    UpstreamSimulator,
    drive,
)
from relayhub_demo.clips import clip
from relayhub_demo.drawings import drawing
from relayhub_demo.film import FilmStudio
from relayhub_demo.h264 import Colour
from relayhub_demo.models import DEMO_MODELS
from relayhub_demo.provider import BASE_URL, DemoProvider
from relayhub_demo.settings import DemoSettings
from relayhub_demo.tones import pieces, wav_header
from relayhub_demo.transport import respond
from relayhub_demo.video_wire import DemoVideos

PICTURE = MediaInput(InputRole.IMAGE, Media(data=base64.b64encode(b"any picture").decode()), "image")
LINKED = MediaInput(InputRole.IMAGE, Media(url="https://media.example.com/1.png"), "image")
TEXT = "Hi you"


def made(request: HttpRequest, films: FilmStudio | None = None) -> HttpReply:
    """What the demo's own server answers."""
    answer = respond(request, films)
    return HttpReply(answer.status, {"content-type": answer.content_type, **answer.headers}, b"".join(answer.pieces))


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


class DemoServer(UpstreamSimulator):
    """The demo's own server in the place of a simulator."""

    def answer(self, request: Recorded) -> Answer:
        url = f"memory://demo{request.path}"
        told = made(HttpRequest(request.method, url, request.headers, request.body))
        return Answer(told.status, told.body, told.headers)


class Demo(RegistrationSuite):
    provider_type = relayhub_demo.DEMO
    package = relayhub_demo


# --- images -----------------------------------------------------------------------------------------------------------


def image(**changes: Any) -> ImageRequest:
    return ImageRequest(**{"model": "demo-image", "prompt": "A fox", "size": "64x32", **changes})


def painted(request: ImageRequest) -> tuple[HttpReply]:
    wire = DemoProvider(DemoSettings(), ProviderContext("demo", FakeClock(), "relayhub/test")).images()
    return (made(next(wire.generate(request.model, request))),)


def png(seed: bytes, width: int = 64, height: int = 32) -> Artifact:
    return Artifact(data=drawing(width, height, seed), media_type="image/png")


class TestDemoImages(Demo, ImageWireSuite):
    image_samples = (
        ImageSample(image(size=None), MediaUsage(images=1, input_tokens=2, output_tokens=4096)),
        ImageSample(image(count=3, inputs=(PICTURE,)), MediaUsage(images=3, input_tokens=66, output_tokens=24)),
        ImageSample(image(size=None, ratio="16:9", resolution="1K", quality="high", output_format="png")),
        ImageSample(image(size="auto", seed=4, background="opaque")),
        ImageSample(image(size="auto", ratio="3:2")),
    )
    refused_images = (
        RefusedImage(image(prompt=""), "prompt"),
        RefusedImage(image(count=11), "n"),
        RefusedImage(image(size="8x8"), "size"),
        RefusedImage(image(size="4096x4096"), "size"),
        RefusedImage(image(size="big"), "size"),
        RefusedImage(image(ratio="1:1"), "size"),
        RefusedImage(image(size=None, ratio="9:1"), "ratio"),
        RefusedImage(image(size=None, ratio="16:9", resolution="2k"), "ratio"),
        RefusedImage(image(size=None, resolution="4k"), "resolution"),
        RefusedImage(image(quality="best"), "quality"),
        RefusedImage(image(background="transparent"), "background"),
        RefusedImage(image(output_format="webp"), "output_format"),
        RefusedImage(image(negative_prompt="rain"), "negative_prompt"),
        RefusedImage(image(watermark=True), "watermark"),
        RefusedImage(image(vendor={"style": "vivid"}), "style"),
        RefusedImage(image(inputs=(LINKED,)), "image"),
        RefusedImage(image(inputs=(MediaInput(InputRole.MASK, PICTURE.media, "mask"),)), "mask"),
        RefusedImage(image(inputs=(MediaInput(InputRole.IMAGE, Media(data="!"), "image"),)), "image"),
    )
    pictured = (
        Pictured(
            image(),
            painted(image()),
            MediaResult((png(b"A fox\0None\0"),), MediaUsage(images=1, input_tokens=2, output_tokens=8, size="64x32")),
        ),
        Pictured(
            image(count=2),
            painted(image(count=2)),
            MediaResult(
                (png(b"A fox\0None\0"), png(b"A fox\0None\1")),
                MediaUsage(images=2, input_tokens=2, output_tokens=16, size="64x32"),
            ),
        ),
    )

    def image_simulator(self, clock: FakeClock) -> DemoServer:
        return DemoServer(clock=clock)


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of a PNG file, each with its checksum checked."""
    at = 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size) == (zlib.crc32(name + data),)
        yield name, data
        at += size + 12


@pytest.mark.parametrize(("width", "height"), [(16, 16), (64, 33), (1024, 1024)])
def test_a_drawing_is_a_whole_png_of_its_size(width: int, height: int) -> None:
    found = dict(chunks(drawing(width, height, b"seed")))
    assert list(found) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (width, height, 8, 3, 0, 0, 0)
    lines = zlib.decompress(found[b"IDAT"])
    assert len(lines) == height * (width + 1)
    assert set(lines[:: width + 1]) == {0}  # no line has a filter
    assert max(lines) < len(found[b"PLTE"]) / 3


def test_another_prompt_is_another_drawing() -> None:
    assert drawing(64, 64, b"a") == drawing(64, 64, b"a") != drawing(64, 64, b"b")


# --- speech -----------------------------------------------------------------------------------------------------------


def speech(**changes: Any) -> SpeechRequest:
    return SpeechRequest(**{"model": "demo-speech", "text": TEXT, "voice": "alloy", **changes})


def sound(request: SpeechRequest) -> HttpReply:
    wire = DemoProvider(DemoSettings(), ProviderContext("demo", FakeClock(), "relayhub/test")).speech()
    return made(wire.stream_request(request.model, request))


WAV, FAST = sound(speech()), sound(speech(format="pcm", speed=4.0))
SPOKEN = MediaUsage(characters=6, audio_ms=360)
QUICK = MediaUsage(characters=1, audio_ms=15)
SHORT = speech(text="a", format="pcm", speed=4.0)


class TestDemoSpeech(Demo, SpeechWireSuite):
    speech_samples = (
        SpeechSample(speech(), MediaUsage(characters=6, audio_ms=360)),
        SpeechSample(speech(format="pcm", speed=0.25), MediaUsage(characters=6, audio_ms=1440)),
        SpeechSample(speech(text="你好,这是一个测试。"), MediaUsage(characters=10)),
    )
    refused_speech = (
        RefusedSpeech(speech(text=" "), "input"),
        RefusedSpeech(speech(text="x" * 4097), "input"),
        RefusedSpeech(speech(voice=""), "voice"),
        RefusedSpeech(speech(speed=5), "speed"),
        RefusedSpeech(speech(instructions="Whisper."), "instructions"),
        RefusedSpeech(speech(format="mp3"), "response_format"),
        RefusedSpeech(speech(vendor={"emotion": "glad"}), "emotion"),
    )
    spoken = (
        Spoken(speech(), (WAV,), MediaResult((Artifact(data=WAV.body, media_type="audio/wav"),), SPOKEN)),
        Spoken(
            speech(format="pcm", speed=4.0),
            (FAST,),
            MediaResult((Artifact(data=FAST.body, media_type="audio/pcm"),), MediaUsage(characters=6, audio_ms=90)),
        ),
    )
    streamed = (Streamed(SHORT, sound(SHORT).body, sound(SHORT).body, {"content-type": "audio/pcm"}, QUICK),)

    def speech_simulator(self, clock: FakeClock) -> DemoServer:
        return DemoServer(clock=clock)


def test_speech_is_a_whole_wav_as_long_as_its_text() -> None:
    with wave.open(io.BytesIO(WAV.body)) as heard:
        assert (heard.getnchannels(), heard.getsampwidth(), heard.getframerate()) == (1, 2, 24_000)
        assert heard.getnframes() == len(heard.readframes(10**6)) // 2 == 24_000 * 360 // 1000


def test_a_blank_is_silent_and_a_letter_is_not() -> None:
    letter, blank = (b"".join(pieces(text, "alloy", 1.0)) for text in ("a", " "))
    assert not any(blank)
    assert any(letter)
    assert len(letter) == len(blank)


def test_voices_differ() -> None:
    assert b"".join(pieces("a", "alloy", 1.0)) != b"".join(pieces("a", "nova", 1.0))


def test_speech_comes_in_pieces() -> None:
    body = orjson.dumps({"model": "demo-speech", "input": "x" * 40, "voice": "v"})
    answer = respond(HttpRequest("POST", f"{BASE_URL}/audio/speech", {}, body))
    assert len(answer.pieces) == 4
    assert answer.pieces[0] == wav_header("x" * 40, 1.0)


def test_speech_that_breaks_off_is_no_whole_speech() -> None:
    wire = DemoProvider(DemoSettings(), ProviderContext("demo", FakeClock(), "relayhub/test")).speech()
    reader = wire.reader(speech(), {"content-type": "audio/wav"})
    reader.feed(WAV.body[:-1])
    with pytest.raises(UpstreamError):
        reader.close()


# --- videos -----------------------------------------------------------------------------------------------------------

FOX = "A fox in the snow"
ID = "video-film-19c4c8d2000-4-1280x720-0123456789abcdef"
HANDLE = {"video_ms": "4000", "resolution": "720p", "input_kind": "text", "size": "1280x720"}
MADE = MediaUsage(video_ms=4000, resolution="720p", size="1280x720")
CLIP = b"\0\0\0\x18ftypisom video"


def video(**changes: Any) -> VideoRequest:
    return VideoRequest(**{"model": "demo-video", "prompt": FOX, **changes})


def state(word: str, **more: object) -> HttpReply:
    return reply({"id": ID, "status": word, "progress": 0, **more})


class TestDemoVideos(Demo, JobWireSuite):
    samples = (
        JobSample(video(), MediaUsage(video_ms=4000)),
        JobSample(video(seconds=15, resolution="1080p", ratio="9:16"), MediaUsage(video_ms=15_000)),
        JobSample(video(inputs=(PICTURE, LINKED), seed=7, watermark=False, audio=False)),
        JobSample(video(billed_seconds=9), MediaUsage(video_ms=9000)),
        JobSample(video(resolution="480p", ratio="427:240", seconds=1)),
    )
    refused = (
        Refused(video(prompt=""), "prompt"),
        Refused(video(seconds=16), "duration"),
        Refused(video(seconds=1.5), "duration"),
        Refused(video(resolution="4k"), "resolution"),
        Refused(video(ratio="adaptive"), "ratio"),
        Refused(video(resolution="1080p", ratio="21:9"), "ratio"),
        Refused(video(audio=True), "generate_audio"),
        Refused(video(watermark=True), "watermark"),
        Refused(video(negative_prompt="rain"), "negative_prompt"),
        Refused(video(vendor={"camera_fixed": True}), "camera_fixed"),
        Refused(ImageRequest("demo-video", FOX), "model"),
    )
    submitted = Told((state("queued"),), UpstreamJob(ID, HANDLE))
    polls = (
        Told((state("queued"),), JobUpdate(JobState.QUEUED, 0)),
        Told((state("in_progress", progress=40),), JobUpdate(JobState.IN_PROGRESS, 40)),
        Told((state("cancelled"),), JobUpdate(JobState.CANCELLED, 0)),
        Told(
            (state("completed"), HttpReply(200, {"content-type": "video/mp4"}, CLIP)),
            JobUpdate(JobState.SUCCEEDED, 100, (Artifact(data=CLIP, media_type="video/mp4"),), usage=MADE),
        ),
        Told(
            (state("failed", error={"code": "demo_failed", "message": "As asked."}),),
            JobUpdate(JobState.FAILED, failure=JobFailure("upstream_error", "As asked.")),
        ),
    )
    unknown_poll = (state("contemplating"),)
    cancels = (
        Told((state("queued"), reply({"deleted": True})), True),
        Told((state("in_progress"), reply({"error": {"message": "too late"}}, 409)), False),
        Told((state("completed"),), False),
        Told((state("cancelled"),), True),
    )


class Cinema:
    """The wire and the server, with a clock to turn. ``restarted``: as another process would see it."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.films = FilmStudio(self.clock, queue_s=1.0, run_s=4.0)
        self.wire = DemoVideos()

    def restarted(self) -> Cinema:
        return Cinema(self.clock)

    def submit(self, reference: str = "task_1", **changes: Any) -> UpstreamJob:
        request = video(**changes)
        return drive(self.wire.submit(request.model, request, reference), self.answer).result

    def poll(self, job: UpstreamJob) -> JobUpdate:
        return drive(self.wire.poll(job), self.answer).result

    def cancel(self, job: UpstreamJob) -> bool:
        return drive(self.wire.cancel(job), self.answer).result

    def answer(self, request: HttpRequest) -> HttpReply:
        return made(request, self.films)


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [
        (0, (JobState.QUEUED, 0)),
        (1, (JobState.IN_PROGRESS, 0)),
        (3, (JobState.IN_PROGRESS, 50)),
        (5, (JobState.SUCCEEDED, 100)),
        (86_400, (JobState.SUCCEEDED, 100)),
    ],
)
def test_a_job_goes_on_with_the_hubs_clock_and_through_a_restart(
    after_s: float, expected: tuple[JobState, int]
) -> None:
    cinema = Cinema()
    job = cinema.submit()
    cinema.clock.advance(after_s)
    update = cinema.restarted().poll(job)
    assert (update.state, update.progress) == expected


def test_what_was_billed_is_what_was_measured() -> None:
    cinema = Cinema()
    request = video(seconds=2, resolution="480p", ratio="4:3", inputs=(PICTURE,), billed_seconds=3)
    job = drive(cinema.wire.submit("demo-video", request, "task_1"), cinema.answer).result
    cinema.clock.advance(60)
    assert cinema.poll(job).usage == cinema.wire.measure("demo-video", request)


def test_the_failing_model_fails_in_the_end() -> None:
    cinema = Cinema()
    job = cinema.submit(model="demo-job-failed")
    assert cinema.poll(job).state is JobState.QUEUED
    cinema.clock.advance(60)
    update = cinema.poll(job)
    assert update.state is JobState.FAILED
    assert update.failure is not None
    assert "as asked" in update.failure.message


def test_two_like_submits_are_two_jobs() -> None:
    cinema = Cinema()
    assert cinema.submit("task_1") != cinema.submit("task_2")


def test_a_job_can_be_cancelled_until_it_is_finished() -> None:
    cinema = Cinema()
    first, second = cinema.submit("task_1"), cinema.submit("task_2")
    assert cinema.cancel(first)
    cinema.clock.advance(60)
    assert cinema.poll(first).state is JobState.CANCELLED
    assert cinema.cancel(first)
    assert not cinema.cancel(second)


def test_the_content_is_not_there_before_its_time() -> None:
    cinema = Cinema()
    job = cinema.submit()
    content = HttpRequest("GET", f"{BASE_URL}/videos/{job.id}/content")
    assert cinema.answer(content).status == 409
    cinema.clock.advance(5)
    assert cinema.answer(content).headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("id_", ["video-1", "video-film-0-4-1280x720-0123456789abcdef", "..%2Fmodels"])
def test_a_job_that_was_never_made_is_not_there(id_: str) -> None:
    assert Cinema().answer(HttpRequest("GET", f"{BASE_URL}/videos/{id_}")).status == 404


def test_a_record_is_not_kept_for_ever() -> None:
    cinema = Cinema()
    job = cinema.submit()
    cinema.clock.advance(8 * 86_400)
    with pytest.raises(UpstreamError) as caught:
        cinema.poll(job)
    assert caught.value.status == 404


async def test_the_transport_serves_videos_by_its_own_clock() -> None:
    clock = FakeClock()
    provider = DemoProvider(
        DemoSettings(video_queue_s=0, video_run_s=0), ProviderContext("demo", clock, "relayhub/test")
    )
    wire = provider.jobs(MediaKind.VIDEO)
    assert wire is not None
    assert provider.jobs(MediaKind.IMAGE) is None
    steps = wire.submit("demo-video", video(), "task_1")
    async with (
        provider.transport().send(next(steps), Deadlines()) as told,
        aclosing(told.chunks()) as pieces_,
    ):
        body = b"".join([piece async for piece in pieces_])
    assert orjson.loads(body)["status"] == "completed"


# --- the clip ---------------------------------------------------------------------------------------------------------


def boxes(content: bytes, *path: bytes) -> bytes:
    """What is in the box at ``path``. Every box is walked over, so lengths that do not add up are found."""
    for name in path:
        found: dict[bytes, bytes] = {}
        at = 0
        while at < len(content):
            (size,) = struct.unpack_from(">I", content, at)
            assert 8 <= size <= len(content) - at
            found[content[at + 4 : at + 8]] = content[at + 8 : at + size]
            at += size
        content = found[name]
    return content


TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


@pytest.mark.parametrize(("width", "height", "seconds"), [(1280, 720, 4), (854, 480, 1), (1080, 1920, 15)])
def test_a_clip_is_a_whole_mp4(width: int, height: int, seconds: int) -> None:
    content = clip(width, height, seconds, Colour(90, 180, 60))
    assert content[4:12] == b"ftypisom"
    assert len(content) < 20_000
    scale, duration = struct.unpack_from(">II", boxes(content, b"moov", b"mvhd"), 12)
    assert duration == seconds * scale
    assert struct.unpack(">II", boxes(content, b"moov", b"trak", b"tkhd")[-8:]) == (width << 16, height << 16)
    _, count, ticks = struct.unpack_from(">III", boxes(content, *TABLE, b"stts"), 4)
    assert count * ticks == duration
    (start,) = struct.unpack_from(">I", boxes(content, *TABLE, b"stco"), 8)
    sizes = struct.unpack_from(f">{count}I", boxes(content, *TABLE, b"stsz"), 12)
    assert start + sum(sizes) == len(content)
    assert content[start - 4 : start] == b"mdat"


def test_each_frame_is_one_unit_of_the_right_kind() -> None:
    content = clip(320, 240, 2, Colour(90, 180, 60))
    (start,) = struct.unpack_from(">I", boxes(content, *TABLE, b"stco"), 8)
    kinds = []
    for size in struct.unpack_from(">20I", boxes(content, *TABLE, b"stsz"), 12):
        assert struct.unpack_from(">I", content, start) == (size - 4,)
        kinds.append(content[start + 4] & 31)
        assert b"\0\0\1" not in content[start + 4 : start + size]
        start += size
    assert kinds == [5] + [1] * 19


@pytest.mark.parametrize(
    ("width", "height", "seconds", "colour", "digest"),
    [
        (1280, 720, 4, Colour(90, 180, 60), "bab70d317a586819"),
        (854, 480, 1, Colour(129, 127, 126), "b4492d87ad5497fa"),
        (1920, 1080, 3, Colour(16, 240, 16), "01b64794eabc081d"),
        (720, 1280, 15, Colour(128, 100, 200), "5f70c56177bdb3a6"),
    ],
)
def test_clips_are_the_ones_that_a_real_decoder_has_shown(
    width: int, height: int, seconds: int, colour: Colour, digest: str
) -> None:
    """FFmpeg decoded exactly these bytes without complaint: all frames, every pixel of the colour. No decoder is needed
    here, as long as the bytes stay the same."""
    assert hashlib.sha256(clip(width, height, seconds, colour)).hexdigest()[:16] == digest


def test_demo_mode_offers_the_media_models() -> None:
    operations = {name: model.get("operations") for name, model in DEMO_MODELS.items()}
    assert operations["demo-image"] == ["image"]
    assert operations["demo-speech"] == ["speech"]
    assert operations["demo-video"] == operations["demo-job-failed"] == ["video"]
