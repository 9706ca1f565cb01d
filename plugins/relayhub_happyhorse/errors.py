"""The error table of DashScope. The code decides where it says more than the HTTP status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError, read_upstream_error

MAX_TEXT = 500
LINK = re.compile(r"(?:https?|oss)://\S+")
CONTENT_POLICY = "content_policy"

POLICY = frozenset({"DataInspectionFailed", "data_inspection_failed", "IPInfringementSuspect"})
WINDOW_QUOTA = "Throttling.AllocationQuota"
WINDOW_S = 60.0
QUOTA = frozenset({"Arrearage", "PrepaidBillOverdue", "PostpaidBillOverdue", "CommodityNotPurchased", WINDOW_QUOTA})
"""Pages of the documentation differ on the status of ``Arrearage``: 400 or 403."""
NO_MODEL = frozenset({"ModelNotFound", "Model.AccessDenied", "model_not_found", "AccessDenied.Unpurchased"})


@dataclass(frozen=True, slots=True)
class Said:
    code: str = ""
    message: str = ""
    request_id: str = ""


def said_in(value: object) -> Said:
    """Of an answer's top level, a task's output, or one of several results."""
    if not isinstance(value, dict):
        return Said()
    return Said(*(_text(value, name) for name in ("code", "message", "request_id")))


def read_error(reply: HttpReply, secrets: Iterable[str]) -> UpstreamError:
    """A non-2xx answer."""
    said = said_in(_json(reply.body))
    error = _by_code(reply, said, tuple(secrets))
    error.status = reply.status
    if said.request_id:
        error.detail = f"{error.detail or ''} (request id {said.request_id})".strip()
    return error


def _by_code(reply: HttpReply, said: Said, secrets: tuple[str, ...]) -> UpstreamError:
    if reply.status >= 500:
        return _as(reply.status, reply, said, secrets)
    if said.code in POLICY:
        return _as(400, reply, said, secrets, CONTENT_POLICY)
    if said.code in QUOTA:
        error = _as(402, reply, said, secrets)
        if said.code == WINDOW_QUOTA:
            error.retry_after_s = WINDOW_S
        return error
    if said.code in NO_MODEL:
        return _no_model(said)
    return _as(reply.status, reply, said, secrets)


def _as(status: int, reply: HttpReply, said: Said, secrets: tuple[str, ...], code: str | None = None) -> UpstreamError:
    """As if the answer had this status, which says best what it means."""
    meant = HttpReply(status, reply.headers, reply.body)
    return read_upstream_error(meant, said.message, code=code or said.code, secrets=secrets)


def _no_model(said: Said) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The hub's account at the upstream has no access to this model; tell its operator.",
        code="upstream_model_unavailable",
        retryable=True,
        delivered=False,
        detail=f"{said.code} {said.message}",
    )


def blocked(said: Said) -> UpstreamError:
    """A 200 with nothing in it but an error: it was executed, and came to nothing."""
    code = CONTENT_POLICY if said.code in POLICY else said.code
    error = read_upstream_error(HttpReply(400, {}, b""), said.message, code=code)
    error.status, error.delivered = 200, True
    return error


def shown(message: str) -> str:
    """As a client may see it: cut, without anything that looks like a credential or a link."""
    if not message:
        return ""
    return LINK.sub("…", read_upstream_error(HttpReply(400, {}, b""), message).message)[:MAX_TEXT]


def _text(value: Mapping[str, object], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _json(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value
