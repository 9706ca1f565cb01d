"""Requests as bytes: nothing that is put into a head can end it early or add to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.upstream.lean.outgoing import Origin, head_start, target_of, with_size

TARGET = target_of("http://h.example:81/v1/x?a=%2F")
DEFAULTS = {"user-agent": "relayhub/test", "accept-encoding": "identity"}


def fields(headers: dict[str, str], method: str = "POST", size: int = 2) -> list[bytes]:
    head = with_size(head_start(method, TARGET, headers, DEFAULTS), method, size)
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "origin", "host", "path"),
    [
        ("https://h.example", Origin(True, "h.example", 443), "h.example", "/"),
        ("http://h.example:80/a%20b", Origin(False, "h.example", 80), "h.example", "/a%20b"),
        ("https://H.Example:8443?x=1", Origin(True, "h.example", 8443), "h.example:8443", "/?x=1"),
        ("http://[::1]:9/a#part", Origin(False, "::1", 9), "[::1]:9", "/a"),
        ("http://b\xfccher.example/", Origin(False, "xn--bcher-kva.example", 80), "xn--bcher-kva.example", "/"),
    ],
)
def test_addresses(url: str, origin: Origin, host: str, path: str) -> None:
    target = target_of(url)
    assert (target.origin, target.host, target.path) == (origin, host, path)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "h.example/v1",
        "http://",
        "http:///x",
        "http://u:p@h/",
        "http://h/a b",
        "http://h/\xe9",
        "http://h:x/",
    ],
)
def test_addresses_that_nothing_can_be_sent_to(url: str) -> None:
    with pytest.raises(ValueError):
        target_of(url)


def test_a_head_has_what_it_was_given_and_the_framing() -> None:
    assert fields({"content-type": "application/json", "authorization": "Bearer k"}) == [
        b"POST /v1/x?a=%2F HTTP/1.1",
        b"host: h.example:81",
        b"user-agent: relayhub/test",
        b"accept-encoding: identity",
        b"content-type: application/json",
        b"authorization: Bearer k",
        b"content-length: 2",
    ]


def test_given_headers_replace_the_defaults_and_the_host() -> None:
    lines = fields({"user-agent": "mine", "host": "elsewhere"})
    assert lines[1:] == [b"accept-encoding: identity", b"user-agent: mine", b"host: elsewhere", b"content-length: 2"]


@pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"])
def test_framing_is_nobody_elses_business(name: str) -> None:
    assert fields({name: "1"}) == fields({})


@pytest.mark.parametrize(("method", "size", "told"), [("GET", 0, False), ("POST", 0, True), ("GET", 3, True)])
def test_when_a_length_is_told(method: str, size: int, told: bool) -> None:
    assert (f"content-length: {size}".encode() in fields({}, method, size)) is told


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\x00b", "a\x7f", "\ud800", "a\x1b[0m"])
def test_values_with_line_breaks_or_controls_are_refused(value: str) -> None:
    with pytest.raises(ValueError):
        fields({"x-value": value})


@pytest.mark.parametrize("name", ["a b", "a:b", "a\r\nb", "", "\xe9"])
def test_names_that_are_no_tokens_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header name"):
        fields({name: "v"})


@pytest.mark.parametrize("method", ["GET /", "", "G\r\nT"])
def test_methods_that_are_no_tokens_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        fields({}, method)


@given(st.text(), st.text())
def test_whatever_is_put_in_there_is_one_line_each_or_nothing(name: str, value: str) -> None:
    plain = len(fields({}))
    try:
        lines = fields({name: value})
    except ValueError:
        return
    assert len(lines) <= plain + 1
    assert all(b"\r" not in line and b"\n" not in line and b"\x00" not in line for line in lines)


def test_values_outside_ascii_are_sent_as_utf_8() -> None:
    assert "x-title: 中文\ttab".encode() in fields({"x-title": "中文\ttab"})
