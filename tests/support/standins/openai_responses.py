"""The Responses API as the OpenAI service takes and gives it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from relayhub.testing import Answer
from tests.support.standins.base import SSE, Refusal, is_data_url, is_link, known, need
from tests.support.standins.openai_chat import EFFORTS, NAME, check_strict
from tests.support.standins.scenes import End, Scene, halves, recorded, scene

if TYPE_CHECKING:
    from tests.support.standins.openai import OpenAIStandIn

FIXTURE_SEAL = "b3BhcXVlIHJlYXNvbmluZyBzdGF0ZSBmb3IgdGhlIGZpeHR1cmU="
FIELDS = frozenset(
    [
        "model",
        "input",
        "instructions",
        "max_output_tokens",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tool_calls",
        "reasoning",
        "text",
        "include",
        "store",
        "previous_response_id",
        "conversation",
        "background",
        "truncation",
        "stream",
        "stream_options",
        "metadata",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "user",
        "safety_identifier",
        "top_logprobs",
        "context_management",
        "moderation",
    ]
)
CONTENT = {
    "user": {"input_text", "input_image", "input_file"},
    "system": {"input_text"},
    "developer": {"input_text"},
    "assistant": {"output_text", "refusal"},
}
UNKNOWN = "Unknown parameter: '{}'."


# --- what is refused --------------------------------------------------------------------------------------------------


def check(body: Mapping[str, Any], sealed: set[str]) -> list[str]:
    """``sealed``: what was given out. Gives the encrypted reasoning that came back. Raises :class:`Refusal`."""
    known(body, FIELDS, UNKNOWN)
    need(isinstance(body.get("model"), str), "Missing required parameter: 'model'.", param="model")
    asked = body.get("input")
    need(isinstance(asked, str) or asked, "Invalid 'input': empty array.", param="input", kind="empty_array")
    for name in ("previous_response_id", "conversation"):
        need(
            body.get(name) is None,
            f"Previous response with id '{body.get(name)}' not found.",
            param=name,
            kind="previous_response_not_found",
        )
    if isinstance(asked, list):
        for at, item in enumerate(asked):
            _item(item, f"input[{at}]", sealed)
        _pairs(asked)
    cap = body.get("max_output_tokens")
    need(
        cap is None or cap >= 16,
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.",
        param="max_output_tokens",
    )
    need(body.get("temperature") is None or 0 <= body["temperature"] <= 2, "Invalid 'temperature'", param="temperature")
    _tools(body)
    _format((body.get("text") or {}).get("format"))
    known(body.get("text") or {}, {"format", "verbosity"}, UNKNOWN, "text")
    reasoning = body.get("reasoning") or {}
    known(reasoning, {"effort", "summary", "context", "mode"}, UNKNOWN, "reasoning")
    need(reasoning.get("effort") in (None, *EFFORTS), "Invalid 'reasoning.effort'", param="reasoning.effort")
    items = asked if isinstance(asked, list) else []
    return [item["encrypted_content"] for item in items if item.get("encrypted_content")]


def _item(item: Any, path: str, sealed: set[str]) -> None:
    match item.get("type", "message"):
        case "message":
            known(item, {"type", "role", "content", "id", "status", "phase"}, UNKNOWN, path)
            role = item.get("role")
            need(role in CONTENT, f"Invalid value: '{role}'.", param=f"{path}.role")
            if isinstance(item["content"], list):
                for at, part in enumerate(item["content"]):
                    _part(part, CONTENT[role], f"{path}.content[{at}]")
        case "function_call":
            known(item, {"type", "id", "call_id", "name", "arguments", "status", "namespace", "caller"}, UNKNOWN, path)
            need(
                str(item.get("id") or "fc_").startswith("fc"),
                f"Invalid '{path}.id': expected an ID that begins with 'fc'.",
                param=f"{path}.id",
            )
            need(NAME.fullmatch(item["name"]) and isinstance(item["arguments"], str), f"Invalid {path}", param=path)
            need(len(item["call_id"]) <= 64, f"Invalid '{path}.call_id': string too long.", param=path)
        case "function_call_output":
            known(item, {"type", "id", "call_id", "output", "status", "caller"}, UNKNOWN, path)
            if isinstance(item["output"], list):
                for at, part in enumerate(item["output"]):
                    _part(part, CONTENT["user"], f"{path}.output[{at}]")
        case "reasoning":
            known(item, {"type", "id", "summary", "content", "encrypted_content", "status"}, UNKNOWN, path)
            need(str(item.get("id") or "rs_").startswith("rs"), f"Invalid '{path}.id'", param=f"{path}.id")
            need(isinstance(item.get("summary"), list), f"Missing required parameter: '{path}.summary'.", param=path)
            seal = item.get("encrypted_content")
            need(
                seal is None or seal in sealed,
                "The encrypted content could not be verified.",
                param=path,
                kind="invalid_encrypted_content",
            )
        case kind:
            raise Refusal(f"Invalid value: '{kind}'.", param=f"{path}.type")


def _part(part: Any, kinds: set[str], path: str) -> None:
    kind = part.get("type")
    need(kind in kinds, f"Invalid value: '{kind}'. Supported values are: {sorted(kinds)}.", param=path)
    match kind:
        case "input_image":
            known(part, {"type", "image_url", "file_id", "detail"}, UNKNOWN, path)
            url = part.get("image_url")
            need(part.get("file_id") or is_link(url) or is_data_url(url), f"Invalid '{path}.image_url'", param=path)
        case "input_file":
            known(part, {"type", "file_data", "file_id", "file_url", "filename", "detail"}, UNKNOWN, path)
            data = part.get("file_data")
            need(
                data is None or (is_data_url(data) and part.get("filename")), f"Invalid '{path}.file_data'", param=path
            )
        case "output_text":
            known(part, {"type", "text", "annotations", "logprobs"}, UNKNOWN, path)


def _pairs(items: list[Any]) -> None:
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    for call_id in outputs:
        need(call_id in calls, f"No tool call found for function call output with call_id {call_id}.", param="input")
    for call_id in calls:
        need(call_id in outputs, f"No tool output found for function call {call_id}.", param="input")


def _tools(body: Mapping[str, Any]) -> None:
    for at, tool in enumerate(body.get("tools") or ()):
        if tool["type"] != "function":
            continue
        known(tool, {"type", "name", "description", "parameters", "strict"}, UNKNOWN, f"tools[{at}]")
        need(NAME.fullmatch(tool["name"]), f"Invalid 'tools[{at}].name'", param=f"tools[{at}].name")
        if tool.get("strict", True):
            check_strict(tool.get("parameters") or {}, f"tools[{at}].parameters")


def _format(value: Any) -> None:
    if value is not None and value["type"] == "json_schema":
        known(value, {"type", "name", "schema", "strict", "description"}, UNKNOWN, "text.format")
        need(
            re.fullmatch(r"[A-Za-z0-9_-]+", value.get("name") or ""),
            "Missing 'text.format.name'",
            param="text.format.name",
        )


def ends_with_results(body: Mapping[str, Any]) -> bool:
    asked = body.get("input")
    return isinstance(asked, list) and asked[-1].get("type") == "function_call_output"


# --- what is answered -------------------------------------------------------------------------------------------------


def perform(body: Mapping[str, Any], name: str, service: OpenAIStandIn) -> Answer:
    stream = body.get("stream") is True
    fixture = recorded("openai_responses").get(name)
    if fixture is not None and fixture.streamed is stream and name != "stream_thinking":
        return Answer(fixture.status, fixture.response, fixture.headers)
    played = scene("openai_responses", name)
    if played is None:
        raise Refusal(f"no scene {name!r} here")
    response = _response(body)
    items = _items(played, body, service)
    if stream:
        return Answer(200, b"".join(_events(played, response, items)), SSE)
    return Answer.json({**response, **_ended(played, items)})


def _response(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "text": {"format": {"type": "text"}},
        "usage": None,
    }


def _ended(played: Scene, items: list[dict[str, Any]]) -> dict[str, Any]:
    reason = {End.LENGTH: "max_output_tokens", End.FILTER: "content_filter"}.get(played.end)
    spent = played.spent
    return {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": {
            "input_tokens": spent.input,
            "input_tokens_details": {"cached_tokens": spent.cached, "cache_write_tokens": spent.written},
            "output_tokens": spent.output,
            "output_tokens_details": {"reasoning_tokens": spent.reasoning},
            "total_tokens": spent.input + spent.output,
        },
    }


def _items(played: Scene, body: Mapping[str, Any], service: OpenAIStandIn) -> list[dict[str, Any]]:
    serial = service.number()
    items: list[dict[str, Any]] = []
    if played.reasoning:
        summary = [{"type": "summary_text", "text": played.reasoning}]
        asked = (body.get("reasoning") or {}).get("summary")
        item: dict[str, Any] = {"id": f"rs_{serial}", "type": "reasoning", "summary": summary if asked else []}
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            item["encrypted_content"] = base64.b64encode(f"sealed reasoning {serial}".encode()).decode()
            service.sealed.add(item["encrypted_content"])
        items.append(item)
    if played.text:
        part = {"type": "output_text", "text": played.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{serial}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    for at, use in enumerate(played.calls):
        call = {"id": f"fc_{serial}_{at}", "type": "function_call", "status": "completed", "arguments": use.text}
        items.append({**call, "call_id": f"{use.id}_{serial}", "name": use.name})
    return items


def _events(played: Scene, response: Mapping[str, Any], items: list[dict[str, Any]]) -> Iterator[bytes]:
    number = 0

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        value = {"type": kind, "sequence_number": number, **fields}
        number += 1
        return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()

    yield event("response.created", response=response)
    yield event("response.in_progress", response=response)
    for at, item in enumerate(items):
        where = {"item_id": item["id"], "output_index": at}
        empty = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}
        bare = {key: value for key, value in item.items() if key != "encrypted_content"}
        started = {**bare, **empty[item["type"]], "status": "in_progress"}
        yield event("response.output_item.added", output_index=at, item=started)
        match item["type"]:
            case "message":
                spot = {**where, "content_index": 0}
                part = item["content"][0]
                yield event("response.content_part.added", **spot, part={**part, "text": ""})
                for piece in played.pieces:
                    yield event("response.output_text.delta", **spot, delta=piece, logprobs=[])
                if played.cut:
                    return
                yield event("response.output_text.done", **spot, text=part["text"], logprobs=[])
                yield event("response.content_part.done", **spot, part=part)
            case "function_call":
                for piece in halves(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **where, delta=piece)
                done = {"arguments": item["arguments"], "name": item["name"]}
                yield event("response.function_call_arguments.done", **where, **done)
            case _:
                for index, part in enumerate(item["summary"]):
                    spot = {**where, "summary_index": index}
                    yield event("response.reasoning_summary_part.added", **spot, part={**part, "text": ""})
                    for piece in halves(part["text"]):
                        yield event("response.reasoning_summary_text.delta", **spot, delta=piece)
                    yield event("response.reasoning_summary_text.done", **spot, text=part["text"])
                    yield event("response.reasoning_summary_part.done", **spot, part=part)
        yield event("response.output_item.done", output_index=at, item=item)
    ended = {**response, **_ended(played, items)}
    yield event(f"response.{ended['status']}", response=ended)
