"""Errors as OpenAI-shaped answers: which status, which type, and whether the client's SDK should try again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import orjson

from relayhub.dialects.error_rules import RenderedError, Retry, Rule, headers_of, own_type, status_of
from relayhub.dialects.redact import shown
from relayhub.types.errors import ErrorKind, RelayhubError
from relayhub.types.json import JsonObject


class ErrorProfile(StrEnum):
    """The same body with other statuses, by mount: a client program was written against one of them."""

    OPENAI = "openai"
    """Statuses as OpenAI's, quota as 402, upstream trouble as 502 to 504."""
    RELAY = "relay"
    """A blocked key or a spent quota is 403, any upstream failure 500; ``message`` stands at the top too."""


OPENAI_RULES: Mapping[ErrorKind, Rule] = MappingProxyType(
    {
        ErrorKind.INVALID_REQUEST: Rule(400, "invalid_request_error"),
        ErrorKind.AUTHENTICATION: Rule(401, "authentication_error"),
        ErrorKind.KEY_BLOCKED: Rule(401, "authentication_error"),
        ErrorKind.QUOTA_EXCEEDED: Rule(402, "insufficient_quota", Retry.NEVER),
        ErrorKind.PERMISSION: Rule(403, "permission_error"),
        ErrorKind.NOT_FOUND: Rule(404, "invalid_request_error"),
        ErrorKind.METHOD_NOT_ALLOWED: Rule(405, "invalid_request_error"),
        ErrorKind.REQUEST_TIMEOUT: Rule(408, "invalid_request_error", Retry.UNLESS_DELIVERED),
        ErrorKind.CONFLICT: Rule(409, "invalid_request_error", Retry.UNLESS_DELIVERED),
        ErrorKind.GONE: Rule(410, "invalid_request_error"),
        ErrorKind.BODY_TOO_LARGE: Rule(413, "invalid_request_error"),
        ErrorKind.UNSUPPORTED_MEDIA: Rule(415, "invalid_request_error"),
        ErrorKind.UNPROCESSABLE: Rule(422, "invalid_request_error"),
        ErrorKind.RATE_LIMITED: Rule(429, "rate_limit_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_REJECTED: Rule(400, "invalid_request_error"),
        ErrorKind.UPSTREAM_FAILED: Rule(502, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_RATE_LIMITED: Rule(429, "rate_limit_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_OVERLOADED: Rule(503, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_TIMEOUT: Rule(504, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.NO_ROUTE: Rule(503, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UNAVAILABLE: Rule(503, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.INTERNAL: Rule(500, "server_error", Retry.NEVER),
    }
)

RELAY_RULES: Mapping[ErrorKind, Rule] = MappingProxyType(
    {
        **OPENAI_RULES,
        ErrorKind.KEY_BLOCKED: Rule(403, "permission_error"),
        ErrorKind.QUOTA_EXCEEDED: Rule(403, "insufficient_quota", Retry.NEVER),
        ErrorKind.UPSTREAM_FAILED: Rule(500, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_OVERLOADED: Rule(500, "server_error", Retry.UNLESS_DELIVERED),
        ErrorKind.UPSTREAM_TIMEOUT: Rule(500, "server_error", Retry.UNLESS_DELIVERED),
    }
)

RULES: Mapping[ErrorProfile, Mapping[ErrorKind, Rule]] = MappingProxyType(
    {ErrorProfile.OPENAI: OPENAI_RULES, ErrorProfile.RELAY: RELAY_RULES}
)


_OTHER_VENDORS = frozenset({"not_found_error", "request_too_large"})
"""For what here is an invalid request with a status of its own."""


def render_error(error: RelayhubError, request_id: str, profile: ErrorProfile) -> RenderedError:
    """The answer to an error before anything else was sent."""
    rule = RULES[profile][error.kind]
    body = error_body(error, request_id, profile)
    if profile is ErrorProfile.RELAY:
        body = {"success": False, "message": shown(error.message), **body}
    return RenderedError(status_of(error, rule), headers_of(error, rule), orjson.dumps(body))


def error_body(error: RelayhubError, request_id: str, profile: ErrorProfile = ErrorProfile.OPENAI) -> JsonObject:
    """``{"error": {…}}``, for an answer and for a stream alike."""
    return {
        "error": {
            "message": shown(error.message),
            "type": _type_of(error) or RULES[profile][error.kind].type,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def _type_of(error: RelayhubError) -> str | None:
    """The upstream's word, unless it is one of another vendor's: OpenAI-compatible services have many of their own."""
    own = own_type(error)
    return None if own is None or own.isupper() or own in _OTHER_VENDORS else own


def encode_error_event(error: RelayhubError, request_id: str) -> bytes:
    """An error after the head was sent: one event, and never ``[DONE]`` after it."""
    return b"data: " + orjson.dumps(error_body(error, request_id)) + b"\n\n"
