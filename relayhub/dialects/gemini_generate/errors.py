"""Errors as answers of this dialect: which status, which word, and what clients' SDKs act on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import orjson

from relayhub.dialects.codec import Envelope, Framing
from relayhub.dialects.error_rules import RenderedError, Retry, Rule, headers_of, own_type, status_of
from relayhub.dialects.gemini_generate.upstream_errors import BAD_REQUEST, ERROR_INFO, REQUEST_INFO, RETRY_INFO
from relayhub.dialects.redact import shown
from relayhub.types.errors import ErrorKind, RelayhubError
from relayhub.types.json import Json, JsonObject

RULES: Mapping[ErrorKind, Rule] = MappingProxyType(
    {
        ErrorKind.INVALID_REQUEST: Rule(400, "INVALID_ARGUMENT"),
        ErrorKind.AUTHENTICATION: Rule(401, "UNAUTHENTICATED"),
        ErrorKind.KEY_BLOCKED: Rule(401, "UNAUTHENTICATED"),
        # Not 429: SDKs repeat that, and no repetition fills an account.
        ErrorKind.QUOTA_EXCEEDED: Rule(402, "FAILED_PRECONDITION", Retry.NEVER),
        ErrorKind.PERMISSION: Rule(403, "PERMISSION_DENIED"),
        ErrorKind.NOT_FOUND: Rule(404, "NOT_FOUND"),
        ErrorKind.METHOD_NOT_ALLOWED: Rule(405, "UNIMPLEMENTED"),
        ErrorKind.REQUEST_TIMEOUT: Rule(408, "DEADLINE_EXCEEDED", Retry.UNLESS_DELIVERED),
        ErrorKind.CONFLICT: Rule(409, "ABORTED", Retry.UNLESS_DELIVERED),
        ErrorKind.GONE: Rule(410, "NOT_FOUND"),
        ErrorKind.BODY_TOO_LARGE: Rule(413, "INVALID_ARGUMENT"),
        ErrorKind.UNSUPPORTED_MEDIA: Rule(415, "INVALID_ARGUMENT"),
        ErrorKind.UNPROCESSABLE: Rule(422, "INVALID_ARGUMENT"),
        ErrorKind.RATE_LIMITED: Rule(429, "RESOURCE_EXHAUSTED", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_REJECTED: Rule(400, "INVALID_ARGUMENT"),
        ErrorKind.UPSTREAM_FAILED: Rule(502, "INTERNAL", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_RATE_LIMITED: Rule(429, "RESOURCE_EXHAUSTED", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_OVERLOADED: Rule(503, "UNAVAILABLE", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_TIMEOUT: Rule(504, "DEADLINE_EXCEEDED", Retry.UNLESS_DELIVERED),
        ErrorKind.NO_ROUTE: Rule(503, "UNAVAILABLE", Retry.UNLESS_DELIVERED),
        ErrorKind.UNAVAILABLE: Rule(503, "UNAVAILABLE", Retry.UNLESS_DELIVERED),
        ErrorKind.INTERNAL: Rule(500, "INTERNAL", Retry.NEVER),
    }
)

DOMAIN = "relayhub"
_WORD = re.compile(r"[A-Z][A-Z_]+")
_NOT_REASON = re.compile(r"[^A-Z0-9]+")
_BY_STATUS = {404: "NOT_FOUND"}


def render_error(error: RelayhubError, request_id: str) -> RenderedError:
    """The answer to an error before anything else was sent."""
    rule = RULES[error.kind]
    return RenderedError(status_of(error, rule), headers_of(error, rule), orjson.dumps(error_body(error, request_id)))


def error_body(error: RelayhubError, request_id: str) -> JsonObject:
    """``{"error": {…}}``, for an answer and for a stream alike."""
    rule = RULES[error.kind]
    status = status_of(error, rule)
    own = own_type(error)
    word = own if own is not None and _WORD.fullmatch(own) else _BY_STATUS.get(status, rule.type)
    return {
        "error": {
            "code": status,
            "message": shown(error.message),
            "status": word,
            "details": _details(error, request_id),
        }
    }


def _details(error: RelayhubError, request_id: str) -> list[Json]:
    details: list[Json] = [
        {"@type": ERROR_INFO, **_reason(error)},
        {"@type": REQUEST_INFO, "requestId": request_id},
    ]
    if error.param is not None:
        violation: JsonObject = {"field": error.param, "description": shown(error.message)}
        details.append({"@type": BAD_REQUEST, "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": RETRY_INFO, "retryDelay": _duration(error.retry_after_s)})
    return details


def _reason(error: RelayhubError) -> JsonObject:
    """A key that the hub does not know goes under the reason that clients of this dialect look for."""
    if error.kind in (ErrorKind.AUTHENTICATION, ErrorKind.KEY_BLOCKED):
        return {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": {"code": error.code}}
    return {"reason": _NOT_REASON.sub("_", error.code.upper()).strip("_"), "domain": DOMAIN}


def _duration(seconds: float) -> str:
    """As protobuf writes it, without trailing zeros."""
    return f"{max(0.0, seconds):.3f}".rstrip("0").rstrip(".") + "s"


def encode_error_event(error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
    """An error after the head was sent, and with it at least one chunk; nothing comes after it."""
    body = orjson.dumps(error_body(error, request_id))
    if envelope.framing is Framing.ARRAY:
        return b",\r\n" + body + b"\r\n]"
    return b"data: " + body + b"\r\n\r\n"
