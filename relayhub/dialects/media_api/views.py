"""A job as each client shape shows it (fixtures: ``client/``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayhub.types.job import Job
from relayhub.types.json import JsonObject
from relayhub.types.media import JobState, MediaKind

HUB_PREFIX, TASK_PREFIX = "job_", "task_"
_PREFIXES = (HUB_PREFIX, TASK_PREFIX, "video_")

_HUB: Mapping[JobState, str] = {
    JobState.NEW: "queued",
    JobState.SUBMIT_UNKNOWN: "running",
    JobState.QUEUED: "queued",
    JobState.IN_PROGRESS: "running",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
_VIDEOS: Mapping[JobState, str] = {
    JobState.NEW: "queued",
    JobState.SUBMIT_UNKNOWN: "in_progress",
    JobState.QUEUED: "queued",
    JobState.IN_PROGRESS: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
_GENERATIONS: Mapping[JobState, str] = {
    JobState.NEW: "QUEUED",
    JobState.SUBMIT_UNKNOWN: "IN_PROGRESS",
    JobState.QUEUED: "QUEUED",
    JobState.IN_PROGRESS: "IN_PROGRESS",
    JobState.SUCCEEDED: "SUCCESS",
    JobState.FAILED: "FAILURE",
    JobState.CANCELLED: "FAILURE",
}
_CANCELLED = "The job was cancelled."


@dataclass(frozen=True, slots=True)
class Shown:
    """``links``: to its results, in their order."""

    job: Job
    links: Sequence[str] = ()

    @property
    def link(self) -> str | None:
        return self.links[0] if self.links else None


def canonical_id(shown: str) -> str:
    """The hub's own name for a job, by whatever name a client knows it."""
    for prefix in _PREFIXES:
        if shown.startswith(prefix):
            return TASK_PREFIX + shown[len(prefix) :]
    return shown


def _error(job: Job) -> JsonObject | None:
    if job.state is not JobState.FAILED:
        return None
    return {"code": job.error_code, "message": job.error_message}


# --- /api/video ---------------------------------------------------------------------------------------------------------


def hub_submitted(job: Job) -> JsonObject:
    return {"success": True, "data": {"jobId": HUB_PREFIX + job.id.removeprefix(TASK_PREFIX)}}


def hub_status(shown: Shown) -> JsonObject:
    job = shown.job
    data: JsonObject = {"status": _HUB[job.state], "progress": job.progress, "resultUrl": shown.link}
    if (error := _error(job)) is not None:
        data["error"] = error
    return {"success": True, "data": data}


# --- /v1/videos ---------------------------------------------------------------------------------------------------------


def video_created(job: Job) -> JsonObject:
    created: JsonObject = {
        "id": job.id,
        "task_id": job.id,
        "model": job.model,
        "status": _VIDEOS[job.state],
        "created_at": int(job.created_at),
    }
    if job.parent_id is not None:
        created["remixed_from_video_id"] = job.parent_id
    return created


def video_status(shown: Shown) -> JsonObject:
    job = shown.job
    status: JsonObject = {
        "id": job.id,
        "task_id": job.id,
        "model": job.model,
        "status": _VIDEOS[job.state],
        "progress": job.progress,
    }
    if shown.link is not None:
        status["metadata"] = {"url": shown.link}
    status["error"] = _error(job)
    return status


def video_deleted(job: Job) -> JsonObject:
    return {"id": job.id, "object": "video.deleted", "deleted": True}


# --- /v1/video/generations ----------------------------------------------------------------------------------------------


def generation_created(job: Job) -> JsonObject:
    return {"id": job.id, "task_id": job.id, "status": "queued"}


def generation_status(shown: Shown) -> JsonObject:
    job = shown.job
    data: JsonObject = {"status": _GENERATIONS[job.state], "progress": f"{job.progress}%"}
    if shown.link is not None:
        data["result_url"] = shown.link
    if job.state is JobState.FAILED:
        data["fail_reason"] = job.error_message
    if job.state is JobState.CANCELLED:
        data["fail_reason"] = _CANCELLED
    return {"data": data}


# --- /{platform}/v1 -----------------------------------------------------------------------------------------------------


def platform_video(job: Job) -> JsonObject:
    video: JsonObject = {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": _VIDEOS[job.state],
        "created_at": int(job.created_at),
    }
    if job.parent_id is not None:
        video["remixed_from_video_id"] = job.parent_id
    return video


def platform_detail(shown: Shown) -> JsonObject:
    """With ``?detail=true``."""
    job = shown.job
    detail: JsonObject = {
        "url": shown.link,
        "progress": job.progress,
        "seconds": None if job.seconds is None else f"{job.seconds:g}",
        "provider": job.provider,
    }
    if (error := _error(job)) is not None:
        detail["error"] = error
    return {**platform_video(job), "detail": detail}


# --- images that come later ---------------------------------------------------------------------------------------------


def image_task(shown: Shown, data: Sequence[JsonObject] | None = None) -> JsonObject:
    """``data``: the images, once it has succeeded."""
    job = shown.job
    task: JsonObject = {
        "id": job.id,
        "object": "image",
        "model": job.model,
        "status": _VIDEOS[job.state],
        "created_at": int(job.created_at),
    }
    if data is not None:
        task["data"] = list(data)
    if (error := _error(job)) is not None:
        task["error"] = error
    return task


# --- messages to clients ------------------------------------------------------------------------------------------------


def message(shown: Shown) -> JsonObject:
    """What a client that gave a ``callback_url`` is told at the end: its job as it would see it if it asked."""
    job = shown.job
    if job.kind is MediaKind.IMAGE:
        data: JsonObject = image_task(shown, [{"url": link} for link in shown.links] or None)
    else:
        views = {"hub.video": hub_status, "video.generations": generation_status, "platform.videos": platform_detail}
        data = views.get(job.dialect, video_status)(shown)
    return {"type": f"job.{job.state.value}", "job_id": job.id, "created_at": int(job.created_at), "data": data}
