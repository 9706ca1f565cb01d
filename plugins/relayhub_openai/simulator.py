"""A stand-in for an upstream that serves OpenAI's media API: speech, images and the Video API, as strict as the real one.

Forms are read with the standard library, not with the plugin's own writer."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

import orjson

from relayhub.testing import Answer, JobSimulator, JobStep, Recorded, SimulatedJob, SimulatedState

VIDEOS, SPEECH, GENERATIONS, EDITS = "/videos", "/audio/speech", "/images/generations", "/images/edits"
PNG = b"\x89PNG\r\n\x1a\n simulated image"
SOUNDS: Mapping[str, tuple[str, bytes]] = {
    "mp3": ("audio/mpeg", b"\xff\xfb\x90\x64"),
    "opus": ("audio/ogg", b"OggS"),
    "aac": ("audio/aac", b"\xff\xf1"),
    "flac": ("audio/flac", b"fLaC"),
    "wav": ("audio/wav", b"RIFF"),
    "pcm": ("audio/pcm", b"\x01\x00"),
}
TOKENS = {"low": 272, "medium": 1056, "high": 4160}
IMAGE_FIELDS = frozenset(
    {"model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"}
)
EDIT_FIELDS = IMAGE_FIELDS | {"image", "image[]", "mask", "input_fidelity"}
SPEECH_FIELDS = frozenset({"model", "input", "voice", "response_format", "speed", "instructions", "stream_format"})
VIDEO_FIELDS = frozenset({"model", "prompt", "seconds", "size", "input_reference"})
VIDEO_SIZES = frozenset({"720x1280", "1280x720", "1024x1792", "1792x1024", "1080x1920", "1920x1080"})
WXH = re.compile(r"(\d+)x(\d+)")
STATUSES = {SimulatedState.RUNNING: "in_progress", SimulatedState.SUCCEEDED: "completed"}


class Rejected(Exception):
    """``param``: what is to blame."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param


@dataclass(frozen=True, slots=True)
class Field:
    """Of a form. ``file_name`` for files only."""

    name: str
    content: bytes
    file_name: str | None


