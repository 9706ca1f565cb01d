"""A client that sees everything: status, headers, every byte, and whether the answer really ended."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Answer:
    """``took_s``: until its last byte. ``whole``: its framing ended as it should."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float
    whole: bool = True

    @property
    def events(self) -> list[bytes]:
        """The frames of a stream without comments."""
        return [frame for frame in self.body.split(b"\n\n") if frame and not frame.startswith(b":")]

    @property
    def error(self) -> dict[str, object]:
        """The error of the body, or of the last event."""
        text = (
            self.events[-1].partition(b"data: ")[2] if self.body.startswith((b"data:", b"event:", b":")) else self.body
        )
        value = json.loads(text)["error"]
        assert isinstance(value, dict)
        return value

    @property
    def done(self) -> bool:
        """A stream that ended as streams of this dialect do."""
        return b"[DONE]" in self.body


def ask(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 15,
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    started = time.monotonic()
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        try:
            data, whole = response.read(), True
        except http.client.IncompleteRead as cut:
            data, whole = cut.partial, False
        return Answer(response.status, names, data, time.monotonic() - started, whole)
    finally:
        connection.close()


def request_bytes(
    path: str, body: bytes, key: str, *more: str, method: str = "POST", length: int | None = None
) -> bytes:
    """A request as it goes over the wire. ``more``: further header lines. ``length``: what Content-Length says instead."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: hub",
        f"authorization: Bearer {key}",
        f"content-length: {len(body) if length is None else length}",
        *more,
    ]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def chat_body(model: str, **fields: object) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


@contextmanager
def connected(url: str, timeout_s: float = 10, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A plain connection. ``receive_buffer``: bytes that the kernel takes for a client that does not read."""
    address = urlsplit(url)
    assert address.hostname is not None
    with socket.socket() as raw:
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout_s)
        raw.connect((address.hostname, address.port or 80))
        yield raw


def read_until(raw: socket.socket, wanted: bytes) -> bytes:
    """What comes up to and with ``wanted``, or until the end."""
    seen = b""
    while wanted not in seen and (data := raw.recv(65536)):
        seen += data
    return seen


def read_all(raw: socket.socket) -> bytes:
    """What comes until the other side closes; a reset is an end too."""
    seen = b""
    try:
        while data := raw.recv(65536):
            seen += data
    except ConnectionResetError:
        return seen
    return seen
