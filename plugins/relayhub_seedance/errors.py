"""The error table of Ark. HTTP statuses say most; some codes say more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError, read_upstream_error

MAX_TEXT = 500
LINK = re.compile(r"https?://\S+")
CONTENT_POLICY = "content_policy"
REQUEST_ID = re.compile(r"\s*Request id:\s*(\S+)\s*$", re.IGNORECASE)

POLICY_MARKS = ("SensitiveContent", "RiskDetection", "PolicyViolation")
"""In codes; the public list of codes is not complete."""
QUOTA = frozenset({"AccountOverdueError", "QuotaExceeded", "SetLimitExceeded"})
OVERLOAD = frozenset({"ServerOverloaded", "ModelLoadingError"})
NO_MODEL = frozenset(
    {"ModelNotOpen", "InvalidEndpointOrModel.NotFound", "InvalidEndpointOrModel.ModelIDAccessDisabled"}
)


@dataclass(frozen=True, slots=True)
class ArkError:
    """``message`` is without the request's id, which is of use to the operator only."""

    code: str = ""
    message: str = ""
    request_id: str = ""

    @property
    def is_policy(self) -> bool:
        return any(mark in self.code for mark in POLICY_MARKS)


def ark_error(value: object) -> ArkError:
    """Of the ``error`` object in an answer, a task or an item."""
    if not isinstance(value, dict):
        return ArkError()
    code, message = value.get("code"), value.get("message")
    text = message if isinstance(message, str) else ""
    found = REQUEST_ID.search(text)
    said = REQUEST_ID.sub("", text)
    return ArkError(code if isinstance(code, str) else "", said, found.group(1) if found else "")


def read_error(reply: HttpReply, secrets: Iterable[str]) -> UpstreamError:
    """A non-2xx answer."""
    said = ark_error(_error_object(reply.body))
    error = _by_code(reply, said, tuple(secrets))
    error.status = reply.status
    if said.request_id:
        error.detail = f"{error.detail or ''} (request id {said.request_id})".strip()
    return error


def _by_code(reply: HttpReply, said: ArkError, secrets: tuple[str, ...]) -> UpstreamError:
    if said.is_policy and reply.status < 500:
        return _as(400, reply, said, secrets, CONTENT_POLICY)
    if said.code in QUOTA and reply.status < 500:
        return _as(402, reply, said, secrets)
    if said.code in OVERLOAD and reply.status == 429:
        return _as(503, reply, said, secrets)
    if said.code in NO_MODEL and reply.status < 500:
        return _no_model(said)
    return _as(reply.status, reply, said, secrets)


def _as(
    status: int, reply: HttpReply, said: ArkError, secrets: tuple[str, ...], code: str | None = None
) -> UpstreamError:
    """As if the answer had this status, which says best what it means."""
    meant = HttpReply(status, reply.headers, reply.body)
    return read_upstream_error(meant, said.message, code=code or said.code, secrets=secrets)


def _no_model(said: ArkError) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The hub's account at the upstream has no access to this model; tell its operator.",
        code="upstream_model_unavailable",
        retryable=True,
        delivered=False,
        detail=f"{said.code} {said.message}",
    )


def blocked(said: ArkError) -> UpstreamError:
    """A 200 that holds nothing but an error: it was executed, and came to nothing."""
    error = read_upstream_error(
        HttpReply(400, {}, b""), said.message, code=CONTENT_POLICY if said.is_policy else said.code
    )
    error.status, error.delivered = 200, True
    return error


def shown(message: str) -> str:
    """As a client may see it: cut, without anything that looks like a credential or a link."""
    if not message:
        return ""
    return LINK.sub("…", read_upstream_error(HttpReply(400, {}, b""), message).message)[:MAX_TEXT]


def _error_object(body: bytes) -> object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value.get("error") if isinstance(value, dict) else None
