"""The Anthropic service: messages, counting, models. It signs its thinking and knows every block it ever gave out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from relayhub.testing import Answer, Recorded
from tests.support.standins.anthropic_rules import check, thinking_of
from tests.support.standins.base import KEY, SSE, Refusal, StandIn, need
from tests.support.standins.scenes import End, Scene, halves, recorded, scene, scene_named

FIXTURE_SIGNATURE = "b3BhcXVlIHRoaW5raW5nIHNpZ25hdHVyZSBmb3IgdGhlIGZpeHR1cmU="
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
COUNTED = 14
MODELS = ("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-opus-4-7")
CREATED = "2026-01-01T00:00:00Z"
VERSIONS = ("2023-06-01", "2026-10-21")
STOP_REASON = {
    End.STOP: "end_turn",
    End.LENGTH: "max_tokens",
    End.STOP_SEQUENCE: "stop_sequence",
    End.TOOLS: "tool_use",
    End.FILTER: "refusal",
}


class AnthropicStandIn(StandIn):
    """``issued``: (signature, thinking) of every block given out; ``returned``: those that came back, in order."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.issued = {(FIXTURE_SIGNATURE, "17 has no divisor up to 4."), (FIXTURE_SIGNATURE, "")}
        self.issued.add((FIXTURE_SIGNATURE, "I need the tool."))
        self.returned: list[tuple[str, str]] = []

    def authenticate(self, request: Recorded) -> None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        need(request.headers.get("x-api-key", bearer) == KEY, "invalid x-api-key", status=401)

    def serve(self, request: Recorded) -> Answer:
        version = request.headers.get("anthropic-version")
        need(version, "anthropic-version: header is required")
        need(version in VERSIONS, f"anthropic-version: {version!r} is not a valid version")
        assert version is not None
        match request.method, request.path:
            case "POST", "/v1/messages":
                return self._create(request, version)
            case "POST", "/v1/messages/count_tokens":
                body = request.json()
                need("max_tokens" not in body, "max_tokens: Extra inputs are not permitted")
                need("stream" not in body, "stream: Extra inputs are not permitted")
                check({**body, "max_tokens": 64000}, version, self.issued)
                return Answer.json({"input_tokens": COUNTED}, request_id="req_upstream")
            case "GET", "/v1/models":
                data = [{"type": "model", "id": name, "display_name": name, "created_at": CREATED} for name in MODELS]
                return Answer.json({"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})
            case _:
                raise Refusal("Not Found", status=404)

    def _create(self, request: Recorded, version: str) -> Answer:
        body = request.json()
        self.returned += check(body, version, self.issued)
        self.bodies.append(body)
        last = body["messages"][-1]["content"]  # type: ignore[index]
        results = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
        name = scene_named(request.body, results=results)
        return self.played(name) or self._perform(body, name)

    def _perform(self, body: Mapping[str, Any], name: str) -> Answer:
        stream = body.get("stream") is True
        thinking = thinking_of(body)
        fixture = recorded("anthropic").get(name)
        if fixture is not None and fixture.streamed is stream and (thinking or "thinking" not in name):
            return Answer(fixture.status, fixture.response, fixture.headers)
        played = scene("anthropic", name)
        if played is None:
            raise Refusal(f"no scene {name!r} here")
        blocks = self._blocks(played, thinking)
        if stream:
            return Answer(200, b"".join(_events(played, blocks, body["model"])), SSE)
        return Answer.json(_message(played, blocks, body["model"]), request_id="req_upstream")

    def _blocks(self, played: Scene, thinking: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        serial = self.number()
        blocks: list[dict[str, Any]] = []
        if played.reasoning and thinking:
            shown = "" if thinking.get("display") == "omitted" else played.reasoning
            signature = base64.b64encode(f"signed thinking {serial}".encode()).decode()
            self.issued.add((signature, shown))
            blocks.append({"type": "thinking", "thinking": shown, "signature": signature})
        if played.text:
            blocks.append({"type": "text", "text": played.text})
        for use in played.calls:
            blocks.append({"type": "tool_use", "id": f"{use.id}_{serial}", "name": use.name, "input": use.arguments})
        return blocks

    def refuse(self, refusal: Refusal) -> Answer:
        return self._error(refusal.status, refusal.message)

    def _error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        error = {"type": TYPES[status], "message": message}
        body = {"type": "error", "error": error, "request_id": "req_upstream"}
        head = {"content-type": "application/json", "request-id": "req_upstream", **(headers or {})}
        return Answer(status, orjson.dumps(body), head)

    def failure(self, name: str, status: int) -> Answer:
        if name in recorded("anthropic"):
            fixture = recorded("anthropic")[name]
            return Answer(fixture.status, fixture.response, fixture.headers)
        retry = {"retry-after": "7"} if status in (429, 503, 529) else None
        return self._error(status, f"It failed with {status}, {KEY}.", retry)


def usage_of(played: Scene) -> dict[str, Any]:
    spent = played.spent
    usage: dict[str, Any] = {
        "input_tokens": spent.input - spent.cached - spent.written,
        "cache_creation_input_tokens": spent.written,
        "cache_read_input_tokens": spent.cached,
        "output_tokens": spent.output,
    }
    if spent.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": spent.reasoning}
    return usage


def _message(played: Scene, blocks: list[dict[str, Any]], model: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": STOP_REASON[played.end],
        "stop_sequence": "three" if played.end is End.STOP_SEQUENCE else None,
        "usage": usage_of(played),
    }


def _events(played: Scene, blocks: list[dict[str, Any]], model: str) -> Iterator[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()

    whole = _message(played, blocks, model)
    usage = {**whole["usage"], "output_tokens": 1}
    yield event(
        "message_start", message={**whole, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    )
    yield b'event: ping\ndata: {"type": "ping"}\n\n'
    for index, block in enumerate(blocks):
        start, deltas = _block_events(block)
        yield event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        if played.cut:
            return
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}
    yield event("message_delta", delta=delta, usage=whole["usage"])
    yield event("message_stop")


def _block_events(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
            return start, [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]
        case "text":
            return {"type": "text", "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in halves(block["text"])
            ]
        case _:
            arguments = json.dumps(block["input"]) if block["input"] else ""
            pieces = ["", *halves(arguments)]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
