"""What an upstream's refusals mean: whose fault, whether it may have been executed, how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.upstream_errors import retry_after
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import HttpReply

CODEC = OpenAIChat()


def decode(status: int, value: Any = None, headers: dict[str, str] | None = None) -> UpstreamError:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return CODEC.decode_error(HttpReply(status, headers or {}, body))


def error(message: str = "Because.", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


CASES: list[tuple[int, Any, ErrorKind, str, bool, bool]] = [
    # status, body, kind, code, retryable, delivered
    (400, error(code="bad"), ErrorKind.UPSTREAM_REJECTED, "bad", False, False),
    (400, error(), ErrorKind.UPSTREAM_REJECTED, "upstream_rejected", False, False),
    (404, error(code="model_not_found"), ErrorKind.UPSTREAM_REJECTED, "model_not_found", False, False),
    (404, b"<html>", ErrorKind.UPSTREAM_FAILED, "upstream_error", True, False),
    (413, b"", ErrorKind.UPSTREAM_REJECTED, "upstream_rejected", False, False),
    (415, error(), ErrorKind.UPSTREAM_REJECTED, "upstream_rejected", False, False),
    (422, {"detail": [{"loc": ["x"]}]}, ErrorKind.UPSTREAM_REJECTED, "upstream_rejected", False, False),
    (401, error(code="invalid_api_key"), ErrorKind.UPSTREAM_FAILED, "upstream_credentials", True, False),
    (403, error(), ErrorKind.UPSTREAM_FAILED, "upstream_credentials", True, False),
    (400, error(code="invalid_api_key"), ErrorKind.UPSTREAM_FAILED, "upstream_credentials", True, False),
    (
        400,
        [{"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}],
        ErrorKind.UPSTREAM_FAILED,
        "upstream_credentials",
        True,
        False,
    ),
    (402, error(), ErrorKind.UPSTREAM_FAILED, "upstream_quota", True, False),
    (429, error(type="insufficient_quota"), ErrorKind.UPSTREAM_FAILED, "upstream_quota", True, False),
    (429, error(code="credit_balance_exhausted"), ErrorKind.UPSTREAM_FAILED, "upstream_quota", True, False),
    (429, error(code="billing_hard_limit_reached"), ErrorKind.UPSTREAM_FAILED, "upstream_quota", True, False),
    (429, error(code="rate_limit_exceeded"), ErrorKind.UPSTREAM_RATE_LIMITED, "upstream_rate_limited", True, False),
    (429, b"slow down", ErrorKind.UPSTREAM_RATE_LIMITED, "upstream_rate_limited", True, False),
    (503, error(), ErrorKind.UPSTREAM_OVERLOADED, "upstream_overloaded", True, False),
    (529, b"", ErrorKind.UPSTREAM_OVERLOADED, "upstream_overloaded", True, False),
    (504, b"", ErrorKind.UPSTREAM_TIMEOUT, "upstream_timeout", True, True),
    (408, b"", ErrorKind.UPSTREAM_TIMEOUT, "upstream_timeout", True, True),
    (500, error(), ErrorKind.UPSTREAM_FAILED, "upstream_error", True, True),
    (502, b"<html>nginx</html>", ErrorKind.UPSTREAM_FAILED, "upstream_error", True, True),
    (599, b"", ErrorKind.UPSTREAM_FAILED, "upstream_error", True, True),
    (405, b"", ErrorKind.UPSTREAM_FAILED, "upstream_error", True, False),
    (302, b"", ErrorKind.UPSTREAM_FAILED, "upstream_error", True, False),
]


@pytest.mark.parametrize(("status", "body", "kind", "code", "retryable", "delivered"), CASES)
def test_a_status_means(status: int, body: Any, kind: ErrorKind, code: str, retryable: bool, delivered: bool) -> None:
    found = decode(status, body)
    assert (found.kind, found.code, found.retryable, found.delivered) == (kind, code, retryable, delivered)
    assert found.status == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "A"}}, "A"),
        ({"error": "A"}, "A"),
        ({"message": "A", "code": 7}, "A"),
        ({"object": "error", "message": "A", "type": "BadRequestError"}, "A"),
        ({"detail": "A"}, "A"),
        ([{"error": {"message": "A"}}], "A"),
        ({"error": {"message": {"text": "A"}}}, '{"text":"A"}'),
        (b"plain", "The upstream refused the request without saying why."),
        ([], "The upstream refused the request without saying why."),
    ],
)
def test_the_upstreams_words_are_found_in_any_shape(body: Any, message: str) -> None:
    assert decode(400, body).message == message


def test_a_refusal_shows_code_type_and_param_without_secrets() -> None:
    found = decode(400, error("Bad key sk-abcdef123456", type="t", code=17, param="messages[0]"))
    assert (found.type, found.code, found.param) == ("t", "17", "messages[0]")
    assert found.message == "Bad key ***"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 504])
def test_other_peoples_words_stay_in_the_log(status: int) -> None:
    found = decode(status, error("host db7.internal says: key sk-abcdef123456 is wrong", type="t"))
    assert "db7" not in found.message
    assert found.detail is not None
    assert "db7" in found.detail
    assert "abcdef" not in found.detail


DATES = {"date": "Fri, 20 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "soon"}, 2.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", **DATES}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 09:00:00 GMT", **DATES}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 -0000", **DATES}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "tomorrow", **DATES}, None),
    ],
)
def test_the_wait_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
    assert decode(429, b"", headers).retry_after_s == seconds
    assert decode(503, b"", headers).retry_after_s == seconds


@given(
    st.integers(100, 599),
    st.binary(max_size=30)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "param", "detail"]), inner, max_size=3
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=8)),
)
def test_anything_is_read_as_some_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    found = CODEC.decode_error(HttpReply(status, headers, body))
    assert isinstance(found, UpstreamError)
    assert found.message
    assert found.code
