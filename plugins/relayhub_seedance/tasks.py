"""Ark's task objects, as the hub's updates."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from relayhub.sdk import Artifact, JobFailure, JobState, JobUpdate, MediaUsage, UpstreamJob, upstream_broke
from relayhub_seedance.errors import CONTENT_POLICY, ark_error, shown

LINK_LIVES_S = 86_400.0
FILE_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime"}

STATES: Mapping[str, JobState] = {
    "queued": JobState.QUEUED,
    "pending": JobState.QUEUED,
    "running": JobState.IN_PROGRESS,
    "processing": JobState.IN_PROGRESS,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
    "expired": JobState.FAILED,
}
"""``pending`` and ``processing`` are words of relays in front of Ark."""


def object_of(body: bytes) -> dict[str, object]:
    """Raises ``UpstreamError``."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not an object")
    return value


def id_of(task: Mapping[str, object]) -> str:
    """Raises ``UpstreamError``."""
    id_ = task.get("id")
    if not isinstance(id_, str) or not id_:
        raise upstream_broke("it has no task id")
    return id_


def update_of(task: Mapping[str, object], job: UpstreamJob) -> JobUpdate:
    """Raises ``UpstreamError`` if it is no task, or a success without a video."""
    status = task.get("status")
    if not isinstance(status, str):
        raise upstream_broke("it has no status")
    state = STATES.get(status)
    if state is JobState.SUCCEEDED:
        return JobUpdate(state, artifacts=_artifacts(task), usage=_usage(task, job))
    if state is JobState.FAILED:
        return JobUpdate(state, failure=_failure(task, status))
    return JobUpdate(state)


def _artifacts(task: Mapping[str, object]) -> tuple[Artifact, ...]:
    content = task.get("content")
    found = content if isinstance(content, dict) else {}
    video, frame = found.get("video_url"), found.get("last_frame_url")
    if not isinstance(video, str) or not video:
        raise upstream_broke("a task that succeeded has no video")
    media_type = FILE_TYPES.get(str(task.get("output_format") or "mp4"))
    clip = Artifact(url=video, media_type=media_type, lives_s=LINK_LIVES_S)
    if not isinstance(frame, str) or not frame:
        return (clip,)
    return (clip, Artifact(url=frame, lives_s=LINK_LIVES_S, note="last frame"))


def _usage(task: Mapping[str, object], job: UpstreamJob) -> MediaUsage | None:
    """``None`` if it does not say what was billed: what was measured beforehand is charged then."""
    usage = task.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        return None
    audio, resolution = task.get("generate_audio"), task.get("resolution")
    return MediaUsage(
        video_ms=_video_ms(task) or int(job.handle.get("video_ms", "0")),
        output_tokens=tokens,
        resolution=resolution.lower() if isinstance(resolution, str) else job.handle.get("resolution"),
        audio=audio if isinstance(audio, bool) and "audio" in job.handle else _flag(job.handle.get("audio")),
        input_kind=job.handle.get("input_kind", "text"),
    )


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "true"


def _video_ms(task: Mapping[str, object]) -> int:
    frames, rate, seconds = task.get("frames"), task.get("framespersecond"), task.get("duration")
    if isinstance(seconds, int | float) and seconds > 0:
        return round(seconds * 1000)
    if isinstance(frames, int) and isinstance(rate, int) and frames > 0 and rate > 0:
        return round(frames * 1000 / rate)
    return 0


def _failure(task: Mapping[str, object], status: str) -> JobFailure:
    """Only what succeeds is charged."""
    if status == "expired":
        return JobFailure("timeout", "The upstream did not finish the job in its time limit.")
    said = ark_error(task.get("error"))
    text = shown(said.message)
    if said.is_policy:
        audio = " Without sound (generate_audio=false) it may pass." if "OutputAudio" in said.code else ""
        return JobFailure(CONTENT_POLICY, (text or "The upstream's content filter refused it.") + audio)
    code = "invalid_request" if said.code.startswith(("InvalidParameter", "MissingParameter")) else "upstream_error"
    return JobFailure(code, text or "The upstream failed without saying why.")
