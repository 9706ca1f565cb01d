"""Requests as bytes. The client owns the framing; what it is given cannot change where the head ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")
_PATH = re.compile(r"[\x21-\x7e]+")
_USUAL_NAMES = frozenset({"accept", "accept-encoding", "authorization", "content-type", "user-agent", "x-api-key"})
_OWN = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""Headers about the connection and the framing, which nobody but this client can know."""

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class Origin(NamedTuple):
    """What a connection is good for."""

    tls: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """``host``: the value of the header; ``path``: with the query."""

    origin: Origin
    host: str
    path: str


def target_of(url: str) -> Target:
    """``url``: absolute and percent-encoded. Raises ``ValueError``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("the upstream's address must be http:// or https:// and a host, without a user")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    tls = parts.scheme == "https"
    usual_port = 443 if tls else 80
    port = parts.port or usual_port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PATH.fullmatch(path) or not _PATH.fullmatch(host):
        raise ValueError("the upstream's address has characters that must be percent-encoded")
    name = f"[{host}]" if ":" in host else host
    return Target(Origin(tls, host, port), name if port == usual_port else f"{name}:{port}", path)


def with_size(start: bytes, method: str, size: int) -> bytes:
    """The whole head. ``start``: of :func:`head_start`; ``size``: of the body."""
    if size or method not in _BODILESS:
        return b"%bcontent-length: %d\r\n\r\n" % (start, size)
    return start + b"\r\n"


def with_body(start: bytes, method: str, body: bytes) -> bytes:
    """The whole request. As :func:`with_size` and the body, but the head is copied once."""
    if body or method not in _BODILESS:
        return b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body)
    return start + b"\r\n"


def head_start(method: str, target: Target, headers: Mapping[str, str], defaults: Mapping[str, str]) -> bytes:
    """All of a head but the length of the body, which is what changes from request to request. ``defaults``: sent where
    ``headers`` has no such name. Raises ``ValueError`` for what cannot stand in a head."""
    lines = [f"{method} {target.path} HTTP/1.1"]
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no HTTP method")
    if "host" not in headers:
        lines.append(f"host: {target.host}")
    lines += [f"{name}: {value}" for name, value in defaults.items() if name not in headers]
    for name, value in headers.items():
        if name in _OWN:
            continue
        if name not in _USUAL_NAMES and not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no header name")
        if not value.isprintable() and not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name} has a value with a line break or a control character")
        lines.append(f"{name}: {value}")
    lines.append("")
    return "\r\n".join(lines).encode()
