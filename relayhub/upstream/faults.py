"""What can go wrong on the way to an upstream, as errors that say whether the request may have been executed."""

from __future__ import annotations

from relayhub.types.errors import ErrorKind, UpstreamError

CONNECT_RETRY_AFTER_S = 5.0
"""What a client is told to wait when no connection could be made: long enough for a restart, short enough to try."""

MEMORY_RETRY_AFTER_S = 1.0


def not_reached(detail: str) -> UpstreamError:
    """No connection was made (refused, DNS, TLS, proxy, connect deadline): the request certainly never left."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream could not be reached. Nothing was sent to it; try again later.",
        code="upstream_unreachable",
        retryable=True,
        delivered=False,
        detail=detail,
        retry_after_s=CONNECT_RETRY_AFTER_S,
    )


def not_sendable(detail: str) -> UpstreamError:
    """The request cannot be written as HTTP: its address, or a line break in a header."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The request to the upstream could not be written; the operator's log has the reason.",
        code="upstream_request_invalid",
        retryable=False,
        delivered=False,
        detail=detail,
    )


def upload_lost(detail: str) -> UpstreamError:
    """A body on disk could not be read to its end while it was being sent."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upload could not be read from the hub's disk while it was sent on. Send it again.",
        code="upload_lost",
        retryable=False,
        delivered=True,
        detail=detail,
    )


def broke_off(detail: str) -> UpstreamError:
    """The connection broke after the request was sent, before the answer's head: it may have been executed."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream closed the connection without an answer.",
        code="upstream_disconnected",
        retryable=False,
        delivered=True,
        detail=detail,
    )


def truncated(detail: str) -> UpstreamError:
    """The body ended early or its framing is broken."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream's answer broke off before it was complete.",
        code="upstream_truncated",
        retryable=False,
        delivered=True,
        detail=detail,
    )


def too_slow(what: str, limit_s: float) -> UpstreamError:
    """A deadline passed after the request was sent."""
    return UpstreamError(
        ErrorKind.UPSTREAM_TIMEOUT,
        f"The upstream sent no {what} within {limit_s:g} s.",
        code="upstream_timeout",
        retryable=False,
        delivered=True,
    )


def too_large(limit: int) -> UpstreamError:
    """A whole answer over the hub's cap."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The upstream's answer is larger than {limit} bytes.",
        code="upstream_too_large",
        retryable=False,
        delivered=True,
    )


MEMORY_SHORT = "memory_short"


def memory_short() -> UpstreamError:
    """The hub itself has no memory for a whole answer that the upstream has begun to send."""
    return UpstreamError(
        ErrorKind.UNAVAILABLE,
        "The server is short of memory and could not take the upstream's answer; it is lost. Nothing was charged.",
        code=MEMORY_SHORT,
        retryable=False,
        delivered=True,
        detail="too many large answers at once: more memory, fewer calls at a time, or faster clients would help",
        retry_after_s=MEMORY_RETRY_AFTER_S,
    )
