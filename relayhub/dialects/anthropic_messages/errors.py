"""The error table of this dialect: what each kind of error looks like to its clients, before and inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import orjson

from relayhub.dialects.anthropic_messages.stream_encoder import frame
from relayhub.dialects.error_rules import RenderedError, Retry, Rule, headers_of, status_of
from relayhub.dialects.redact import shown
from relayhub.types.errors import ErrorKind, RelayhubError
from relayhub.types.json import JsonObject

RULES: Mapping[ErrorKind, Rule] = MappingProxyType(
    {
        ErrorKind.INVALID_REQUEST: Rule(400, "invalid_request_error"),
        ErrorKind.AUTHENTICATION: Rule(401, "authentication_error"),
        ErrorKind.KEY_BLOCKED: Rule(401, "authentication_error"),
        ErrorKind.QUOTA_EXCEEDED: Rule(402, "billing_error", Retry.NEVER),
        ErrorKind.PERMISSION: Rule(403, "permission_error"),
        ErrorKind.NOT_FOUND: Rule(404, "not_found_error"),
        ErrorKind.METHOD_NOT_ALLOWED: Rule(405, "invalid_request_error"),
        ErrorKind.REQUEST_TIMEOUT: Rule(408, "timeout_error", Retry.UNLESS_DELIVERED),
        ErrorKind.CONFLICT: Rule(409, "conflict_error", Retry.UNLESS_DELIVERED),
        ErrorKind.GONE: Rule(410, "not_found_error"),
        ErrorKind.BODY_TOO_LARGE: Rule(413, "request_too_large"),
        ErrorKind.UNSUPPORTED_MEDIA: Rule(415, "invalid_request_error"),
        ErrorKind.UNPROCESSABLE: Rule(422, "invalid_request_error"),
        ErrorKind.RATE_LIMITED: Rule(429, "rate_limit_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_REJECTED: Rule(400, "invalid_request_error"),
        ErrorKind.UPSTREAM_FAILED: Rule(502, "api_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_RATE_LIMITED: Rule(429, "rate_limit_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_OVERLOADED: Rule(529, "overloaded_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_TIMEOUT: Rule(504, "timeout_error", Retry.UNLESS_DELIVERED),
        ErrorKind.NO_ROUTE: Rule(503, "overloaded_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UNAVAILABLE: Rule(503, "overloaded_error", Retry.UNLESS_DELIVERED),
        ErrorKind.INTERNAL: Rule(500, "api_error", Retry.NEVER),
    }
)


_BY_STATUS: Mapping[int, str] = MappingProxyType({404: "not_found_error", 413: "request_too_large"})
"""For an upstream's refusals, which keep their status."""


def render_error(error: RelayhubError, request_id: str) -> RenderedError:
    """The answer to an error before anything else was sent."""
    rule = RULES[error.kind]
    headers = {**headers_of(error, rule), "request-id": request_id}
    return RenderedError(status_of(error, rule), headers, orjson.dumps(error_body(error, request_id)))


def error_body(error: RelayhubError, request_id: str) -> JsonObject:
    """For an answer and for a stream alike. ``code`` and ``param`` are the hub's own."""
    inner: JsonObject = {
        "type": _type_of(error),
        "message": shown(error.message),
        "code": error.code,
    }
    if error.param is not None:
        inner["param"] = error.param
    return {"type": "error", "error": inner, "request_id": request_id}


def _type_of(error: RelayhubError) -> str:
    """Always one of this dialect's own words, whichever upstream refused the request in its own."""
    rule = RULES[error.kind]
    if error.kind is not ErrorKind.UPSTREAM_REJECTED:
        return rule.type
    return _BY_STATUS.get(status_of(error, rule), rule.type)


def encode_error_event(error: RelayhubError, request_id: str) -> bytes:
    """An error after the head was sent; nothing comes after it."""
    return frame(error_body(error, request_id))
