"""Kling's task objects, of both generations, as the hub's updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from relayhub.sdk import (
    Artifact,
    HttpReply,
    JobFailure,
    JobState,
    JobUpdate,
    MediaUsage,
    UpstreamJob,
    upstream_broke,
)
from relayhub_kling.asked import Api
from relayhub_kling.errors import CONTENT_POLICY, json_of, read_error, said_in, shown

LINK_LIVES_S = 30 * 86_400.0

STATES: Mapping[str, JobState] = {
    "submitted": JobState.QUEUED,
    "processing": JobState.IN_PROGRESS,
    "succeed": JobState.SUCCEEDED,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
}
"""The classic API says ``succeed``, the second generation ``succeeded``."""

POLICY_MARKS = ("risk control", "policy", "sensitive", "safety", "moderation", "violat")
"""In what a failed task says; there is no code in it."""
FILE_TYPES = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Output:
    """``watermarked``: a link to the same with a watermark; ``seconds``: 0 where it does not say."""

    kind: str
    url: str
    watermarked: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """``external_id``: the reference that it was made with, if it says so; ``created_s``: unix seconds; ``charged``: it
    says what it cost, and that is not nothing."""

    id: str
    status: str
    message: str = ""
    external_id: str | None = None
    created_s: float | None = None
    outputs: Sequence[Output] = ()
    charged: bool = False


# --- answers ----------------------------------------------------------------------------------------------------------


def payload(reply: HttpReply, secrets: Iterable[str]) -> object:
    """``data`` of an answer. Raises ``UpstreamError`` for a refusal, whatever its HTTP status, and for what is none of
    Kling's answers."""
    if not 200 <= reply.status < 300:
        raise read_error(reply, secrets)
    answer = json_of(reply.body)
    said = said_in(answer)
    if not isinstance(answer, dict) or said.code is None:
        raise upstream_broke("it is not an answer of this API")
    if said.code != 0:
        raise read_error(reply, secrets)
    return answer.get("data")


def task_of(value: object, api: Api) -> Task:
    """Raises ``UpstreamError``."""
    if not isinstance(value, dict):
        raise upstream_broke("it has no task")
    task = _classic(value) if api is Api.CLASSIC else _second(value)
    if not task.id:
        raise upstream_broke("it has no task id")
    return task


def _classic(value: Mapping[str, object]) -> Task:
    info = value.get("task_info")
    return Task(
        id=_id_of(value),
        status=_text(value.get("task_status")),
        message=_text(value.get("task_status_msg")),
        external_id=_text(info.get("external_task_id")) or None if isinstance(info, dict) else None,
        created_s=_seconds(value.get("created_at")),
        outputs=_classic_outputs(value.get("task_result")),
        charged=_amount(value.get("final_unit_deduction")) > 0,
    )


def _classic_outputs(result: object) -> Sequence[Output]:
    found = result if isinstance(result, dict) else {}
    lists = (("video", found.get("videos")), ("image", found.get("images")))
    return [_output(kind, item) for kind, items in lists for item in _items(items)]


def _second(value: Mapping[str, object]) -> Task:
    billing = _items(value.get("billing"))
    return Task(
        id=_id_of(value),
        status=_text(value.get("status")),
        message=_text(value.get("message")),
        external_id=_text(value.get("external_id")) or None,
        created_s=_seconds(value.get("create_time")),
        outputs=[_output(_text(item.get("type")), item) for item in _items(value.get("outputs"))],
        charged=any(_amount(item.get("amount")) > 0 for item in billing),
    )


def _output(kind: str, item: Mapping[str, object]) -> Output:
    links = _text(item.get("url")), _text(item.get("watermark_url"))
    return Output(kind, *links, _amount(item.get("duration")))


# --- updates ----------------------------------------------------------------------------------------------------------


def update_of(task: Task, job: UpstreamJob, secrets: Iterable[str]) -> JobUpdate:
    """Raises ``UpstreamError`` if it has no status, or is a success without a result."""
    if not task.status:
        raise upstream_broke("it has no status")
    state = STATES.get(task.status)
    if state is JobState.SUCCEEDED:
        artifacts = _artifacts(task, job)
        return JobUpdate(state, artifacts=artifacts, usage=_usage(task, job))
    if state is JobState.FAILED:
        return JobUpdate(state, failure=_failure(task, secrets))
    return JobUpdate(state)


def _artifacts(task: Task, job: UpstreamJob) -> tuple[Artifact, ...]:
    kind = "image" if "images" in job.handle else "video"
    marked = job.handle.get("watermarked") == "true"
    links = [(marked and output.watermarked) or output.url for output in task.outputs if output.kind == kind]
    if not links or not all(links):
        raise upstream_broke(f"a task that succeeded has no {kind}")
    return tuple(Artifact(url=link, media_type=_media_type(link, kind), lives_s=LINK_LIVES_S) for link in links)


def _media_type(link: str, kind: str) -> str | None:
    path = urlsplit(link).path.lower()
    usual = "video/mp4" if kind == "video" else None
    return next((name for suffix, name in FILE_TYPES.items() if path.endswith(suffix)), usual)


def _usage(task: Task, job: UpstreamJob) -> MediaUsage:
    """Kling bills the length that was asked for, not the 5.041 seconds of the file; units are no money."""
    handle = job.handle
    audio = handle.get("audio")
    return MediaUsage(
        video_ms=int(handle["video_ms"]) if "video_ms" in handle else _length_ms(task, int(handle.get("most_ms", "0"))),
        images=min(len(task.outputs), int(handle.get("images", "0"))),
        resolution=handle.get("resolution"),
        size=handle.get("size"),
        quality=handle.get("quality"),
        audio=None if audio is None else audio == "true",
        input_kind=handle.get("input_kind", "text"),
    )


def _length_ms(task: Task, most_ms: int) -> int:
    """Of what is as long as the video that went in: whole seconds, as for all others."""
    seconds = sum(round(output.seconds) for output in task.outputs if output.kind == "video")
    return min(seconds * 1000, most_ms) if seconds > 0 else most_ms


def _failure(task: Task, secrets: Iterable[str]) -> JobFailure:
    text = shown(task.message, secrets)
    lower = task.message.lower()
    if any(mark in lower for mark in POLICY_MARKS):
        return JobFailure(CONTENT_POLICY, text or "The upstream's content filter refused it.", task.charged)
    return JobFailure("upstream_error", text or "The upstream failed without saying why.", task.charged)


# --- values -----------------------------------------------------------------------------------------------------------


def _id_of(value: Mapping[str, object]) -> str:
    """By either generation's name: an acceptance that cannot be read is a job that is paid and lost."""
    return _text(value.get("task_id")) or _text(value.get("id"))


def _text(value: object) -> str:
    """Some copies of the documents show ids as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    """From milliseconds."""
    return value / 1000 if isinstance(value, int | float) and not isinstance(value, bool) else None


def _amount(value: object) -> float:
    try:
        amount = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return 0.0
    return amount if math.isfinite(amount) else 0.0


def _items(value: object) -> Sequence[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
