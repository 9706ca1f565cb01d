"""An upstream's own error answers become what the contract says, by their status alone."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from relayhub.sdk import ErrorKind, HttpReply, read_upstream_error


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "delivered"),
    [
        (400, ErrorKind.UPSTREAM_REJECTED, False, False),
        (401, ErrorKind.UPSTREAM_FAILED, True, False),
        (403, ErrorKind.UPSTREAM_FAILED, True, False),
        (404, ErrorKind.UPSTREAM_REJECTED, False, False),
        (422, ErrorKind.UPSTREAM_REJECTED, False, False),
        (429, ErrorKind.UPSTREAM_RATE_LIMITED, True, False),
        (500, ErrorKind.UPSTREAM_FAILED, True, True),
        (503, ErrorKind.UPSTREAM_OVERLOADED, True, False),
        (504, ErrorKind.UPSTREAM_TIMEOUT, True, True),
    ],
)
def test_the_status_decides(status: int, kind: ErrorKind, retryable: bool, delivered: bool) -> None:
    error = read_upstream_error(HttpReply(status, {}, b"?"), "it said so")
    assert (error.kind, error.retryable, error.delivered, error.status) == (kind, retryable, delivered, status)
    assert ("it said so" in error.message) is (kind is ErrorKind.UPSTREAM_REJECTED)


def test_secrets_are_taken_out_of_text_and_code() -> None:
    error = read_upstream_error(
        HttpReply(400, {}, b""), "bad key hush-hush", code="hush-hush", secrets=["hush-hush", ""]
    )
    assert "hush-hush" not in f"{error.message} {error.code} {error.detail}"
    assert error.message == "bad key ***"


def test_a_page_of_a_proxy_is_not_the_clients_fault() -> None:
    error = read_upstream_error(HttpReply(404, {}, b"<html>"))
    assert (error.kind, error.delivered) == (ErrorKind.UPSTREAM_FAILED, False)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": formatdate(1020, usegmt=True), "date": formatdate(1000, usegmt=True)}, 20),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert read_upstream_error(HttpReply(429, headers, b"")).retry_after_s == seconds


def test_text_that_cannot_be_written_is_survived() -> None:
    assert read_upstream_error(HttpReply(400, {}, b""), "half a \ud83d").message.startswith("half a")
