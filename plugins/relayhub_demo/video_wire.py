"""The demo's videos: the wire of their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from relayhub.sdk import (
    Artifact,
    JobFailure,
    JobState,
    JobUpdate,
    MediaInput,
    MediaRequest,
    MediaUsage,
    PollPace,
    Steps,
    UpstreamJob,
    VideoRequest,
    invalid_request,
    upstream_broke,
)
from relayhub_demo.film import LONGEST_S, USUAL_S
from relayhub_demo.media_wire import checked, free, post, read, refuse, refuse_unknown
from relayhub_demo.sizes import of_short_side, shape

SHORT_SIDES: Mapping[str, int] = {"480p": 480, "720p": 720, "1080p": 1080}
LONGEST_SIDE = 1920
STATES: Mapping[str, JobState] = {
    "queued": JobState.QUEUED,
    "in_progress": JobState.IN_PROGRESS,
    "completed": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}
REFUSED = 409


@dataclass(frozen=True, slots=True)
class Asked:
    body: Mapping[str, object]
    usage: MediaUsage


class DemoVideos:
    """A :class:`relayhub.sdk.JobWire` and :class:`relayhub.sdk.CancellingWire`. Any input changes the colour of the
    clip; nothing is fetched."""

    takes_data = True
    pace = PollPace(1.0, 1.0, 60.0, 5.0, 600.0, 60.0, 3600.0)

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        """Exactly what it will cost."""
        return _asked(model, request).usage

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        asked = _asked(model, request)
        video = read((yield post("/videos", {**asked.body, "reference": reference})))
        usage = asked.usage
        handle = {
            "video_ms": str(usage.video_ms),
            "resolution": str(usage.resolution),
            "input_kind": usage.input_kind,
            "size": str(usage.size),
        }
        return UpstreamJob(_text(video, "id"), handle)

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        video = read((yield free("GET", _path(job))))
        state = STATES.get(_text(video, "status"))
        match state:
            case JobState.SUCCEEDED:
                reply = checked((yield free("GET", f"{_path(job)}/content", accept="video/mp4")))
                if reply.body[4:8] != b"ftyp":
                    raise upstream_broke("the result is no video")
                clip = Artifact(data=reply.body, media_type="video/mp4")
                return JobUpdate(state, 100, (clip,), usage=_usage(job))
            case JobState.FAILED:
                return JobUpdate(state, failure=_failure(video))
            case _:
                progress = video.get("progress")
                return JobUpdate(state, progress if isinstance(progress, int) else None)

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        video = read((yield free("GET", _path(job))))
        state = STATES.get(_text(video, "status"))
        if state not in (JobState.QUEUED, JobState.IN_PROGRESS):
            return state is JobState.CANCELLED
        reply = yield free("DELETE", _path(job))
        if reply.status == REFUSED:
            return False
        checked(reply)
        return True


def _asked(model: str, request: MediaRequest) -> Asked:
    """Raises ``ClientError`` naming what the demo cannot honour."""
    if not isinstance(request, VideoRequest):
        raise invalid_request("model: this one makes videos only.", param="model")
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    refuse_unknown(
        request.vendor,
        {
            "negative_prompt": request.negative_prompt,
            "generate_audio": request.audio,
            "watermark": request.watermark,
        },
    )
    seconds = _seconds(request.seconds)
    resolution = (request.resolution or "720p").lower()
    size = _size(resolution, request.ratio or "16:9")
    given = [_known(one) for one in request.inputs]
    body = {
        "model": model,
        "prompt": request.prompt,
        "seconds": seconds,
        "size": size,
        "seed": request.seed,
        "inputs": given,
    }
    billed_s = max(seconds, request.billed_seconds or 0)
    kind = "text" if not given else "video" if any("video" in one.role for one in request.inputs) else "image"
    return Asked(body, MediaUsage(video_ms=round(billed_s * 1000), resolution=resolution, size=size, input_kind=kind))


def _seconds(said: float | None) -> int:
    seconds = USUAL_S if said is None else said
    if seconds not in range(1, LONGEST_S + 1):
        refuse("duration", f"the demo makes 1 to {LONGEST_S} whole seconds.")
    return int(seconds)


def _size(resolution: str, ratio: str) -> str:
    short, wide = SHORT_SIDES.get(resolution), shape(ratio)
    if short is None:
        refuse("resolution", f"the demo makes {', '.join(SHORT_SIDES)}.")
    if wide is None or short * max(wide, 1 / wide) > LONGEST_SIDE + 1:
        refuse("ratio", f"it must be width:height, and no side longer than {LONGEST_SIDE} pixels.")
    return of_short_side(wide, short)


def _known(given: MediaInput) -> list[str]:
    """What makes a difference between two inputs."""
    media = given.media
    return [given.role.value, media.url or media.file_id or media.data or ""]


def _usage(job: UpstreamJob) -> MediaUsage:
    handle = job.handle
    return MediaUsage(
        video_ms=int(handle.get("video_ms", "0")),
        resolution=handle.get("resolution"),
        size=handle.get("size"),
        input_kind=handle.get("input_kind", "text"),
    )


def _failure(video: Mapping[str, object]) -> JobFailure:
    error = video.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return JobFailure("upstream_error", message if isinstance(message, str) and message else "It failed.")


def _text(video: Mapping[str, object], name: str) -> str:
    value = video.get(name)
    if not isinstance(value, str) or not value:
        raise upstream_broke(f"it has no {name}")
    return value


def _path(job: UpstreamJob) -> str:
    return f"/videos/{quote(job.id, safe='')}"
