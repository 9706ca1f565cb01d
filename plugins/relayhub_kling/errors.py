"""The error table of Kling. Six of its codes share one HTTP status: the code decides, where it is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError, read_upstream_error

MAX_TEXT = 500
LINK = re.compile(r"https?://\S+")
CONTENT_POLICY = "content_policy"

STALE_TOKEN = frozenset({1003, 1004})
NOT_FOUND = frozenset({1200, 1201, 1202, 1203})
"""What an id that the upstream does not know may be answered with; which of them is not documented."""
NO_RIGHT = 1103
POLICY = frozenset({1300, 1301})

MEANINGS: Mapping[int, int] = {
    1000: 401,
    1001: 401,
    1002: 401,
    1003: 401,
    1004: 401,
    1100: 402,
    1101: 402,
    1102: 402,
    1103: 403,
    1200: 400,
    1201: 400,
    1202: 404,
    1203: 404,
    1300: 400,
    1301: 400,
    1302: 429,
    1303: 429,
    1304: 403,
    5000: 500,
    5001: 503,
    5002: 504,
}
"""The HTTP status that says best what a code means."""


@dataclass(frozen=True, slots=True)
class KlingError:
    """``code``: 0 is success, ``None`` is none that could be read."""

    code: int | None = None
    message: str = ""
    request_id: str = ""


def said_in(value: object) -> KlingError:
    """Of an answer, read as JSON."""
    if not isinstance(value, dict):
        return KlingError()
    code, message, request_id = value.get("code"), value.get("message"), value.get("request_id")
    return KlingError(
        _whole(code),
        message if isinstance(message, str) else "",
        request_id if isinstance(request_id, str) else "",
    )


def json_of(body: bytes) -> object:
    """``None`` for what is no JSON."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value


def read_error(reply: HttpReply, secrets: Iterable[str]) -> UpstreamError:
    """A non-2xx answer, or one that is a refusal by its code."""
    said = said_in(json_of(reply.body))
    error = _meant(reply, said, tuple(secrets))
    error.status = reply.status
    notes = (error.detail, f"code {said.code}" if said.code is not None else None, said.request_id or None)
    error.detail = ", ".join(filter(None, notes)) or None
    return error


def _meant(reply: HttpReply, said: KlingError, secrets: tuple[str, ...]) -> UpstreamError:
    status = _status(reply.status, said.code)
    if said.code == NO_RIGHT and status == 403:
        return _no_right(said, secrets)
    code = CONTENT_POLICY if said.code in POLICY else str(said.code) if said.code is not None else None
    meant = HttpReply(status, reply.headers, reply.body)
    return read_upstream_error(meant, said.message, code=code, secrets=secrets)


def _status(http: int, code: int | None) -> int:
    """A refusal that comes with a 5xx is not believed: it may have been executed before."""
    meaning = MEANINGS.get(code) if code is not None else None
    if meaning is None:
        return http if http >= 300 else 502
    if http < 500:
        return meaning
    return meaning if meaning >= 500 and (meaning != 503 or http == 503) else http


def _no_right(said: KlingError, secrets: tuple[str, ...]) -> UpstreamError:
    detail = read_upstream_error(HttpReply(400, {}, b""), said.message, secrets=secrets).message
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The hub's account at the upstream has no access to this model; tell its operator.",
        code="upstream_model_unavailable",
        retryable=True,
        delivered=False,
        detail=detail,
    )


def shown(message: str, secrets: Iterable[str] = ()) -> str:
    """As a client may see it: cut, without anything that looks like a credential or a link."""
    if not message:
        return ""
    return LINK.sub("…", read_upstream_error(HttpReply(400, {}, b""), message, secrets=secrets).message)[:MAX_TEXT]


def _whole(value: object) -> int | None:
    """Some relays write the code as a text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 6:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
