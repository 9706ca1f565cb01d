"""What every dialect's error table is made of: a status, a word, and whether the client's SDK should try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from relayhub.types.errors import ErrorKind, RelayhubError, UpstreamError

UPSTREAM_CREDENTIALS = "upstream_credentials"
UPSTREAM_QUOTA = "upstream_quota"

_FOR_THE_OPERATOR = frozenset({UPSTREAM_CREDENTIALS, UPSTREAM_QUOTA})
"""Codes that no repetition cures: somebody must change the provider's account."""

_OWN_STATUSES = frozenset({401, 402, 403, 407, 408, 409, 429})
"""From the hub these speak about the hub's own key, quota and limits: an upstream's refusal never borrows them."""


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
    """One row of a dialect's table. ``type``: the dialect's own word for this kind of error."""

    status: int
    type: str
    retry: Retry = Retry.SILENT


@dataclass(frozen=True, slots=True)
class RenderedError:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def status_of(error: RelayhubError, rule: Rule) -> int:
    """The rule's status; an upstream's refusal keeps its own 4xx unless that would speak about the client's key."""
    if error.kind is not ErrorKind.UPSTREAM_REJECTED or not isinstance(error, UpstreamError):
        return rule.status
    status = error.status or rule.status
    return status if 400 <= status < 500 and status not in _OWN_STATUSES else rule.status


def headers_of(error: RelayhubError, rule: Rule) -> dict[str, str]:
    """``retry-after`` in whole seconds, and ``x-should-retry``."""
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


def own_type(error: RelayhubError) -> str | None:
    """The upstream's own error type, where its words are passed on."""
    if error.kind is ErrorKind.UPSTREAM_REJECTED and isinstance(error, UpstreamError):
        return error.type
    return None