class OpenAIMediaSimulator(JobSimulator):
    """``keys``: what is accepted as an API key. ``root``: the path of the base URL. ``linked``: finished videos have a link
    in ``metadata.url``, as relays do it, instead of being had from ``/content``."""

    def __init__(
        self, *, keys: tuple[str, ...] = ("sk-key",), root: str = "/v1", linked: bool = False, **more: Any
    ) -> None:
        super().__init__(**more)
        self._keys = keys
        self._root = root
        self._gives_links = linked

    def make_id(self, number: int) -> str:
        return f"video_{number:024x}"

    def error(self, status: int) -> Answer:
        return _error(Rejected(status, f"It failed with {status}."))

    def step(self, request: Recorded) -> JobStep:
        path = request.path.removeprefix(self._root)
        match request.method, path.split("/")[1:]:
            case "POST", ["videos"] | ["videos", _, "remix"]:
                return JobStep.SUBMIT
            case "GET", ["videos"]:
                return JobStep.LIST
            case "GET" | "HEAD", ["videos", _] | ["videos", _, "content"]:
                return JobStep.POLL
            case "DELETE", ["videos", _]:
                return JobStep.CANCEL
            case _:
                return JobStep.PAY if path in (SPEECH, GENERATIONS, EDITS) else JobStep.OTHER

    def respond(self, request: Recorded) -> Answer:
        try:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or key not in self._keys:
                raise Rejected(401, "Incorrect API key provided.")
            return self._served(request)
        except Rejected as rejected:
            return _error(rejected)

    def _served(self, request: Recorded) -> Answer:
        serve: Mapping[JobStep, Callable[[Recorded], Answer]] = {
            JobStep.SUBMIT: self._create,
            JobStep.LIST: self._list,
            JobStep.POLL: self._look,
            JobStep.CANCEL: self._delete,
            JobStep.PAY: self._pay,
        }
        return serve.get(self.step(request), _no_route)(request)

    # --- videos -------------------------------------------------------------------------------------------------------

    def _create(self, request: Recorded) -> Answer:
        if request.path.endswith("/remix"):
            return self._remix(request)
        asked = _fields(request)
        _only(asked, VIDEO_FIELDS)
        _text(asked, "prompt", 32_000)
        _text(asked, "model", 200)
        _require("seconds", asked.get("seconds", "4") in ("4", "8", "12"))
        _require("size", asked.get("size", "720x1280") in VIDEO_SIZES)
        reference = asked.get("input_reference")
        _require("input_reference", reference is None or _is_picture(reference))
        job = self.accept(asked, handle=str(asked["prompt"]))
        return Answer.json(self.video(job))

    def _remix(self, request: Recorded) -> Answer:
        source = self._job(request)
        _require("video_id", self.state(source) is SimulatedState.SUCCEEDED)
        asked = request.json()
        _only(asked, frozenset({"prompt"}))
        _text(asked, "prompt", 32_000)
        inherited = {name: value for name, value in source.asked.items() if name in ("model", "seconds", "size")}
        job = self.accept({**inherited, **asked, "source": source.id}, handle=str(asked["prompt"]))
        return Answer.json(self.video(job))

    def _look(self, request: Recorded) -> Answer:
        job = self._job(request)
        if not request.path.endswith("/content"):
            return Answer.json(self.video(job))
        if self.state(job) is not SimulatedState.SUCCEEDED:
            raise Rejected(409, "The video is not ready.")
        # To a HEAD no body may follow: it would be taken for the next answer on the connection.
        return Answer() if request.method == "HEAD" else self.result(job, "video.mp4")

    def _delete(self, request: Recorded) -> Answer:
        job = self._job(request)
        match self.state(job):
            case SimulatedState.QUEUED:
                self.cancel(job)
            case SimulatedState.RUNNING | SimulatedState.CANCELLED:
                raise Rejected(409, "The video is being made and cannot be deleted.")
            case _:
                self.forget(job)
        return Answer.json({"id": job.id, "object": "video.deleted", "deleted": True})

    def _list(self, request: Recorded) -> Answer:
        query = parse_qs(request.query)
        size, after = int(query.get("limit", ["20"])[0]), query.get("after", [""])[0]
        _require("limit", 1 <= size <= 100)
        videos = [self.video(job) for job in self.listing()]
        ids = [str(video["id"]) for video in videos]
        start = ids.index(after) + 1 if after in ids else 0
        page = videos[start : start + size]
        return Answer.json({"object": "list", "data": page, "has_more": start + size < len(videos)})

    def _job(self, request: Recorded) -> SimulatedJob:
        job = self.known(request.path.removeprefix(self._root).split("/")[2])
        if job is None:
            raise Rejected(404, "Video not found.")
        return job

    def video(self, job: SimulatedJob) -> dict[str, object]:
        """The object of all answers."""
        state = self.state(job)
        failure = job.fate.failure if state is SimulatedState.FAILED else None
        done = state is SimulatedState.SUCCEEDED
        return {
            "id": job.id,
            "object": "video",
            "model": job.asked["model"],
            "status": STATUSES.get(state, state.value),
            "progress": 100 if done else 50 if state is SimulatedState.RUNNING else 0,
            "created_at": int(job.created_at),
            "seconds": job.asked.get("seconds", "4"),
            "size": job.asked.get("size", "720x1280"),
            "prompt": job.asked["prompt"],
            "remixed_from_video_id": job.asked.get("source"),
            "error": {"code": failure[0], "message": failure[1]} if failure else None,
            **({"metadata": {"url": self.link(job)}} if done and self._gives_links else {}),
        }

    # --- images and speech --------------------------------------------------------------------------------------------

    def _pay(self, request: Recorded) -> Answer:
        path = request.path.removeprefix(self._root)
        answer = _speak(request) if path == SPEECH else _paint(request, edits=path == EDITS)
        return Answer(answer.status, answer.body, answer.headers, executed=True)


