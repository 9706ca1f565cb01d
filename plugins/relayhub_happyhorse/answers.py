"""Reading DashScope's answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import orjson

from relayhub.sdk import Artifact, JobFailure, JobState, upstream_broke
from relayhub_happyhorse.errors import CONTENT_POLICY, POLICY, said_in, shown

LINK_LIVES_S = 86_400.0
UNKNOWN = "UNKNOWN"
STATES: Mapping[str, JobState] = {
    "PENDING": JobState.QUEUED,
    "SUSPENDED": JobState.QUEUED,
    "RUNNING": JobState.IN_PROGRESS,
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "CANCELED": JobState.CANCELLED,
}
"""Beside them there is ``UNKNOWN``: see :class:`relayhub_happyhorse.tasks.TaskWire`."""
PICTURES = {".png": "image/png", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".webp": "image/webp"}


def object_of(body: bytes) -> dict[str, object]:
    """Raises ``UpstreamError``."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not an object")
    return value


def output_of(answer: Mapping[str, object]) -> Mapping[str, object]:
    """Raises ``UpstreamError``."""
    output = answer.get("output")
    if not isinstance(output, dict):
        raise upstream_broke("it has no output")
    return output


def usage_of(answer: Mapping[str, object]) -> Mapping[str, object]:
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) else {}


def id_of(output: Mapping[str, object]) -> str:
    """Raises ``UpstreamError``."""
    id_ = output.get("task_id")
    if not isinstance(id_, str) or not id_:
        raise upstream_broke("it has no task id")
    return id_


def status_of(output: Mapping[str, object]) -> str:
    """Raises ``UpstreamError``."""
    status = output.get("task_status")
    if not isinstance(status, str):
        raise upstream_broke("it has no task status")
    return status


def failure_of(output: Mapping[str, object]) -> JobFailure:
    """Only what succeeds is charged."""
    said = said_in(output)
    text = shown(said.message)
    if said.code in POLICY:
        return JobFailure(CONTENT_POLICY, text or "The upstream's content filter refused it.")
    code = "invalid_request" if said.code.startswith("Invalid") else "upstream_error"
    return JobFailure(code, text or "The upstream failed without saying why.")


def images_in(output: Mapping[str, object]) -> tuple[tuple[Artifact, ...], tuple[object, ...]]:
    """The images, and what stands in place of those that were not made. Older models answer with ``results``, newer
    ones with ``choices``."""
    items = [*_list(output.get("results")), *_parts(output.get("choices"))]
    found = [url for item in items if (url := _url(item)) is not None]
    return tuple(map(_image, found)), tuple(item for item in items if _url(item) is None)


def _parts(choices: object) -> list[object]:
    messages = [choice.get("message") for choice in _list(choices) if isinstance(choice, dict)]
    return [part for message in messages if isinstance(message, dict) for part in _list(message.get("content"))]


def _url(item: object) -> str | None:
    value = (item.get("url") or item.get("image")) if isinstance(item, dict) else None
    return value if isinstance(value, str) and value else None


def _image(url: str) -> Artifact:
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    return Artifact(url=url, media_type=PICTURES.get(suffix), lives_s=LINK_LIVES_S)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def count(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None


def seconds(told: object) -> float | None:
    """May have a fraction."""
    return told if isinstance(told, int | float) and not isinstance(told, bool) and told >= 0 else None
