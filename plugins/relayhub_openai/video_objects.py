"""The upstream's video objects, as the hub's updates: OpenAI's own shape, and what relays make of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from relayhub.sdk import JobFailure, JobState, MediaUsage, UpstreamJob, upstream_broke
from relayhub_openai.endpoint import CONTENT_POLICY, POLICY

MAX_TEXT = 500
LINK = re.compile(r"https?://\S+")
LONGEST_S = 3600.0
STATES: Mapping[str, JobState] = {
    "queued": JobState.QUEUED,
    "pending": JobState.QUEUED,
    "submitted": JobState.QUEUED,
    "in_progress": JobState.IN_PROGRESS,
    "processing": JobState.IN_PROGRESS,
    "running": JobState.IN_PROGRESS,
    "completed": JobState.SUCCEEDED,
    "succeeded": JobState.SUCCEEDED,
    "success": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "failure": JobState.FAILED,
    "expired": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
    "canceled": JobState.CANCELLED,
}
"""Beside OpenAI's four words those of relays, in small letters."""
LINKS = ("url", "video_url", "result_url")
HOLDERS = ("metadata", "output", "content", "result")


def inner(answer: Mapping[str, object]) -> Mapping[str, object]:
    """Without the envelope that some relays put around it."""
    data = answer.get("data")
    return data if "status" not in answer and isinstance(data, dict) else answer


def id_of(video: Mapping[str, object]) -> str:
    """Raises ``UpstreamError``."""
    for name in ("id", "task_id"):
        id_ = video.get(name)
        if isinstance(id_, str) and id_:
            return id_
    raise upstream_broke("it has no video id")


def state_of(video: Mapping[str, object]) -> tuple[str, JobState | None]:
    """The word, and what it means. Raises ``UpstreamError``."""
    status = video.get("status")
    if not isinstance(status, str) or not status:
        raise upstream_broke("it has no status")
    return status.lower(), STATES.get(status.lower())


def progress_of(video: Mapping[str, object]) -> int | None:
    """A number, or ``"50%"``."""
    told = video.get("progress")
    text = told.removesuffix("%") if isinstance(told, str) else str(told)
    return min(int(float(text)), 100) if re.fullmatch(r"\d{1,3}(\.\d+)?", text) else None


def link_of(video: Mapping[str, object]) -> str | None:
    """OpenAI's object has none: the bytes are behind ``/content``."""
    holders = [video, *(inside for name in HOLDERS if isinstance(inside := video.get(name), dict))]
    links = (holder.get(name) for holder in holders for name in LINKS)
    return next((link for link in links if isinstance(link, str) and link.startswith(("https://", "http://"))), None)


def failure_of(video: Mapping[str, object], word: str, said: str) -> JobFailure:
    """``said``: the upstream's text, made fit to be shown."""
    if word == "expired":
        return JobFailure("timeout", "The upstream did not finish the job in its time limit.")
    error = video.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    text = LINK.sub("…", said)[:MAX_TEXT] or "The upstream does not say why."
    return JobFailure(CONTENT_POLICY if code in POLICY else "upstream_error", text)


def said_in(video: Mapping[str, object]) -> str:
    """The upstream's own text of a failure."""
    error = video.get("error")
    told = error.get("message") if isinstance(error, dict) else error or video.get("fail_reason")
    return told if isinstance(told, str) else ""


def handle_of(usage: MediaUsage) -> dict[str, str]:
    """What chooses the price, for answers that do not say it."""
    known = {"resolution": usage.resolution, "size": usage.size, "audio": _word(usage.audio)}
    told = {name: value for name, value in known.items() if value is not None}
    return {"video_ms": str(usage.video_ms), "input_kind": usage.input_kind, **told}


def usage_of(video: Mapping[str, object], job: UpstreamJob) -> MediaUsage:
    """What was measured, with the length that was really made, where the upstream tells it."""
    handle = job.handle
    measured = MediaUsage(
        video_ms=int(handle.get("video_ms", "0")),
        resolution=handle.get("resolution"),
        size=handle.get("size"),
        audio={"true": True, "false": False}.get(handle.get("audio", "")),
        input_kind=handle.get("input_kind", "text"),
    )
    seconds = _seconds(video.get("seconds"))
    return measured if seconds is None else replace(measured, video_ms=round(seconds * 1000))


def _seconds(told: object) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    text = str(told)
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text):
        return None
    return float(text) if 0 < float(text) <= LONGEST_S else None


def _word(flag: bool | None) -> str | None:
    return None if flag is None else str(flag).lower()
