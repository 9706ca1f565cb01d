"""Errors of upstreams of this dialect: ``google.rpc.Status`` bodies, also alone in a list."""

from __future__ import annotations

import math
from collections.abc import Iterator

import orjson

from relayhub.dialects import upstream_errors
from relayhub.dialects.openai_chat.upstream_json import objects, string
from relayhub.dialects.upstream_errors import MAX_RETRY_AFTER_S
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.json import Json, JsonObject

_PREFIX = "type.googleapis.com/google.rpc."
RETRY_INFO, ERROR_INFO, QUOTA_FAILURE = f"{_PREFIX}RetryInfo", f"{_PREFIX}ErrorInfo", f"{_PREFIX}QuotaFailure"
BAD_REQUEST, REQUEST_INFO = f"{_PREFIX}BadRequest", f"{_PREFIX}RequestInfo"

_LIMITED = frozenset({ErrorKind.UPSTREAM_RATE_LIMITED, ErrorKind.UPSTREAM_OVERLOADED})


def decode_error(reply: HttpReply) -> UpstreamError:
    """A non-2xx answer. A key that the upstream does not know, a region or an account that it does not serve, and a
    spent daily quota are the hub's own problems."""
    said = _status_of(_json(reply.body))
    error = upstream_errors.decode_error(HttpReply(_meaning(reply.status, said), reply.headers, reply.body))
    error.status = reply.status
    return _completed(error, said)


def in_band_error(value: Json) -> UpstreamError:
    """The error object of a chunk, or of a 200 body. It counts as delivered: the answer had begun."""
    said = value if isinstance(value, dict) else {}
    status = said.get("code")
    meaning = _meaning(status if type(status) is int else 0, said)
    code = "insufficient_quota" if meaning == 402 else meaning
    error = upstream_errors.in_stream_error({**said, "code": code} if said else value)
    return _completed(error, said)


def raise_error_body(body: bytes) -> None:
    """Where a stream was expected: raises if the upstream answered with a bare error object instead, or one in a
    list."""
    value = _json(body) if body.lstrip()[:1] in (b"{", b"[") else None
    status = _status_of(value)
    if status:
        raise in_band_error(status)


def _json(body: bytes) -> Json:
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value


def _status_of(value: Json) -> JsonObject:
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _meaning(status: int, said: JsonObject) -> int:
    """The status that says by itself what this one says by its details."""
    reasons = {string(detail.get("reason")) for detail in objects(said.get("details"))}
    if "API_KEY_INVALID" in reasons or (status == 400 and said.get("status") == "FAILED_PRECONDITION"):
        return 403
    if status == 429 and any("PerDay" in quota for quota in _quotas(said)):
        return 402
    return status


def _quotas(said: JsonObject) -> Iterator[str]:
    for detail in objects(said.get("details")):
        if detail.get("@type") == QUOTA_FAILURE:
            yield from (string(violation.get("quotaId")) for violation in objects(detail.get("violations")))


def _completed(error: UpstreamError, said: JsonObject) -> UpstreamError:
    if error.kind in _LIMITED and error.retry_after_s is None:
        error.retry_after_s = _retry_delay(said)
    if error.kind is ErrorKind.UPSTREAM_REJECTED and error.code.isdigit():
        error.code = (error.type or "upstream_rejected").lower()
    return error


def _retry_delay(said: JsonObject) -> float | None:
    """Seconds, of a duration such as ``3.5s``."""
    delays = (detail.get("retryDelay") for detail in objects(said.get("details")) if detail.get("@type") == RETRY_INFO)
    text = string(next(delays, None)).removesuffix("s")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= MAX_RETRY_AFTER_S else None
