"""Reading an upstream's errors: its non-2xx answers, and error objects inside an answer that began as a 200."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from relayhub.dialects.error_rules import UPSTREAM_CREDENTIALS, UPSTREAM_QUOTA
from relayhub.dialects.redact import redact, shown
from relayhub.types import limits
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.json import Json

MAX_RETRY_AFTER_S = 24 * 3600.0
"""Longer waits are not believed; a route would otherwise rest for ever."""

_QUOTA = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
    }
)
_CREDENTIALS = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "permission_denied",
        "unauthorized",
        "API_KEY_INVALID",
    }
)
_RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "requests", "tokens", "too_many_requests", "429"})
_OVERLOAD = frozenset(
    {"server_is_overloaded", "slow_down", "overloaded_error", "service_unavailable_error", "service_unavailable"}
    | {"503", "529"}
)
_TIMEOUT = frozenset({"timeout", "timeout_error", "408", "504"})
_REJECTED = frozenset(
    {"invalid_request_error", "context_length_exceeded", "content_filter", "content_policy_violation", "bad_request"}
    | {"BadRequestError", "invalid_prompt", "400", "404", "413", "415", "422"}
)


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """What an error body says, whatever its shape. ``own``: it had an error object or text, not just some body."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    own: bool = False

    @property
    def words(self) -> frozenset[str]:
        return frozenset(word for word in (self.type, self.code) if word)

    @property
    def detail(self) -> str:
        """For the operator's log: never shown to a client."""
        said = " ".join(filter(None, (self.type, self.code, self.message)))
        return redact(said)[: limits.MAX_ERROR_TEXT] or "no error object"


def error_object(value: Json) -> ErrorObject:
    """Reads ``{"error": {…}}``, ``{"error": "text"}``, ``{"message": …}``, ``{"detail": …}``, or one of them in a
    list."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ErrorObject()
    inner = value.get("error") or value
    if not isinstance(inner, dict):
        return ErrorObject(message=_text(inner) or "", own=True)
    message = _text(inner.get("message")) or _text(inner.get("detail"))
    param = inner.get("param")
    return ErrorObject(
        message=message or "",
        type=_text(inner.get("type")) or _text(inner.get("status")),
        code=_text(inner.get("code")),
        param=param if isinstance(param, str) else None,
        own=message is not None or inner is not value,
    )


def _text(value: Json) -> str | None:
    match value:
        case str():
            return value or None
        case bool() | None:
            return None
        case int() | float():
            return str(value)
        case _:
            return orjson.dumps(value).decode()


def decode_error(reply: HttpReply) -> UpstreamError:
    """A non-2xx answer. 4xx, 503 and 529 certainly did not execute the request; 408 and other 5xx may have."""
    said = error_object(_json(reply.body))
    retry_after_s = retry_after(reply.headers)
    status = reply.status
    match status:
        case 401 | 403:
            return _credentials(said, status)
        case 402:
            return _quota(said, status)
        case 400 | 429 if said.words & _QUOTA:
            return _quota(said, status)
        case 400 if said.words & _CREDENTIALS or "API_KEY_INVALID" in reply.body.decode("utf-8", "replace"):
            return _credentials(said, status)
        case 429:
            return _rate_limited(said, status, retry_after_s)
        case 503 | 529:
            return _overloaded(said, status, retry_after_s)
        case 408 | 504:
            return _timed_out(said, status)
        case 400 | 413 | 415 | 422:
            return _rejected(said, status)
        case 404 if said.own:
            return _rejected(said, status)
        case _:
            # A redirect, a proxy's page, an unknown path: refused. From 500 on, it may have been executed first.
            return _failed(said, status, delivered=status >= 500)


def in_stream_error(value: Json) -> UpstreamError:
    """The error object of an event or of a 200 body. It counts as delivered: the answer had begun."""
    said = error_object({"error": value})
    words = said.words
    if words & _QUOTA:
        return _begun(_quota(said, None))
    if words & _CREDENTIALS or words & {"401", "403"}:
        return _begun(_credentials(said, None))
    if words & _RATE:
        return _begun(_rate_limited(said, None, None))
    if words & _OVERLOAD:
        return _begun(_overloaded(said, None, None))
    if words & _TIMEOUT:
        return _begun(_timed_out(said, None))
    if words & _REJECTED:
        return _begun(_rejected(said, None))
    return _begun(_failed(said, None, delivered=True))


def raise_error_body(body: bytes) -> None:
    """Where a stream was expected: raises if the upstream answered with a bare JSON error object instead."""
    value = _json(body) if body.lstrip().startswith(b"{") else None
    if isinstance(value, dict) and value.get("error"):
        raise in_stream_error(value["error"])


def _begun(error: UpstreamError) -> UpstreamError:
    error.delivered = True
    error.retryable = False
    return error


def _json(body: bytes) -> Json:
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value


def _rejected(said: ErrorObject, status: int | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_REJECTED,
        shown(said.message) or "The upstream refused the request without saying why.",
        code=shown(said.code or "upstream_rejected"),
        type=shown(said.type) if said.type else None,
        param=shown(said.param) if said.param else None,
        retryable=False,
        delivered=False,
        status=status,
        detail=said.detail,
    )


def _credentials(said: ErrorObject, status: int | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream does not accept the credentials that this hub is configured with; tell its operator.",
        code=UPSTREAM_CREDENTIALS,
        retryable=True,
        delivered=False,
        status=status,
        detail=said.detail,
    )


def _quota(said: ErrorObject, status: int | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "This hub's own account at the upstream has no quota left; tell its operator.",
        code=UPSTREAM_QUOTA,
        retryable=True,
        delivered=False,
        status=status,
        detail=said.detail,
    )


def _rate_limited(said: ErrorObject, status: int | None, retry_after_s: float | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_RATE_LIMITED,
        "The upstream is limiting this hub's requests at the moment; try again later.",
        code="upstream_rate_limited",
        retryable=True,
        delivered=False,
        status=status,
        detail=said.detail,
        retry_after_s=retry_after_s,
    )


def _overloaded(said: ErrorObject, status: int | None, retry_after_s: float | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_OVERLOADED,
        "The upstream is overloaded at the moment; try again later.",
        code="upstream_overloaded",
        retryable=True,
        delivered=False,
        status=status,
        detail=said.detail,
        retry_after_s=retry_after_s,
    )


def _timed_out(said: ErrorObject, status: int | None) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_TIMEOUT,
        "The upstream did not finish the request in its own time limit.",
        code="upstream_timeout",
        retryable=True,
        delivered=True,
        status=status,
        detail=said.detail,
    )


def _failed(said: ErrorObject, status: int | None, *, delivered: bool) -> UpstreamError:
    said_so = f"answered with status {status}" if status is not None else "reported an error while it was answering"
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The upstream {said_so}.",
        code="upstream_error",
        retryable=True,
        delivered=delivered,
        status=status,
        detail=said.detail,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: ``retry-after-ms``, else ``retry-after`` as seconds or as a date (relative to the answer's own
    ``date``, so that clocks need not agree). ``None`` if absent or not believable."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _believable(milliseconds / 1000)
    text = headers.get("retry-after")
    seconds = _seconds(text)
    if seconds is None and text is not None:
        until, now = _moment(text), _moment(headers.get("date", ""))
        seconds = max(0.0, (until - now).total_seconds()) if until and now else None
    return _believable(seconds)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _believable(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= MAX_RETRY_AFTER_S:
        return None
    return seconds


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
