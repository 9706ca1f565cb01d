"""What goes over the wire: the requests that the load sends and the answers of the mock upstream."""

from __future__ import annotations

import json
import re

MODEL = "bench-model"
CLIENT_KEY = "sk-bench-client"
UPSTREAM_KEY = "sk-bench-upstream"

OPENAI_PATH = "/v1/chat/completions"
ANTHROPIC_PATH = "/v1/messages"

PACE = re.compile(rb"pace=(\d+)x(\d+)ms;")
"""In the user's text: how many chunks the mock shall stream, and how far apart. It survives a translation of the call."""
STAMP = re.compile(rb"at=(\d+);")
"""In a chunk's text: when the mock wrote it, in nanoseconds of the monotonic clock that all processes share."""
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
SCAN_BYTES = 4096
"""``stream`` and the pace stand this near to a body's beginning or end."""

FILLER = "A quick request that is neither long nor short, such as people send all day. "
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"


def plain_body(size_kib: int) -> bytes:
    """An OpenAI chat call of about this size; from 256 KiB on, the bulk of it is one base64 image."""
    room = size_kib * 1024 - 300
    if size_kib < 256:
        return _chat((FILLER * (room // len(FILLER) + 1))[:room], stream=False)
    url = "data:image/png;base64," + PIXELS * (room // len(PIXELS))
    image: list[object] = [
        {"type": "text", "text": "What is in this image?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return _chat(image, stream=False)


def stream_body(chunks: int, interval_ms: int, *, anthropic: bool = False) -> bytes:
    """A streamed call of 1 KiB that the mock answers with so many chunks, so far apart."""
    text = f"pace={chunks}x{interval_ms}ms; " + FILLER * 9
    if not anthropic:
        return _chat(text, stream=True)
    call = {"model": MODEL, "max_tokens": 256, "messages": [{"role": "user", "content": text}], "stream": True}
    return json.dumps(call, separators=(",", ":")).encode()


def _chat(content: object, *, stream: bool) -> bytes:
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": content}]
    call: dict[str, object] = {"model": MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 256}
    if stream:
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(call, separators=(",", ":")).encode()


def request(host: str, path: str, key: str, body: bytes) -> bytes:
    """The whole request as it goes out; the key in the header of the path's wire."""
    auth = f"authorization: Bearer {key}"
    if path == ANTHROPIC_PATH:
        auth = f"x-api-key: {key}\r\nanthropic-version: 2023-06-01"
    what = f"content-type: application/json\r\ncontent-length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\n{auth}\r\n{what}\r\n\r\n"
    return head.encode() + body


def plain_reply() -> bytes:
    """The mock's answer to a call that is not streamed: 1.5 KB of JSON with usage."""
    choice = {"index": 0, "message": {"role": "assistant", "content": FILLER * 14}, "finish_reason": "stop"}
    reply = {**_frame("chat.completion"), "choices": [choice], "usage": _usage(100)}
    body = json.dumps(reply, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def chunk_template() -> bytes:
    """A data chunk for ``template % stamp``; a stamp has :data:`STAMP_DIGITS` digits, so that its length is known."""
    choice = {"index": 0, "delta": {"content": " token at=%0*d;"}, "finish_reason": None}
    event = _event({**_frame("chat.completion.chunk"), "choices": [choice]})
    size = len(event) - len(b"%0*d") + STAMP_DIGITS
    return b"%x\r\n" % size + event.replace(b"%0*d", b"%%0%dd" % STAMP_DIGITS) + b"\r\n"


STAMP_DIGITS = 19


def stream_tail(chunks: int) -> bytes:
    """The finish, the usage, the end of the events and of the answer."""
    finish = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events = (
        _event({**_frame("chat.completion.chunk"), "choices": [finish]}),
        _event({**_frame("chat.completion.chunk"), "choices": [], "usage": _usage(chunks)}),
        b"data: [DONE]\n\n",
    )
    return b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events) + LAST_CHUNK


def _frame(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-0123456789abcdef", "object": kind, "created": 1_790_000_000, "model": MODEL}


def _usage(output: int) -> dict[str, object]:
    return {"prompt_tokens": 42, "completion_tokens": output, "total_tokens": 42 + output}


def _event(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
