"""Pieces of OpenAI's wire, for upstreams made of bytes."""

from __future__ import annotations

import json

DONE = b"data: [DONE]\n\n"


def chunk(model: str, *, content: str | None = None, finish: str | None = None, **extra: object) -> bytes:
    delta = {} if content is None else {"content": content}
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **extra,
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def usage_chunk(model: str, prompt: int, completion: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": model}
    return b"data: " + json.dumps({**value, "choices": [], "usage": usage}).encode() + b"\n\n"


def completion(model: str, content: str = "Hello.", prompt: int = 10, output: int = 5) -> bytes:
    """Spaced on purpose: what is passed through must not be written anew."""
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output},
    }
    return json.dumps(value, indent=1).encode()


def error(message: str, *, type_: str, code: str | None = None, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}}).encode()
