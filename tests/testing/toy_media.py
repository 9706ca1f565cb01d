"""A small upstream for media, invented for these tests: sound wires and a simulator, and the suites they pass."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from relayhub.sdk import (
    Artifact,
    Effect,
    ErrorKind,
    Found,
    HttpReply,
    HttpRequest,
    ImageRequest,
    JobFailure,
    JobState,
    JobUpdate,
    LineSplitter,
    MediaKind,
    MediaRequest,
    MediaResult,
    MediaUsage,
    PollPace,
    ProviderContext,
    ProviderType,
    SpeechRequest,
    Steps,
    UpstreamError,
    UpstreamJob,
    VideoRequest,
    decode_openai_error,
    invalid_request,
    upstream_broke,
)
from relayhub.testing import (
    Answer,
    FakeClock,
    ImageSample,
    ImageWireSuite,
    JobSample,
    JobSimulator,
    JobStep,
    JobWireSuite,
    Pictured,
    Recorded,
    Refused,
    RefusedImage,
    RefusedSpeech,
    SimulatedState,
    SpeechSample,
    SpeechWireSuite,
    Spoken,
    Streamed,
    Told,
)

KEY = "canary-key-0123456789"
BASE = "https://toy.example"
PNG = b"\x89PNG toy"
WAV = b"RIFF toy sound"
STATES = {
    "waiting": JobState.QUEUED,
    "working": JobState.IN_PROGRESS,
    "done": JobState.SUCCEEDED,
    "broken": JobState.FAILED,
    "gone": JobState.CANCELLED,
}


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr = Field(description="Key.")


def read(reply: HttpReply) -> dict[str, Any]:
    if reply.status != 200:
        raise decode_openai_error(reply)
    try:
        value = json.loads(reply.body)
    except ValueError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict) or not value:
        raise upstream_broke("it is not an answer")
    return value


def text_of(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise upstream_broke(f"it has no {name}")
    return found


class Toy:
    """What all wires have."""

    def __init__(self, settings: Settings) -> None:
        self.key = settings.api_key

    def ask(self, method: str, path: str, body: object = None, effect: Effect = Effect.NONE) -> HttpRequest:
        headers = {"authorization": f"Bearer {self.key.get_secret_value()}", "content-type": "application/json"}
        return HttpRequest(method, f"{BASE}{path}", headers, b"" if body is None else json.dumps(body).encode(), effect)


class ToyJobs(Toy):
    pace = PollPace()
    takes_data = False
    hook: str | None = None

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        assert isinstance(request, VideoRequest)
        if request.seed is not None:
            raise invalid_request("seed: not here.", param="seed")
        return MediaUsage(video_ms=round((request.seconds or 5) * 1000))

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        assert isinstance(request, VideoRequest)
        body = {"prompt": request.prompt, "seconds": request.seconds or 5, "ref": reference, "hook": self.hook}
        reply = yield self.ask("POST", "/jobs", body, Effect.PAID)
        return UpstreamJob(text_of(read(reply), "id"), {"kind": "toy"})

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        value = read((yield self.ask("GET", f"/jobs/{job.id}")))
        state = STATES.get(text_of(value, "status"))
        if state is JobState.SUCCEEDED:
            clip = Artifact(url=text_of(value, "url"), lives_s=60)
            return JobUpdate(state, artifacts=(clip,), usage=MediaUsage(video_ms=value["ms"]))
        failure = JobFailure("upstream_error", text_of(value, "why")) if state is JobState.FAILED else None
        return JobUpdate(state, failure=failure)

    def find(
        self,
        model: str,
        request: MediaRequest,
        reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        value = read((yield self.ask("GET", f"/jobs?ref={reference}")))
        ids = value.get("ids")
        if not isinstance(ids, list):
            raise upstream_broke("it is not a listing")
        ids = [id_ for id_ in ids if id_ not in owned]
        if len(ids) == 1:
            return UpstreamJob(ids[0])
        return Found.UNSURE if ids or not value.get("complete") else Found.NO

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        reply = yield self.ask("DELETE", f"/jobs/{job.id}")
        if reply.status == 409:
            return False
        read(reply)
        return True

    def with_callback(self, url: str) -> ToyJobs:
        wire = type(self)(Settings(api_key=self.key))
        wire.hook = url
        return wire

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> str | None:
        try:
            value = json.loads(body)
        except ValueError:
            return None
        return value.get("id") if isinstance(value, dict) else None


class ToyImages(Toy):
    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        if request.seed is not None:
            raise invalid_request("seed: not here.", param="seed")
        return MediaUsage(images=request.count)

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        body = {"prompt": request.prompt, "count": request.count}
        value = read((yield self.ask("POST", "/images", body, Effect.PAID)))
        if value.get("refused"):
            text = "The upstream refused it."
            raise UpstreamError(ErrorKind.UPSTREAM_REJECTED, text, code="policy", retryable=False, delivered=True)
        images = value.get("images")
        if not isinstance(images, list) or not images:
            raise upstream_broke("it has no image")
        artifacts = tuple(Artifact(data=base64.b64decode(data), media_type="image/png") for data in images)
        return MediaResult(artifacts, MediaUsage(images=len(images)))


class ToySpeech(Toy):
    formats: ClassVar[Sequence[str]] = ("wav",)

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        if request.format not in (None, *self.formats):
            raise invalid_request("response_format: wav only.", param="response_format")
        if request.speed is not None:
            raise invalid_request("speed: not here.", param="speed")
        return MediaUsage(characters=len(request.text))

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        value = read((yield self.ask("POST", "/speech", {"text": request.text}, Effect.PAID)))
        clip = Artifact(data=base64.b64decode(text_of(value, "audio")), media_type="audio/wav")
        return MediaResult((clip,), MediaUsage(characters=value["characters"]))

    def streams(self, model: str, request: SpeechRequest) -> str | None:
        return "audio/wav"

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest:
        return self.ask("POST", "/speech", {"text": request.text, "stream": True}, Effect.PAID)

    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> ToyReader:
        return ToyReader()

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)


class ToyReader:
    """Lines of ``{"audio": …}``, then one of ``{"characters": …}``."""

    def __init__(self) -> None:
        self.lines = LineSplitter()
        self.usage: MediaUsage | None = None

    def feed(self, data: bytes) -> bytes:
        return b"".join(self.heard(line) for line in self.lines.feed(data))

    def heard(self, line: bytes) -> bytes:
        try:
            value = json.loads(line)
            if "characters" in value:
                self.usage = MediaUsage(characters=value["characters"])
                return b""
            return base64.b64decode(value["audio"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise upstream_broke("a line cannot be read") from error

    def close(self) -> bytes:
        if self.usage is None:
            raise upstream_broke("it ended in the middle")
        return b""


class ToyProvider:
    """A fault replaces one of the wires."""

    job_wire: type[ToyJobs] = ToyJobs
    image_wire: type[ToyImages] = ToyImages
    speech_wire: type[ToySpeech] = ToySpeech

    def __init__(self, settings: Settings, _context: ProviderContext) -> None:
        self._settings = settings

    def jobs(self, kind: MediaKind) -> ToyJobs | None:
        return self.job_wire(self._settings) if kind is MediaKind.VIDEO else None

    def images(self) -> ToyImages:
        return self.image_wire(self._settings)

    def speech(self) -> ToySpeech:
        return self.speech_wire(self._settings)


TOY = ProviderType(name="toy", settings=Settings, build=ToyProvider, summary="A toy.")


class ToySimulator(JobSimulator):
    def step(self, request: Recorded) -> JobStep:
        match request.method, request.path:
            case "POST", "/jobs":
                return JobStep.SUBMIT
            case "POST", _:
                return JobStep.PAY
            case "GET", "/jobs":
                return JobStep.LIST
            case "DELETE", _:
                return JobStep.CANCEL
            case _:
                return JobStep.POLL

    def respond(self, request: Recorded) -> Answer:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.error(401)
        match self.step(request):
            case JobStep.SUBMIT:
                asked = request.json()
                return Answer.json({"id": self.accept(asked, handle=str(asked["ref"])).id})
            case JobStep.PAY:
                return self._paid(request)
            case JobStep.LIST:
                wanted = parse_qs(request.query)["ref"][0]
                found = [job.id for job in self.listing() if job.handle == wanted]
                return Answer.json({"ids": found, "complete": True})
            case step:
                job = self.known(request.path.rpartition("/")[2])
                if job is None:
                    return self.error(404)
                return self._cancelled(job) if step is JobStep.CANCEL else Answer.json(self._shown(job))

    def _paid(self, request: Recorded) -> Answer:
        asked = request.json()
        if request.path == "/images":
            value: dict[str, object] = {"images": [base64.b64encode(PNG).decode()] * int(str(asked["count"]))}
        else:
            text = str(asked["text"])
            value = {"audio": base64.b64encode(WAV).decode(), "characters": len(text)}
        answer = Answer.json(value)
        return Answer(answer.status, answer.body, answer.headers, executed=True)

    def _cancelled(self, job: Any) -> Answer:
        if self.state(job) is not SimulatedState.QUEUED:
            return self.error(409)
        self.cancel(job)
        return Answer.json({"ok": True})

    def _shown(self, job: Any) -> dict[str, object]:
        words = {"queued": "waiting", "running": "working", "succeeded": "done", "failed": "broken"}
        state = self.state(job)
        shown: dict[str, object] = {"id": job.id, "status": words.get(state.value, "gone")}
        if state is SimulatedState.SUCCEEDED:
            shown |= {"url": self.link(job), "ms": round(float(str(job.asked["seconds"])) * 1000)}
        return {**shown, "why": "It broke."} if state is SimulatedState.FAILED else shown


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, json.dumps(value).encode())


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class JobSuite(JobWireSuite):
    provider_type = TOY
    settings = {"api_key": KEY}
    samples = (
        JobSample(VideoRequest("m", "A fox"), MediaUsage(video_ms=5000)),
        JobSample(VideoRequest("m", "A fox", seconds=9), MediaUsage(video_ms=9000)),
    )
    refused = (Refused(VideoRequest("m", "A fox", seed=1), "seed"),)
    submitted = Told((reply({"id": "j1"}),), UpstreamJob("j1"))
    polls = (
        Told((reply({"status": "waiting"}),), JobUpdate(JobState.QUEUED)),
        Told((reply({"status": "working"}),), JobUpdate(JobState.IN_PROGRESS)),
        Told(
            (reply({"status": "done", "url": "https://x/1.mp4", "ms": 5000}),),
            JobUpdate(
                JobState.SUCCEEDED,
                artifacts=(Artifact(url="https://x/1.mp4", lives_s=60),),
                usage=MediaUsage(video_ms=5000),
            ),
        ),
        Told(
            (reply({"status": "broken", "why": "It broke."}),),
            JobUpdate(JobState.FAILED, failure=JobFailure("upstream_error", "It broke.")),
        ),
    )
    unknown_poll = (reply({"status": "dreaming"}),)
    finds = (
        Told((reply({"ids": [], "complete": True}),), Found.NO),
        Told((reply({"ids": [], "complete": False}),), Found.UNSURE),
        Told((reply({"ids": ["j1"]}),), UpstreamJob("j1")),
        Told((reply({"ids": ["j1", "j2"]}),), Found.UNSURE),
    )
    cancels = (Told((reply({"ok": True}),), True), Told((reply({}, 409),), False))
    callbacks = (({}, b'{"id": "j1"}', "j1"),)

    def simulator(self, clock: FakeClock) -> ToySimulator:
        return ToySimulator(clock=clock)


class ImageSuite(ImageWireSuite):
    provider_type = TOY
    settings = {"api_key": KEY}
    image_samples = (ImageSample(ImageRequest("m", "A fox", count=3), MediaUsage(images=3)),)
    refused_images = (RefusedImage(ImageRequest("m", "A fox", seed=1), "seed"),)
    pictured = (
        Pictured(
            ImageRequest("m", "A fox"),
            (reply({"images": [in_base64(PNG)]}),),
            MediaResult((Artifact(data=PNG, media_type="image/png"),), MediaUsage(images=1)),
        ),
    )
    blocked = reply({"refused": True})

    def image_simulator(self, clock: FakeClock) -> ToySimulator:
        return ToySimulator(clock=clock)


SPOKEN = SpeechRequest("m", "Hello there.", "alice")
STREAM = lines({"audio": in_base64(WAV[:5])}, {"audio": in_base64(WAV[5:])}, {"characters": 12})


class SpeechSuite(SpeechWireSuite):
    provider_type = TOY
    settings = {"api_key": KEY}
    speech_samples = (SpeechSample(SPOKEN, MediaUsage(characters=12)),)
    refused_speech = (RefusedSpeech(SpeechRequest("m", "Hello.", "alice", speed=2), "speed"),)
    spoken = (
        Spoken(
            SPOKEN,
            (reply({"audio": in_base64(WAV), "characters": 12}),),
            MediaResult((Artifact(data=WAV, media_type="audio/wav"),), MediaUsage(characters=12)),
        ),
    )
    streamed = (Streamed(SPOKEN, STREAM, WAV, usage=MediaUsage(characters=12)),)
    broken_stream = lines({"audio": in_base64(WAV[:5])}, {"error": "It broke."})

    def speech_simulator(self, clock: FakeClock) -> ToySimulator:
        return ToySimulator(clock=clock)


SUITES: tuple[type[Any], ...] = (JobSuite, ImageSuite, SpeechSuite)
