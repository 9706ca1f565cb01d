"""Reading what both vendors answer: JSON objects, numbers, and clips behind links."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson

from relayhub.sdk import Effect, HttpRequest, Steps, upstream_broke

TRIES = 3
"""To fetch a clip, which is paid for by then."""
GONE = (401, 403, 404, 410)
MAX_BELIEVED = 1 << 31


def object_of(body: bytes) -> dict[str, object]:
    """Raises ``UpstreamError`` for anything else."""
    value = _loaded(body)
    if not isinstance(value, dict):
        raise upstream_broke("it is not a JSON object")
    return value


def object_or_nothing(body: bytes) -> dict[str, object]:
    value = _loaded(body)
    return value if isinstance(value, dict) else {}


def inner(told: Mapping[str, object], name: str) -> dict[str, object]:
    """The object under ``name``, empty where there is none."""
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def count_of(told: object, otherwise: int) -> int:
    if isinstance(told, bool) or not isinstance(told, int):
        return otherwise
    return told if 0 <= told <= MAX_BELIEVED else otherwise


def is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json")


def fetched(link: str) -> Steps[bytes]:
    """The bytes behind a link. It is asked without the credential, and again where that may help: it costs nothing, and
    the clip is paid for."""
    if not is_link(link):
        raise upstream_broke("the link to its clip is none")
    status = 0
    for _ in range(TRIES):
        reply = yield HttpRequest("GET", link, {"accept": "*/*"}, effect=Effect.NONE)
        if 200 <= reply.status < 300 and reply.body:
            return reply.body
        status = reply.status
        if status in GONE:
            break
    raise upstream_broke("its clip could not be fetched", detail=f"the link to it answered with status {status}")


def is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    sendable = text.isascii() and text.isprintable() and " " not in text
    return sendable and parts.scheme in ("http", "https") and bool(parts.hostname)


def _loaded(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value
