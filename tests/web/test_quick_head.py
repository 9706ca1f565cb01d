"""Which requests come in by the short way, and that a request in doubt never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.web.quick.head import MOST_HEADERS, QuickHead, read_head

PLAIN = {
    "host": "hub.example",
    "authorization": "Bearer sk_live_key",
    "content-type": "application/json",
    "content-length": "12",
}


def block(headers: dict[str, str], start: str = "POST /v1/chat/completions HTTP/1.1") -> bytes:
    return "\r\n".join([start, *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]).encode()


def read(data: bytes) -> tuple[QuickHead, int] | None:
    return read_head(data, lambda credential: f"<{credential}>")


def test_a_plain_request_is_read() -> None:
    found = read(block({**PLAIN, "X-Forwarded-For": "10.0.0.1", "Anthropic-Beta": "a"}))
    assert found is not None
    head, length = found
    assert (head.path, length, head.fingerprint) == ("/v1/chat/completions", 12, "<sk_live_key>")
    assert head.forwarded == ("10.0.0.1",)
    assert head.headers["anthropic-beta"] == "a"
    assert not {"authorization", "content-length"} & set(head.headers)


@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key"])
def test_the_other_places_of_a_key(name: str) -> None:
    headers = {**PLAIN, name: "key"}
    assert read(block(headers)) is None, "two credentials may contradict each other"
    del headers["authorization"]
    found = read(block(headers))
    assert found is not None
    assert found[0].fingerprint == "<key>"


@pytest.mark.parametrize(
    "change",
    [
        {"transfer-encoding": "chunked"},
        {"content-encoding": "gzip"},
        {"expect": "100-continue"},
        {"upgrade": "h2c"},
        {"proxy-connection": "close"},
        {"sec-websocket-key1": "0"},
        {"idempotency-key": "a"},
        {"origin": "https://a.example"},
        {"connection": "close"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer "},
        {"content-length": "+12"},
        {"content-length": "-1"},
        {"content-length": "1_2"},
        {"content-length": "0x1"},
        {"content-length": "12, 12"},
        {"content-length": ""},
        {"content-length": "1" * 13},
        {"x-odd": "a\nb: c"},
        {"x-odd": "a\0b"},
        {"x odd": "a"},
        {"": "a"},
    ],
)
def test_whatever_asks_for_more_or_is_in_doubt_is_left_to_the_framework(change: dict[str, str]) -> None:
    assert read(block({**PLAIN, **change})) is None


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_may_be_missing_or_twice(name: str) -> None:
    whole = block(PLAIN)
    line = f"{name}: {PLAIN[name]}\r\n".encode()
    assert read(whole.replace(line, line + line)) is None
    if name != "content-type":
        assert read(whole.replace(line, b"")) is None


@pytest.mark.parametrize(
    "start",
    [
        "GET /v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.0",
        "POST /v1/chat/completions?key=a HTTP/1.1",
        "POST /v1/%63hat/completions HTTP/1.1",
        "POST http://hub.example/v1/chat/completions HTTP/1.1",
        "POST  /v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.1 ",
    ],
)
def test_any_other_request_line_is_left_to_the_framework(start: str) -> None:
    assert read(block(PLAIN, start)) is None


def test_a_folded_line_and_a_bare_line_feed_are_left_to_the_framework() -> None:
    assert read(block(PLAIN).replace(b"\r\nhost", b"\r\nx-a: b\r\n c\r\nhost")) is None
    assert read(block(PLAIN).replace(b"\r\nhost", b"\nhost")) is None


def test_many_headers_are_left_to_the_framework() -> None:
    assert read(block({**PLAIN, **{f"x-{n}": "a" for n in range(MOST_HEADERS)}})) is None


@given(st.binary(max_size=40), st.integers(0, 120), st.integers(0, 6))
def test_no_damage_to_a_head_changes_what_is_understood(noise: bytes, at: int, cut: int) -> None:
    """Whatever is still read has one length, one path and no line that could be two."""
    whole = block(PLAIN)
    found = read(whole[:at] + noise + whole[at + cut :])
    if found is not None:
        head, length = found
        assert length >= 0
        assert not any(set("\r\n\0") & set(name + value) for name, value in head.headers.items())
