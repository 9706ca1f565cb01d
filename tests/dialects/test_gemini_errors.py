"""Gemini's error table in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.codec import Framing
from relayhub.dialects.error_rules import UPSTREAM_CREDENTIALS, UPSTREAM_QUOTA
from relayhub.dialects.gemini_generate import GeminiGenerate, render_error
from relayhub.dialects.gemini_generate.errors import RULES
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import HttpReply
from tests.dialects.test_error_tables import make
from tests.dialects.views import envelope

CODEC = GeminiGenerate()
RPC = "type.googleapis.com/google.rpc."

TABLE: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.INVALID_REQUEST: (400, "INVALID_ARGUMENT"),
    ErrorKind.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    ErrorKind.KEY_BLOCKED: (401, "UNAUTHENTICATED"),
    ErrorKind.QUOTA_EXCEEDED: (402, "FAILED_PRECONDITION"),
    ErrorKind.PERMISSION: (403, "PERMISSION_DENIED"),
    ErrorKind.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorKind.METHOD_NOT_ALLOWED: (405, "UNIMPLEMENTED"),
    ErrorKind.REQUEST_TIMEOUT: (408, "DEADLINE_EXCEEDED"),
    ErrorKind.CONFLICT: (409, "ABORTED"),
    ErrorKind.GONE: (410, "NOT_FOUND"),
    ErrorKind.BODY_TOO_LARGE: (413, "INVALID_ARGUMENT"),
    ErrorKind.UNSUPPORTED_MEDIA: (415, "INVALID_ARGUMENT"),
    ErrorKind.UNPROCESSABLE: (422, "INVALID_ARGUMENT"),
    ErrorKind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    ErrorKind.UPSTREAM_REJECTED: (400, "INVALID_ARGUMENT"),
    ErrorKind.UPSTREAM_FAILED: (502, "INTERNAL"),
    ErrorKind.UPSTREAM_RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    ErrorKind.UPSTREAM_OVERLOADED: (503, "UNAVAILABLE"),
    ErrorKind.UPSTREAM_TIMEOUT: (504, "DEADLINE_EXCEEDED"),
    ErrorKind.NO_ROUTE: (503, "UNAVAILABLE"),
    ErrorKind.UNAVAILABLE: (503, "UNAVAILABLE"),
    ErrorKind.INTERNAL: (500, "INTERNAL"),
}


def details(error: dict[str, Any]) -> dict[str, Any]:
    return {detail["@type"].removeprefix(RPC): detail for detail in error["details"]}


def test_the_table_is_complete() -> None:
    assert set(RULES) == set(TABLE) == set(ErrorKind)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_has_googles_shape(kind: ErrorKind) -> None:
    rendered = render_error(make(kind, param="p", detail="private", retry_after_s=3.5), "req_1")
    error = json.loads(rendered.body)["error"]
    assert (rendered.status, error["status"]) == TABLE[kind]
    assert (error["code"], error["message"]) == (rendered.status, "It broke.")
    told = details(error)
    assert told["RequestInfo"]["requestId"] == "req_1"
    assert told["BadRequest"]["fieldViolations"] == [{"field": "p", "description": "It broke."}]
    assert told["RetryInfo"]["retryDelay"] == "3.5s"
    assert rendered.headers["retry-after"] == "4"
    assert b"private" not in rendered.body


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (30, "30s"), (100.0, "100s"), (0.25, "0.25s")])
def test_durations_are_written_as_protobuf_does(seconds: float, text: str) -> None:
    error = json.loads(render_error(make(ErrorKind.RATE_LIMITED, retry_after_s=seconds), "r").body)["error"]
    assert details(error)["RetryInfo"]["retryDelay"] == text


@pytest.mark.parametrize("kind", [ErrorKind.AUTHENTICATION, ErrorKind.KEY_BLOCKED])
def test_a_bad_key_has_the_reason_that_clients_look_for(kind: ErrorKind) -> None:
    error = json.loads(render_error(make(kind), "r").body)["error"]
    assert details(error)["ErrorInfo"]["reason"] == "API_KEY_INVALID"
    other = json.loads(render_error(make(ErrorKind.PERMISSION), "r").body)["error"]
    assert details(other)["ErrorInfo"] == {"@type": f"{RPC}ErrorInfo", "reason": "C", "domain": "relayhub"}


@pytest.mark.parametrize("kind", list(ErrorKind))
@pytest.mark.parametrize("framing", Framing)
def test_every_kind_has_an_event_in_both_framings(kind: ErrorKind, framing: Framing) -> None:
    event = CODEC.encode_error_event(make(kind), "req_1", envelope(framing=framing))
    if framing is Framing.ARRAY:
        error = json.loads(b'[{"candidates":[]}' + event)[1]
    else:
        assert event.startswith(b"data: {")
        assert event.endswith(b"}\r\n\r\n")
        error = json.loads(event[6:])
    assert error["error"]["status"] == TABLE[kind][1]


def test_an_upstreams_refusal_keeps_its_words() -> None:
    refused = UpstreamError(
        ErrorKind.UPSTREAM_REJECTED, "m", code="c", type="OUT_OF_RANGE", retryable=False, delivered=False, status=400
    )
    assert json.loads(render_error(refused, "r").body)["error"]["status"] == "OUT_OF_RANGE"
    refused.type, refused.status = "invalid_request_error", 404
    error = json.loads(render_error(refused, "r").body)["error"]
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")


# --- from upstreams ---------------------------------------------------------------------------------------------------


def body(code: int, status: str, *info: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": "It failed.", "status": status, "details": list(info)}}


def quota(name: str) -> dict[str, Any]:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": name}]}


RETRY = {"@type": f"{RPC}RetryInfo", "retryDelay": "3.5s"}
BAD_KEY = {"@type": f"{RPC}ErrorInfo", "reason": "API_KEY_INVALID"}

CASES: list[tuple[int, dict[str, Any], ErrorKind, str, bool, bool]] = [
    (400, body(400, "INVALID_ARGUMENT"), ErrorKind.UPSTREAM_REJECTED, "invalid_argument", False, False),
    (400, body(400, "INVALID_ARGUMENT", BAD_KEY), ErrorKind.UPSTREAM_FAILED, UPSTREAM_CREDENTIALS, True, False),
    (400, body(400, "FAILED_PRECONDITION"), ErrorKind.UPSTREAM_FAILED, UPSTREAM_CREDENTIALS, True, False),
    (401, body(401, "UNAUTHENTICATED"), ErrorKind.UPSTREAM_FAILED, UPSTREAM_CREDENTIALS, True, False),
    (403, body(403, "PERMISSION_DENIED"), ErrorKind.UPSTREAM_FAILED, UPSTREAM_CREDENTIALS, True, False),
    (404, body(404, "NOT_FOUND"), ErrorKind.UPSTREAM_REJECTED, "not_found", False, False),
    (
        429,
        body(429, "RESOURCE_EXHAUSTED", quota("PerMinute"), RETRY),
        ErrorKind.UPSTREAM_RATE_LIMITED,
        "upstream_rate_limited",
        True,
        False,
    ),
    (
        429,
        body(429, "RESOURCE_EXHAUSTED", quota("RequestsPerDayPerProject"), RETRY),
        ErrorKind.UPSTREAM_FAILED,
        UPSTREAM_QUOTA,
        True,
        False,
    ),
    (500, body(500, "INTERNAL"), ErrorKind.UPSTREAM_FAILED, "upstream_error", True, True),
    (503, body(503, "UNAVAILABLE", RETRY), ErrorKind.UPSTREAM_OVERLOADED, "upstream_overloaded", True, False),
    (504, body(504, "DEADLINE_EXCEEDED"), ErrorKind.UPSTREAM_TIMEOUT, "upstream_timeout", True, True),
]


@pytest.mark.parametrize("in_a_list", [False, True])
@pytest.mark.parametrize(("status", "said", "kind", "code", "retryable", "delivered"), CASES)
def test_answers(
    status: int, said: dict[str, Any], kind: ErrorKind, code: str, retryable: bool, delivered: bool, in_a_list: bool
) -> None:
    error = CODEC.decode_error(HttpReply(status, {}, json.dumps([said] if in_a_list else said).encode()))
    assert (error.kind, error.code, error.retryable, error.delivered) == (kind, code, retryable, delivered)
    assert error.status == status
    limited = kind in (ErrorKind.UPSTREAM_RATE_LIMITED, ErrorKind.UPSTREAM_OVERLOADED)
    assert error.retry_after_s == (3.5 if limited else None)


@pytest.mark.parametrize(("status", "said", "kind", "code", "retryable", "delivered"), CASES)
def test_the_same_in_band(
    status: int, said: dict[str, Any], kind: ErrorKind, code: str, retryable: bool, delivered: bool
) -> None:
    with pytest.raises(UpstreamError) as caught:
        CODEC.decode_reply(json.dumps(said).encode())
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert (caught.value.retryable, caught.value.delivered) == (False, True)


@pytest.mark.parametrize("delay", ["x", "-1s", "1e9s", "nans", ""])
def test_unbelievable_delays_are_not_believed(delay: str) -> None:
    said = body(429, "RESOURCE_EXHAUSTED", {**RETRY, "retryDelay": delay})
    assert CODEC.decode_error(HttpReply(429, {}, json.dumps(said).encode())).retry_after_s is None


def test_a_header_counts_more_than_the_body() -> None:
    said = json.dumps(body(429, "RESOURCE_EXHAUSTED", RETRY)).encode()
    assert CODEC.decode_error(HttpReply(429, {"retry-after": "9"}, said)).retry_after_s == 9


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b"null", b'{"error":null}', b'{"error":{"details":[1]}}'])
def test_any_body_will_do(said: bytes) -> None:
    assert CODEC.decode_error(HttpReply(500, {}, said)).kind is ErrorKind.UPSTREAM_FAILED
