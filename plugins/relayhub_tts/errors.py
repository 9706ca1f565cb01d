"""What the error tables of both vendors share."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError, read_upstream_error

CONTENT_POLICY = "content_policy"
NO_MODEL = "upstream_model_unavailable"


@dataclass(frozen=True, slots=True)
class Said:
    """``trace``: the request's id at the vendor, of use to the operator only."""

    code: str = ""
    message: str = ""
    trace: str = ""


def read_as(meant: int, reply: HttpReply, said: Said, key: str, code: str | None = None) -> UpstreamError:
    """As if the answer had the status ``meant``, which says best what it is about."""
    error = read_upstream_error(
        HttpReply(meant, reply.headers, reply.body), said.message, code=code or said.code, secrets=[key]
    )
    error.status = reply.status
    return traced(error, said)


def told_within(meant: int, said: Said, key: str, *, executed: bool, code: str | None = None) -> UpstreamError:
    """An error inside of a 200. ``executed``: the work was done all the same, at least in part."""
    error = read_as(meant, HttpReply(200, {}, b""), said, key, code)
    return begun(error) if executed else error


def begun(error: UpstreamError) -> UpstreamError:
    error.delivered, error.retryable = True, False
    return error


def no_model(status: int, said: Said) -> UpstreamError:
    error = UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The hub's account at the upstream has no access to this model; tell its operator.",
        code=NO_MODEL,
        retryable=True,
        delivered=False,
        status=status,
        detail=f"{said.code} {said.message}",
    )
    return traced(error, said)


def traced(error: UpstreamError, said: Said) -> UpstreamError:
    if said.trace:
        error.detail = f"{error.detail or ''} (request id {said.trace})".strip()
    return error


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""
