"""Errors as OpenAI-shaped answers: which status, which type, and whether the client's SDK should try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import orjson

from relayhub.dialects.redact import shown
from relayhub.types.errors import ErrorKind, RelayhubError, UpstreamError
from relayhub.types.json import JsonObject


class ErrorProfile(StrEnum):
    """The same body with other statuses, by mount: a client program was written against one of them."""

    OPENAI = "openai"
    """Statuses as OpenAI's, quota as 402, upstream trouble as 502 to 504."""
    RELAY = "relay"
    """A blocked key or a spent quota is 403, any upstream failure 500; ``message`` stands at the top too."""


class Retry(StrEnum):
    """What ``x-should-retry`` says; the official SDKs obey it over their own rule by status."""

    SILENT = "silent"
    """Say nothing: no SDK repeats this status."""
    NEVER = "never"
    """Pointless, or perhaps executed already."""
    UNLESS_DELIVERED = "unless_delivered"
    """It helps, as long as nothing was executed."""


@dataclass(frozen=True, slots=True)
class Rule:
    status: int
    type: str
    retry: Retry = Retry.SILENT


@dataclass(frozen=True, slots=True)
class RenderedError:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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

UPSTREAM_CREDENTIALS = "upstream_credentials"
UPSTREAM_QUOTA = "upstream_quota"

_FOR_THE_OPERATOR = frozenset({UPSTREAM_CREDENTIALS, UPSTREAM_QUOTA})
"""Codes that no repetition cures: somebody must change the provider's account."""

_OWN_STATUSES = frozenset({401, 402, 403, 407, 408, 409, 429})
"""From the hub these speak about the hub's own key, quota and limits: an upstream's refusal never borrows them."""


def render_error(error: RelayhubError, request_id: str, profile: ErrorProfile) -> RenderedError:
    """The answer to an error before anything else was sent."""
    rule = RULES[profile][error.kind]
    body = error_body(error, request_id, profile)
    if profile is ErrorProfile.RELAY:
        body = {"success": False, "message": shown(error.message), **body}
    return RenderedError(_status(error, rule), _headers(error, rule), orjson.dumps(body))


def error_body(error: RelayhubError, request_id: str, profile: ErrorProfile = ErrorProfile.OPENAI) -> JsonObject:
    """``{"error": {…}}``, for an answer and for a stream alike."""
    own_type = error.type if isinstance(error, UpstreamError) else None
    if error.kind is not ErrorKind.UPSTREAM_REJECTED:
        own_type = None
    return {
        "error": {
            "message": shown(error.message),
            "type": own_type or RULES[profile][error.kind].type,
            "param": error.param,
            "code": error.code,
            "request_id": request_id,
        }
    }


def _status(error: RelayhubError, rule: Rule) -> int:
    if error.kind is not ErrorKind.UPSTREAM_REJECTED or not isinstance(error, UpstreamError):
        return rule.status
    status = error.status or rule.status
    return status if 400 <= status < 500 and status not in _OWN_STATUSES else rule.status


def _headers(error: RelayhubError, rule: Rule) -> Mapping[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after_s)))
    match rule.retry:
        case Retry.NEVER:
            headers["x-should-retry"] = "false"
        case Retry.UNLESS_DELIVERED:
            headers["x-should-retry"] = "true" if _may_help(error) else "false"
        case Retry.SILENT:
            pass
    return headers


def _may_help(error: RelayhubError) -> bool:
    delivered = isinstance(error, UpstreamError) and error.delivered
    return not delivered and error.code not in _FOR_THE_OPERATOR


def encode_error_event(error: RelayhubError, request_id: str) -> bytes:
    """An error after the head was sent: one event, and never ``[DONE]`` after it."""
    return b"data: " + orjson.dumps(error_body(error, request_id)) + b"\n\n"
