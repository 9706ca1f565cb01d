"""Every kind of error in every profile, and what clients' SDKs are told about trying again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.anthropic_messages import errors as anthropic_errors
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_chat.errors import (
    OPENAI_RULES,
    RELAY_RULES,
    RULES,
    ErrorProfile,
    RenderedError,
    render_error,
)
from relayhub.types import limits
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError, UpstreamError
from tests.dialects.views import envelope

STATUSES: dict[ErrorKind, tuple[int, int]] = {
    ErrorKind.INVALID_REQUEST: (400, 400),
    ErrorKind.AUTHENTICATION: (401, 401),
    ErrorKind.KEY_BLOCKED: (401, 403),
    ErrorKind.QUOTA_EXCEEDED: (402, 403),
    ErrorKind.PERMISSION: (403, 403),
    ErrorKind.NOT_FOUND: (404, 404),
    ErrorKind.METHOD_NOT_ALLOWED: (405, 405),
    ErrorKind.REQUEST_TIMEOUT: (408, 408),
    ErrorKind.CONFLICT: (409, 409),
    ErrorKind.GONE: (410, 410),
    ErrorKind.BODY_TOO_LARGE: (413, 413),
    ErrorKind.UNSUPPORTED_MEDIA: (415, 415),
    ErrorKind.UNPROCESSABLE: (422, 422),
    ErrorKind.RATE_LIMITED: (429, 429),
    ErrorKind.UPSTREAM_REJECTED: (400, 400),
    ErrorKind.UPSTREAM_FAILED: (502, 500),
    ErrorKind.UPSTREAM_RATE_LIMITED: (429, 429),
    ErrorKind.UPSTREAM_OVERLOADED: (503, 500),
    ErrorKind.UPSTREAM_TIMEOUT: (504, 500),
    ErrorKind.NO_ROUTE: (503, 503),
    ErrorKind.UNAVAILABLE: (503, 503),
    ErrorKind.INTERNAL: (500, 500),
}

UPSTREAM_KINDS = [kind for kind in ErrorKind if kind.value.startswith("upstream_")]
OWN_KINDS = [ErrorKind.NO_ROUTE, ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL]


def make(kind: ErrorKind, **fields: Any) -> RelayhubError:
    if kind in UPSTREAM_KINDS:
        return UpstreamError(kind, "It broke.", code="c", **{"retryable": True, "delivered": False, **fields})
    family = HubError if kind in OWN_KINDS else ClientError
    return family(kind, "It broke.", code="c", **fields)


def read(rendered: RenderedError) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(rendered.body)
    return value


def test_the_tables_are_complete() -> None:
    assert set(STATUSES) == set(ErrorKind)
    assert set(RULES) == set(ErrorProfile)
    for rules in RULES.values():
        assert set(rules) == set(ErrorKind)


@pytest.mark.parametrize("rules", [OPENAI_RULES, RELAY_RULES])
def test_nobody_can_change_a_table(rules: Any) -> None:
    with pytest.raises(TypeError):
        rules[ErrorKind.INTERNAL] = None


@pytest.mark.parametrize("profile", list(ErrorProfile))
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_has_its_status_and_the_whole_body(kind: ErrorKind, profile: ErrorProfile) -> None:
    rendered = render_error(make(kind, param="p", detail="private"), "req_1", profile)
    assert rendered.status == STATUSES[kind][profile is ErrorProfile.RELAY]
    body = read(rendered)
    error = body.pop("error")
    assert error.pop("type")
    assert error == {"message": "It broke.", "param": "p", "code": "c", "request_id": "req_1"}
    assert body == ({"success": False, "message": "It broke."} if profile is ErrorProfile.RELAY else {})
    assert b"private" not in rendered.body


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_has_an_event(kind: ErrorKind) -> None:
    event = OpenAIChat().encode_error_event(make(kind), "req_1", envelope())
    assert event.startswith(b"data: ")
    assert event.endswith(b"}\n\n")
    assert json.loads(event[6:])["error"]["code"] == "c"


TYPES = {
    ErrorKind.AUTHENTICATION: "authentication_error",
    ErrorKind.QUOTA_EXCEEDED: "insufficient_quota",
    ErrorKind.RATE_LIMITED: "rate_limit_error",
    ErrorKind.PERMISSION: "permission_error",
    ErrorKind.NOT_FOUND: "invalid_request_error",
    ErrorKind.INTERNAL: "server_error",
    ErrorKind.UPSTREAM_FAILED: "server_error",
}


@pytest.mark.parametrize("kind", TYPES)
def test_types_are_openais(kind: ErrorKind) -> None:
    assert read(render_error(make(kind), "r", ErrorProfile.OPENAI))["error"]["type"] == TYPES[kind]


RETRY: dict[ErrorKind, str | None] = {
    ErrorKind.INVALID_REQUEST: None,
    ErrorKind.AUTHENTICATION: None,
    ErrorKind.KEY_BLOCKED: None,
    ErrorKind.QUOTA_EXCEEDED: "false",
    ErrorKind.PERMISSION: None,
    ErrorKind.NOT_FOUND: None,
    ErrorKind.METHOD_NOT_ALLOWED: None,
    ErrorKind.REQUEST_TIMEOUT: "true",
    ErrorKind.CONFLICT: "true",
    ErrorKind.GONE: None,
    ErrorKind.BODY_TOO_LARGE: None,
    ErrorKind.UNSUPPORTED_MEDIA: None,
    ErrorKind.UNPROCESSABLE: None,
    ErrorKind.RATE_LIMITED: "true",
    ErrorKind.UPSTREAM_REJECTED: None,
    ErrorKind.UPSTREAM_FAILED: "true",
    ErrorKind.UPSTREAM_RATE_LIMITED: "true",
    ErrorKind.UPSTREAM_OVERLOADED: "true",
    ErrorKind.UPSTREAM_TIMEOUT: "true",
    ErrorKind.NO_ROUTE: "true",
    ErrorKind.UNAVAILABLE: "true",
    ErrorKind.INTERNAL: "false",
}


@pytest.mark.parametrize("profile", list(ErrorProfile))
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_sdks_are_told_to_retry_only_where_nothing_happened(kind: ErrorKind, profile: ErrorProfile) -> None:
    assert render_error(make(kind), "r", profile).headers.get("x-should-retry") == RETRY[kind]
    if kind in UPSTREAM_KINDS and RETRY[kind] is not None:
        delivered = make(kind, delivered=True)
        assert render_error(delivered, "r", profile).headers["x-should-retry"] == "false"


@pytest.mark.parametrize("code", ["upstream_credentials", "upstream_quota"])
def test_what_the_operator_must_mend_is_not_worth_a_retry(code: str) -> None:
    error = UpstreamError(ErrorKind.UPSTREAM_FAILED, "x", code=code, retryable=True, delivered=False)
    assert render_error(error, "r", ErrorProfile.OPENAI).headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (2.0, "2"), (59.01, "60"), (0.0, "0"), (-3.0, "0")])
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    error = make(ErrorKind.RATE_LIMITED, retry_after_s=seconds)
    assert render_error(error, "r", ErrorProfile.OPENAI).headers["retry-after"] == header


def test_no_wait_is_no_header() -> None:
    assert "retry-after" not in render_error(make(ErrorKind.RATE_LIMITED), "r", ErrorProfile.OPENAI).headers


@pytest.mark.parametrize("profile", list(ErrorProfile))
@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
def test_a_refusal_keeps_the_upstreams_status_and_words(status: int, profile: ErrorProfile) -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED, status=status, type="their_type", param="messages")
    rendered = render_error(error, "r", profile)
    assert rendered.status == status
    shown = read(rendered)["error"]
    assert (shown["type"], shown["param"], shown["code"]) == ("their_type", "messages", "c")


@pytest.mark.parametrize("status", [200, 401, 402, 403, 407, 409, 429, 500, 503, None])
def test_a_refusal_never_borrows_a_status_that_speaks_of_the_hub(status: int | None) -> None:
    assert render_error(make(ErrorKind.UPSTREAM_REJECTED, status=status), "r", ErrorProfile.OPENAI).status == 400


def test_only_a_refusal_shows_the_upstreams_type() -> None:
    error = make(ErrorKind.UPSTREAM_FAILED, type="their_type")
    assert read(render_error(error, "r", ErrorProfile.OPENAI))["error"]["type"] == "server_error"


SECRETS = [
    "sk-proj-abcDEF123456",
    "sk_live_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "Bearer abc.def-ghi",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "api_key=verysecretvalue",
    "API key provided: verysecretvalue",
    "sk-ab***************xyz",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_that_looks_like_a_key_is_shown(secret: str) -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED)
    error.message = f"Incorrect: {secret}, see the documents"
    for profile in ErrorProfile:
        body = render_error(error, "r", profile).body.decode()
        value = secret.split()[-1].rpartition("=")[2]
        assert value not in body
        assert "***" in body
        assert "see the documents" in body


@pytest.mark.parametrize(
    "text", ["The task-list-of-things is long", "max_tokens is too large: 5", "desk-lamp", "keys-of"]
)
def test_ordinary_words_stay(text: str) -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED)
    error.message = text
    assert read(render_error(error, "r", ErrorProfile.OPENAI))["error"]["message"] == text


def test_a_long_message_is_cut() -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED)
    error.message = "é" * 10_000
    shown = read(render_error(error, "r", ErrorProfile.RELAY))
    assert len(shown["error"]["message"]) == len(shown["message"]) == limits.MAX_ERROR_TEXT


@pytest.mark.parametrize("theirs", ["INVALID_ARGUMENT", "NOT_FOUND", "not_found_error", "request_too_large"])
def test_another_vendors_type_is_not_shown(theirs: str) -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED, status=404, type=theirs)
    assert read(render_error(error, "r", ErrorProfile.OPENAI))["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("theirs", ["INVALID_ARGUMENT", "invalid_request_error", "not_found_error", "their_type", None])
@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (401, "invalid_request_error"),
    ],
)
def test_clients_of_messages_are_told_in_their_own_words(status: int, word: str, theirs: str | None) -> None:
    error = make(ErrorKind.UPSTREAM_REJECTED, status=status, type=theirs)
    assert read(anthropic_errors.render_error(error, "r"))["error"]["type"] == word
