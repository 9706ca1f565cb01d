"""How an answer ended: a status and its details here, a finish reason in the hub."""

from __future__ import annotations

from relayhub.dialects.fields import nested
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.chat import FinishReason
from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.json import Json, JsonObject

_INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}


def finish_of(response: JsonObject, *, tool_calls: bool) -> FinishReason:
    """A cut or filtered answer stays one even with tool calls in it: they are not runnable."""
    if response.get("status") == "incomplete":
        filtered = nested(response, "incomplete_details").get("reason") == "content_filter"
        return FinishReason.CONTENT_FILTER if filtered else FinishReason.LENGTH
    return FinishReason.TOOL_CALLS if tool_calls else FinishReason.STOP


def ending_fields(reason: FinishReason) -> JsonObject:
    cause = _INCOMPLETE.get(reason)
    if cause is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": cause}}


def is_cut(reason: FinishReason) -> bool:
    return reason in _INCOMPLETE


def failure_of(response: JsonObject) -> UpstreamError | None:
    """For a response that will never have an answer."""
    match response.get("status"):
        case "failed":
            return in_stream_error(response.get("error") or {"code": "server_error"})
        case "cancelled":
            return upstream_broke("the upstream cancelled it")
        case _:
            return in_stream_error(response["error"]) if response.get("error") else None


def error_of_event(event: JsonObject) -> UpstreamError:
    """The flat ``error`` event, or one whose error is an object of its own."""
    inner = event.get("error")
    said: Json = inner if inner else {key: event.get(key) for key in ("code", "message", "param")}
    return in_stream_error(said)
