"""What can go wrong with a call, independent of any dialect.

::

    RelayhubError
    ├── ClientError      the request cannot be served as sent; the hub and the upstream are fine
    ├── UpstreamError    the upstream refused, failed, timed out or broke its own protocol
    └── HubError         relayhub itself cannot serve right now

A dialect owns the table that turns an :class:`ErrorKind` into a status and a body; nothing else in the code knows
statuses. ``code`` is stable and part of the API, ``message`` is safe to show to anybody, ``detail`` is for the
operator's log only and never leaves the process.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """The classes of error that a dialect can render. A test walks every kind through every dialect."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    KEY_BLOCKED = "key_blocked"
    """The key is known but revoked, disabled or not allowed here."""
    QUOTA_EXCEEDED = "quota_exceeded"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    GONE = "gone"
    """It was there, and has been deleted or has expired."""
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMITED = "rate_limited"
    UPSTREAM_REJECTED = "upstream_rejected"
    """The upstream refused the content of the request: the client can mend it, so its own words are passed on."""
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    NO_ROUTE = "no_route"
    """The model exists, but no provider can take the call at the moment."""
    UNAVAILABLE = "unavailable"
    """The hub is draining, overloaded or cannot write to its store."""
    INTERNAL = "internal"


class RelayhubError(Exception):
    """Base of all errors that reach a client. Raise one of the three families below, never this class."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str,
        param: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code
        self.param = param
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]" + (f" ({self.detail})" if self.detail else "")


class ClientError(RelayhubError):
    """The request cannot be served as it was sent. Never costs units, never reached an upstream.

    ``headers`` are added to the answer (``Allow`` on a wrong method, for example).
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str,
        param: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(kind, message, code=code, param=param, detail=detail, retry_after_s=retry_after_s)
        self.headers = headers


class UpstreamError(RelayhubError):
    """The upstream refused or failed.

    ``retryable``: another route may succeed where this one failed.
    ``delivered``: the upstream may have executed the request. ``False`` only where that is certain (connect failure,
    429, 503, a definite refusal); a ``paid`` request is never repeated after ``delivered``.
    ``status``: the upstream's HTTP status, or ``None`` when there was no answer.
    ``type``: the upstream's own error type, kept for :attr:`ErrorKind.UPSTREAM_REJECTED` only.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str,
        retryable: bool,
        delivered: bool,
        status: int | None = None,
        type: str | None = None,  # noqa: A002  # the field's word
        param: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(kind, message, code=code, param=param, detail=detail, retry_after_s=retry_after_s)
        self.retryable = retryable
        self.delivered = delivered
        self.status = status
        self.type = type


class HubError(RelayhubError):
    """relayhub itself cannot serve the call right now; nothing was charged."""


def invalid_request(message: str, *, code: str = "invalid_request", param: str | None = None) -> ClientError:
    """The commonest client error: something in the request is wrong; ``param`` names the field."""
    return ClientError(ErrorKind.INVALID_REQUEST, message, code=code, param=param)


def upstream_broke(what: str, *, detail: str | None = None) -> UpstreamError:
    """The upstream answered, but not in its own protocol (truncated, unparsable, too long); it may have executed."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The upstream's answer could not be used: {what}.",
        code="upstream_invalid_response",
        retryable=False,
        delivered=True,
        detail=detail,
    )
