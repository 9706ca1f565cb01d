"""Speech as server-sent events (``stream_format: sse``)."""

from __future__ import annotations

import base64

import orjson

from relayhub.dialects.openai_chat.errors import error_body
from relayhub.types.errors import RelayhubError
from relayhub.types.json import JsonObject
from relayhub.types.media import MediaUsage

CONTENT_TYPE = "text/event-stream; charset=utf-8"


def audio_event(audio: bytes) -> bytes:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()})


def done_event(usage: MediaUsage | None) -> bytes:
    """Tokens only where the upstream counts them."""
    done: JsonObject = {"type": "speech.audio.done"}
    if usage is not None and (usage.input_tokens or usage.output_tokens):
        total = usage.input_tokens + usage.output_tokens
        done["usage"] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": total,
        }
    return _event(done)


def error_event(error: RelayhubError, request_id: str) -> bytes:
    return _event({"type": "error", **error_body(error, request_id)})


def _event(value: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
