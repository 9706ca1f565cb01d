"""An error after the head of a streamed answer was sent."""

from __future__ import annotations

import orjson

from relayhub.dialects.redact import shown
from relayhub.types.errors import RelayhubError
from relayhub.types.json import JsonObject


def encode_error_event(error: RelayhubError, request_id: str, model: str) -> bytes:
    """``response.failed``, the last event. What the response had become by then is not known here, nor is the next
    sequence number: the event has 0."""
    response: JsonObject = {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": {"code": error.code, "message": shown(error.message)},
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    event: JsonObject = {"type": "response.failed", "sequence_number": 0, "response": response}
    return b"event: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"
