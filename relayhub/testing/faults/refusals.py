"""Answers that refuse, and answers that would make a naive client do something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from relayhub.testing.faults.answers import JSON, Header, whole
from relayhub.testing.faults.steps import Fault, does


def refusal(status: str, body: bytes, *headers: Header) -> Fault:
    """An error status. Nothing was executed."""
    return does(whole(body, status=status, headers=[*JSON, *headers]), executed=False)


def busy(
    body: bytes, retry_after: str | None, status: str = "429 Too Many Requests", more: Sequence[Header] = ()
) -> Fault:
    """``retry_after``: the header as it stands, in seconds or as a date."""
    return refusal(status, body, *more, *([("retry-after", retry_after)] if retry_after is not None else []))


def http_date(seconds_ahead: float) -> str:
    """The date form of Retry-After."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds_ahead), usegmt=True)


def redirect(location: str, status: str = "307 Temporary Redirect") -> Fault:
    """Whoever follows it sends the key and the prompt elsewhere."""
    return refusal(status, b"", ("location", location))
