"""The head of a request, if it is one of the plainest kind. Sans-io."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_HEAD = 16 << 10
MOST_HEADERS = 64
"""SDKs send about twenty."""

_LINES = rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)++"
_HEAD = re.compile(rb"POST (/[A-Za-z0-9/_.\-]*+) HTTP/1\.1\r\n(" + _LINES + rb")\r\n")
_LENGTH = re.compile(r"[0-9]{1,12}")

_SPECIAL = frozenset(
    {"transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te", "http2-settings"}
    | {"idempotency-key", "origin", "access-control-request-method"}
    | {"proxy-connection", "sec-websocket-key1"}
)
"""Whoever sends one of these asks for more than a plain answer, or for care with the framing."""

_ONCE = frozenset({"content-length", "host", "connection", "content-type"})
CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class QuickHead:
    """All but the length of the body. ``fingerprint``: of the credential. ``headers``: names lower case, of several with
    one name all values, by commas, and without credential and length. ``forwarded``: the values of X-Forwarded-For."""

    path: str
    fingerprint: str
    headers: Mapping[str, str]
    forwarded: tuple[str, ...]


def read_head(block: bytes, fingerprint: Callable[[str], str]) -> tuple[QuickHead, int] | None:
    """With the length of the body, in bytes. ``block``: request line to empty line, inclusive. ``None``: not of the plainest
    kind, or in doubt."""
    match = _HEAD.fullmatch(block)
    if match is None:
        return None
    headers: dict[str, str] = {}
    forwarded: list[str] = []
    lines = match[2].decode("utf-8", "surrogateescape").split("\r\n")[:-1]
    if len(lines) > MOST_HEADERS:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in _SPECIAL or (name in headers and (name in _ONCE or name in CREDENTIALS)):
            return None
        if name == "x-forwarded-for":
            forwarded.append(value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    length, credential = headers.pop("content-length", ""), _credential(headers)
    if credential is None or "host" not in headers or _LENGTH.fullmatch(length) is None:
        return None
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return QuickHead(match[1].decode(), fingerprint(credential), headers, tuple(forwarded)), int(length)


def _credential(headers: dict[str, str]) -> str | None:
    found = [name for name in CREDENTIALS if name in headers]
    if len(found) != 1:
        return None
    value = headers.pop(found[0])
    if found[0] == "authorization":
        if value[: len(_BEARER)].lower() != _BEARER:
            return None
        value = value[len(_BEARER) :].strip()
    return value or None
