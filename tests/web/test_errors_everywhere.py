"""Every kind of error, as every endpoint of every mount tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.types.call import Dialect
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError, UpstreamError
from relayhub.web.errors import render
from relayhub.web.mounts import Manner, manner_of

OPENAI = ("/chat/completions", "/responses", "/embeddings", "/completions", "/moderations", "/rerank", "/models")
AUDIO = ("/audio/transcriptions", "/audio/translations")
MESSAGES = ("/messages", "/messages/count_tokens")
GENERATE = ("/models/m:generateContent", "/models/m:streamGenerateContent", "/models/m:embedContent", "/models/m%3Ax")

PATHS: dict[str, str] = {
    **{f"{mount}{path}": "openai" for mount in ("/v1", "/demo/v1") for path in (*OPENAI, *AUDIO)},
    **{f"/api/relay/v1{path}": "relay" for path in (*OPENAI, *AUDIO)},
    **{f"{mount}{path}": "anthropic" for mount in ("/v1", "/demo/v1", "/api/relay/v1") for path in MESSAGES},
    **{
        f"{mount}{path}": "gemini"
        for mount in ("/v1", "/v1beta", "/v1alpha", "/demo/v1", "/demo/v1beta")
        for path in GENERATE[:3]
    },
    **{f"{mount}/models": "gemini" for mount in ("/v1beta", "/v1alpha", "/demo/v1beta")},
}

STATUSES: dict[ErrorKind, dict[str, int]] = {
    ErrorKind.INVALID_REQUEST: {"": 400},
    ErrorKind.AUTHENTICATION: {"": 401},
    ErrorKind.KEY_BLOCKED: {"": 401, "relay": 403},
    ErrorKind.QUOTA_EXCEEDED: {"": 402, "relay": 403},
    ErrorKind.PERMISSION: {"": 403},
    ErrorKind.NOT_FOUND: {"": 404},
    ErrorKind.METHOD_NOT_ALLOWED: {"": 405},
    ErrorKind.REQUEST_TIMEOUT: {"": 408},
    ErrorKind.CONFLICT: {"": 409},
    ErrorKind.GONE: {"": 410},
    ErrorKind.BODY_TOO_LARGE: {"": 413},
    ErrorKind.UNSUPPORTED_MEDIA: {"": 415},
    ErrorKind.UNPROCESSABLE: {"": 422},
    ErrorKind.RATE_LIMITED: {"": 429},
    ErrorKind.UPSTREAM_REJECTED: {"": 400},
    ErrorKind.UPSTREAM_FAILED: {"": 502, "relay": 500},
    ErrorKind.UPSTREAM_RATE_LIMITED: {"": 429},
    ErrorKind.UPSTREAM_OVERLOADED: {"": 503, "relay": 500, "anthropic": 529},
    ErrorKind.UPSTREAM_TIMEOUT: {"": 504, "relay": 500},
    ErrorKind.NO_ROUTE: {"": 503},
    ErrorKind.UNAVAILABLE: {"": 503},
    ErrorKind.INTERNAL: {"": 500},
}
"""Status by shape; "" for all others."""

FINAL = frozenset({ErrorKind.QUOTA_EXCEEDED, ErrorKind.INTERNAL})
REPEATABLE = frozenset(
    {
        ErrorKind.RATE_LIMITED,
        ErrorKind.UPSTREAM_RATE_LIMITED,
        ErrorKind.UPSTREAM_FAILED,
        ErrorKind.UPSTREAM_OVERLOADED,
        ErrorKind.UPSTREAM_TIMEOUT,
        ErrorKind.NO_ROUTE,
        ErrorKind.UNAVAILABLE,
    }
)


def make(kind: ErrorKind, *, delivered: bool = False) -> RelayhubError:
    """Of the family that raises this kind."""
    if kind.name.startswith("UPSTREAM"):
        return UpstreamError(
            kind, "It went wrong.", code="a_code", retryable=True, delivered=delivered, retry_after_s=2.5
        )
    if kind in (ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL, ErrorKind.NO_ROUTE):
        return HubError(kind, "It went wrong.", code="a_code", retry_after_s=2.5)
    return ClientError(kind, "It went wrong.", code="a_code", param="a.field", retry_after_s=2.5)


def manner(path: str) -> Manner:
    found = manner_of(path, {}, {}, "")
    assert found is not None, path
    return found


def check_openai(body: Any, status: int) -> None:
    error = body["error"]
    assert (error["message"], error["code"], error["request_id"]) == ("It went wrong.", "a_code", "req_1")
    assert error["type"]
    assert "param" in error


def check_relay(body: Any, status: int) -> None:
    check_openai(body, status)
    assert (body["success"], body["message"]) == (False, "It went wrong.")


def check_anthropic(body: Any, status: int) -> None:
    assert (body["type"], body["request_id"]) == ("error", "req_1")
    assert body["error"]["message"] == "It went wrong."
    assert body["error"]["type"].endswith(("_error", "_too_large"))


def check_gemini(body: Any, status: int) -> None:
    error = body["error"]
    assert (error["code"], error["message"]) == (status, "It went wrong.")
    assert error["status"].isupper()


CHECKS = {"openai": check_openai, "relay": check_relay, "anthropic": check_anthropic, "gemini": check_gemini}


@pytest.mark.parametrize("kind", list(ErrorKind))
@pytest.mark.parametrize("path", PATHS)
def test_every_kind_on_every_endpoint(path: str, kind: ErrorKind) -> None:
    shape = PATHS[path]
    rendered = render(make(kind), "req_1", manner(path))
    assert rendered.status == STATUSES[kind].get(shape, STATUSES[kind][""])
    CHECKS[shape](json.loads(rendered.body), rendered.status)
    assert rendered.headers["retry-after"] == "3"
    if shape == "anthropic":
        assert rendered.headers["request-id"] == "req_1"
    if kind in FINAL:
        assert rendered.headers["x-should-retry"] == "false"
    if kind in REPEATABLE:
        assert rendered.headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    "kind", [kind for kind in ErrorKind if kind.name.startswith("UPSTREAM") and kind in REPEATABLE]
)
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:x", "/api/relay/v1/responses"]
)
def test_what_may_have_been_executed_is_not_repeated(path: str, kind: ErrorKind) -> None:
    assert render(make(kind, delivered=True), "r", manner(path)).headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [401, 402, 403, 407, 408, 409, 429])
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:x", "/api/relay/v1/responses"]
)
def test_an_upstreams_refusal_never_speaks_about_the_clients_key(path: str, status: int) -> None:
    error = UpstreamError(ErrorKind.UPSTREAM_REJECTED, "no", code="c", retryable=False, delivered=False, status=status)
    assert render(error, "r", manner(path)).status == 400


def test_every_kind_is_listed() -> None:
    assert set(STATUSES) == set(ErrorKind)
    assert {manner(path).dialect for path in PATHS} == {
        Dialect.OPENAI_CHAT,
        Dialect.OPENAI_RESPONSES,
        Dialect.ANTHROPIC_MESSAGES,
        Dialect.GEMINI_GENERATE,
    }
