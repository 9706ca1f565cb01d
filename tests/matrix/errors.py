"""What a client sees when the upstream fails: before an answer, within one, and when it just stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.matrix.asked import Failed
from tests.matrix.cell import Cell
from tests.matrix.clients import Speaks
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.upstreams import Kind
from tests.support.standins.base import KEY


@dataclass(frozen=True, slots=True)
class Told:
    """``kind``: what went wrong, see :data:`WORDS`. ``again``: whether the SDK is told to try again; ``None`` where it
    never would. ``after``: it is told when."""

    kind: str
    again: bool | None = None
    after: bool = False


FAILURES: Mapping[str, Told] = {
    "error_400": Told("refused"),
    "error_404": Told("unknown"),
    "error_401": Told("failed", again=False),
    "error_402": Told("failed", again=False),
    "error_403": Told("failed", again=False),
    "error_429": Told("limited", again=True, after=True),
    "error_500": Told("failed", again=False),
    "error_503": Told("overloaded", again=True, after=True),
    "error_529": Told("overloaded", again=True),
    "drop": Told("failed", again=False),
}
"""What became of the upstream's status. Its 401 to 403 are between it and the hub, so they are never the client's."""

STATUSES: Mapping[str, int] = {"refused": 400, "unknown": 404, "limited": 429, "failed": 502, "overloaded": 503}
OVERLOADED_FOR_MESSAGES = 529

_OPENAI = {
    "refused": "invalid_request_error",
    "unknown": "invalid_request_error",
    "limited": "rate_limit_error",
    "failed": "server_error",
    "overloaded": "server_error",
}
WORDS: Mapping[Speaks, Mapping[str, str]] = {
    Speaks.CHAT: _OPENAI,
    Speaks.RESPONSES: _OPENAI,
    Speaks.MESSAGES: {
        "refused": "invalid_request_error",
        "unknown": "not_found_error",
        "limited": "rate_limit_error",
        "failed": "api_error",
        "overloaded": "overloaded_error",
    },
    Speaks.GENERATE: {
        "refused": "INVALID_ARGUMENT",
        "unknown": "NOT_FOUND",
        "limited": "RESOURCE_EXHAUSTED",
        "failed": "INTERNAL",
        "overloaded": "UNAVAILABLE",
    },
}
_STAINLESS = {
    "refused": "BadRequestError",
    "unknown": "NotFoundError",
    "limited": "RateLimitError",
    "failed": "InternalServerError",
    "overloaded": "InternalServerError",
}
EXCEPTIONS: Mapping[Speaks, Mapping[str, str]] = {
    Speaks.CHAT: _STAINLESS,
    Speaks.RESPONSES: _STAINLESS,
    Speaks.MESSAGES: {**_STAINLESS, "overloaded": "OverloadedError"},
    Speaks.GENERATE: {
        **dict.fromkeys(("refused", "unknown", "limited"), "ClientError"),
        **dict.fromkeys(("failed", "overloaded"), "ServerError"),
    },
}
"""The SDKs' classes."""

CODES = {"failed": "upstream_error", "overloaded": "upstream_overloaded", "cut": "upstream_truncated"}
"""In OpenAI's streams."""


def classes(cell: Cell, findings: Findings) -> None:
    """Every class of failure, whole and streamed: the status, the SDK's exception, the dialect's word, and advice on
    trying again; and one row in the books, without a token."""
    if cell.hub is None:
        raise NotHere
    for scene, told in FAILURES.items():
        for stream in (False, True):
            before = cell.rows()
            failed = _failure(cell, scene, stream=stream)
            _prove_told(cell, failed, told)
            row = cell.row_after(before)
            refused = told.kind in ("refused", "unknown")
            assert row["outcome"] == ("rejected" if refused else "upstream_error"), scene
            assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (0, 0, 0)
    assert not findings.lost


def _failure(cell: Cell, scene: str, *, stream: bool) -> Failed:
    with pytest.raises(Failed) as caught:
        cell.client.ask(cell.asked(scene, stream=stream))
    assert KEY not in caught.value.message
    return caught.value


def _prove_told(cell: Cell, failed: Failed, told: Told) -> None:
    speaks = cell.client.speaks
    status = STATUSES[told.kind]
    if speaks is Speaks.MESSAGES and told.kind == "overloaded":
        status = OVERLOADED_FOR_MESSAGES
    assert (failed.exception, failed.status) == (EXCEPTIONS[speaks][told.kind], status)
    assert failed.kind.partition("/")[0] == WORDS[speaks][told.kind]
    again = failed.headers.get("x-should-retry")
    assert again == (None if told.again is None else str(told.again).lower())
    assert not told.after or int(failed.headers["retry-after"]) > 0


def within_stream(cell: Cell, findings: Findings) -> None:
    """The upstream reports an error after it has begun to answer."""
    if cell.hub is None:
        raise NotHere
    scene, said = ("stream_failed", "") if cell.upstream.protocol == "openai_responses" else ("stream_error", "Par")
    kind = "overloaded" if cell.upstream.kind in (Kind.CLAUDE, Kind.GEMINI) else "failed"
    _broken(cell, scene, kind, said, findings)


def cut(cell: Cell, findings: Findings) -> None:
    """The upstream stops in the middle, without a word: no client may take what came for an answer."""
    if cell.hub is None:
        raise NotHere
    played = cell.scene("truncated")
    row = _broken(cell, "truncated", "cut", played.text, findings)
    assert row["output_tokens"], "what came is booked"
    if not row["measured"]:
        findings.loses("usage is estimated")
    elif row["output_tokens"] != played.spent.output:
        findings.loses("usage as of the answer's beginning")


def _broken(cell: Cell, scene: str, kind: str, said: str, findings: Findings) -> Mapping[str, object]:
    """The usage row of an answer that broke after ``said``."""
    before = cell.rows()
    failed = _failure(cell, scene, stream=True)
    assert failed.partial == said
    word = failed.kind.rpartition("/")[2]
    match cell.client.speaks:
        case Speaks.CHAT | Speaks.RESPONSES:
            assert word == CODES[kind]
        case speaks:
            assert word == WORDS[speaks]["failed" if kind == "cut" else kind]
    findings.fact("the error event's number", failed.in_order, True, instead=False)
    row = cell.row_after(before)
    assert row["outcome"] == "upstream_error"
    return row