def _speak(request: Recorded) -> Answer:
    asked = request.json()
    _only(asked, SPEECH_FIELDS)
    text = _text(asked, "input", 4096)
    _text(asked, "voice", 100)
    _require("response_format", asked.get("response_format", "mp3") in SOUNDS)
    speed, events = asked.get("speed", 1), asked.get("stream_format") == "sse"
    _require("speed", isinstance(speed, int | float) and 0.25 <= speed <= 4)
    modern = str(asked.get("model")).startswith("gpt-")
    _require("stream_format", modern or not events)
    _require("instructions", modern or "instructions" not in asked)
    kind, sound = SOUNDS[str(asked.get("response_format", "mp3"))]
    audio = sound + text.encode()
    if not events:
        return Answer(200, audio, {"content-type": kind})
    delta = {"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()}
    usage = {"input_tokens": len(text.split()), "output_tokens": 3 * len(text)}
    done = {"type": "speech.audio.done", "usage": usage}
    body = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in (delta, done))
    return Answer(200, body, {"content-type": "text/event-stream"})


def _paint(request: Recorded, *, edits: bool) -> Answer:
    asked = _fields(request) if edits else request.json()
    _only(asked, EDIT_FIELDS if edits else IMAGE_FIELDS)
    _text(asked, "prompt", 32_000)
    pictures = [value for name in ("image", "image[]") for value in _all(asked.get(name))]
    _require("image", all(map(_is_picture, pictures)) and bool(pictures) is edits and len(pictures) <= 16)
    _require("mask", asked.get("mask") is None or _is_picture(asked["mask"]))
    count, quality, size = (
        int(str(asked.get("n", 1))),
        str(asked.get("quality", "auto")),
        str(asked.get("size", "auto")),
    )
    _require("n", 1 <= count <= 10)
    _require("quality", quality in (*TOKENS, "auto"))
    sides = WXH.fullmatch("1024x1024" if size == "auto" else size)
    _require("size", sides is not None and all(int(side) % 16 == 0 for side in sides.groups()))
    pixels = int(sides[1]) * int(sides[2]) if sides else 0
    tokens = count * -(-TOKENS.get(quality, 4160) * pixels // 1024**2)
    put_in = 12 + 4000 * len(pictures)
    answer = {
        "created": 1_794_300_000,
        "data": [{"b64_json": base64.b64encode(PNG).decode()}] * count,
        "usage": {"input_tokens": put_in, "output_tokens": tokens, "total_tokens": put_in + tokens},
        "size": sides[0] if sides else size,
        "quality": "high" if quality == "auto" else quality,
        "output_format": asked.get("output_format", "png"),
    }
    return Answer.json(answer)


# --- what is checked --------------------------------------------------------------------------------------------------


def _fields(request: Recorded) -> dict[str, object]:
    """Of a JSON body or a form; of a form, files stay what they are, and a repeated name is a list."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return request.json()
    whole = BytesParser().parsebytes(f"content-type: {kind}\r\n\r\n".encode() + request.body)
    _require("body", whole.is_multipart() and not whole.defects)
    found: dict[str, object] = {}
    for field in map(_field, whole.get_payload()):
        value = field if field.file_name is not None else field.content.decode()
        earlier = found.get(field.name)
        found[field.name] = value if earlier is None else [*_all(earlier), value]
    return found


def _field(part: Any) -> Field:
    name, file_name = part.get_param("name", header="content-disposition"), part.get_filename()
    return Field(str(name), part.get_payload(decode=True), file_name)


def _all(value: object) -> Sequence[object]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _is_picture(value: object) -> bool:
    if isinstance(value, dict):
        return str(value.get("image_url", "")).startswith(("https://", "data:image/"))
    return isinstance(value, Field) and value.content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF"))


def _only(asked: Mapping[str, object], known: frozenset[str]) -> None:
    for name in asked.keys() - known:
        raise Rejected(400, f"Unknown parameter: '{name}'.", name)


def _text(asked: Mapping[str, object], name: str, most: int) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise Rejected(400, f"Invalid '{name}'.", name)
    return value


def _require(name: str, fine: bool) -> None:
    if not fine:
        raise Rejected(400, f"Invalid value for '{name}'.", name)


def _no_route(request: Recorded) -> Answer:
    raise Rejected(404, f"Invalid URL ({request.method} {request.path})")


def _error(rejected: Rejected) -> Answer:
    kind = "invalid_request_error" if rejected.status < 500 else "server_error"
    error = {"message": rejected.message, "type": kind, "param": rejected.param, "code": None}
    return Answer.json({"error": error}, rejected.status)
