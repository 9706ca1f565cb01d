"""Chat completions as the OpenAI service takes and gives them; models called ``deepseek…`` as that service does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relayhub.testing import Answer
from tests.support.standins.base import SSE, Refusal, is_data_url, is_link, known, need
from tests.support.standins.scenes import End, Scene, recorded, scene

if TYPE_CHECKING:
    from tests.support.standins.openai import OpenAIStandIn

FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "seed",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "modalities",
        "audio",
        "prediction",
        "service_tier",
        "store",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "moderation",
        "web_search_options",
        "functions",
        "function_call",
    ]
)
MESSAGE_FIELDS = {
    "system": {"content", "name"},
    "developer": {"content", "name"},
    "user": {"content", "name"},
    "assistant": {"content", "name", "tool_calls", "refusal", "audio", "annotations", "function_call"},
    "tool": {"content", "tool_call_id"},
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
FINISH = {
    End.STOP: "stop",
    End.LENGTH: "length",
    End.STOP_SEQUENCE: "stop",
    End.TOOLS: "tool_calls",
    End.FILTER: "content_filter",
}


def is_deepseek(model: object) -> bool:
    return str(model).startswith("deepseek")


# --- what is refused --------------------------------------------------------------------------------------------------


def check(body: Mapping[str, Any], thoughts: Mapping[str, str]) -> list[str]:
    """``thoughts``: the reasoning given out, by call id. Gives the reasoning that came back. Raises :class:`Refusal`."""
    deepseek = is_deepseek(body.get("model"))
    fields = FIELDS | {"thinking", "top_k"} if deepseek else FIELDS
    known(body, fields, "Unrecognized request argument supplied: {}")
    need(isinstance(body.get("model"), str), "you must provide a model parameter", param="model")
    messages = body.get("messages")
    need(isinstance(messages, list) and messages, "[] is too short - 'messages'", param="messages", kind="empty_array")
    assert isinstance(messages, list)
    for at, message in enumerate(messages):
        _message(message, f"messages[{at}]", deepseek=deepseek)
    _order(messages)
    if deepseek:
        _replayed_reasoning(messages, thoughts)
    _numbers(body)
    _tools(body)
    _format(body.get("response_format"))
    need(
        body.get("stream_options") is None or body.get("stream") is True,
        "'stream_options' is only allowed when 'stream' is enabled.",
        param="stream_options",
    )
    effort = body.get("reasoning_effort")
    need(effort is None or effort in EFFORTS, f"Invalid value: '{effort}'.", param="reasoning_effort")
    return [message["reasoning_content"] for message in messages if message.get("reasoning_content")]


def _message(message: Any, path: str, *, deepseek: bool) -> None:
    role = message.get("role")
    need(role in MESSAGE_FIELDS, f"Invalid value: '{role}' at {path}.role", param=path)
    fields = MESSAGE_FIELDS[role] | {"role"} | ({"reasoning_content"} if deepseek else set())
    known(message, fields, "Unknown parameter: '{}'.", path)
    content = message.get("content")
    match content:
        case None:
            need(
                role == "assistant" and message.get("tool_calls"),
                f"Invalid value for 'content' at {path}: expected a string, got null.",
                param=f"{path}.content",
            )
        case str():
            pass
        case list():
            need(content, f"{path}.content: expected at least one part", param=f"{path}.content")
            for at, part in enumerate(content):
                _part(part, role, f"{path}.content[{at}]")
        case _:
            raise Refusal(f"Invalid type for '{path}.content'", param=path)
    if role == "tool":
        need(isinstance(message.get("tool_call_id"), str), f"Missing parameter '{path}.tool_call_id'", param=path)
    for at, call in enumerate(message.get("tool_calls") or ()):
        _call(call, f"{path}.tool_calls[{at}]")


def _part(part: Any, role: str, path: str) -> None:
    kind = part.get("type")
    need(kind in PARTS[role], f"Invalid value: '{kind}'. Supported values are: {sorted(PARTS[role])}.", param=path)
    match kind:
        case "text":
            need(isinstance(part.get("text"), str), f"Missing '{path}.text'", param=path)
        case "image_url":
            known(part["image_url"], {"url", "detail"}, "Unknown parameter: '{}'.", path)
            url = part["image_url"].get("url")
            need(
                is_link(url) or (is_data_url(url) and url.startswith("data:image/")),
                f"Invalid image data at {path}",
                param=path,
                kind="invalid_image_url",
            )
        case "file":
            file = part["file"]
            known(file, {"file_data", "file_id", "filename"}, "Unknown parameter: '{}'.", path)
            need(
                "file_id" in file or is_data_url(file.get("file_data")),
                f"Invalid file data at {path}: expected a base64-encoded data URL",
                param=path,
            )
            need(
                "file_id" in file or file.get("filename"),
                f"Missing required parameter: '{path}.file.filename'.",
                param=path,
            )
        case "input_audio":
            need(part["input_audio"]["format"] in ("wav", "mp3"), f"Invalid audio format at {path}", param=path)


def _call(call: Any, path: str) -> None:
    known(call, {"id", "type", "function"}, "Unknown parameter: '{}'.", path)
    need(
        call.get("type") == "function" and isinstance(call.get("id"), str) and call["id"], f"Invalid {path}", param=path
    )
    need(
        len(call["id"]) <= 64,
        f"Invalid '{path}.id': string too long. Expected a string with maximum length 64.",
        param=path,
    )
    need(NAME.fullmatch(call["function"]["name"]), f"Invalid '{path}.function.name'", param=path)
    need(isinstance(call["function"]["arguments"], str), f"Invalid type for '{path}.function.arguments'", param=path)


def _order(messages: list[Any]) -> None:
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            need(
                message["tool_call_id"] in open_calls,
                "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                param=f"messages[{at}].role",
            )
            open_calls.discard(message["tool_call_id"])
            continue
        need(
            not open_calls,
            f"An assistant message with 'tool_calls' must be followed by tool messages. No response for: {open_calls}",
            param=f"messages[{at}].role",
        )
        if message["role"] == "assistant":
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    need(not open_calls, "An assistant message with 'tool_calls' must be followed by tool messages", param="messages")


WITHOUT_REASONING = "The reasoning_content in the thinking mode must be passed back to the API."


def _replayed_reasoning(messages: list[Any], thoughts: Mapping[str, str]) -> None:
    for message in messages:
        for call in message.get("tool_calls") or ():
            expected = thoughts.get(call["id"])
            need(
                expected is None or message.get("reasoning_content") == expected,
                WITHOUT_REASONING,
            )


def _numbers(body: Mapping[str, Any]) -> None:
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
        ("top_logprobs", 0, 20),
    ):
        value = body.get(name)
        need(value is None or low <= value <= high, f"Invalid '{name}': decimal out of range.", param=name)
    for name in ("max_tokens", "max_completion_tokens", "n"):
        need(body.get(name) is None or body[name] >= 1, f"Invalid '{name}': integer below minimum value.", param=name)
    stop = body.get("stop")
    need(not isinstance(stop, list) or len(stop) <= 4, "Invalid 'stop': array too long.", param="stop")
    need(
        body.get("top_logprobs") is None or body.get("logprobs"),
        "'top_logprobs' needs 'logprobs'.",
        param="top_logprobs",
    )


def _tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    need(tools is None or tools, "[] is too short - 'tools'", param="tools")
    for at, tool in enumerate(tools or ()):
        if tool["type"] == "custom":
            continue
        known(tool, {"type", "function"}, "Unknown parameter: '{}'.", f"tools[{at}]")
        known(
            tool["function"],
            {"name", "description", "parameters", "strict"},
            "Unknown parameter: '{}'.",
            f"tools[{at}].function",
        )
        need(NAME.fullmatch(tool["function"]["name"]), f"Invalid 'tools[{at}].function.name'", param=f"tools[{at}]")
        schema = tool["function"].get("parameters")
        if schema is not None:
            need(
                schema.get("type") == "object",
                f"Invalid schema for function: schema must be a JSON Schema of 'type: \"object\"', got {schema.get('type')}",
                param=f"tools[{at}].function.parameters",
            )
        if tool["function"].get("strict"):
            check_strict(schema or {}, f"tools[{at}].function.parameters")
    for name in ("tool_choice", "parallel_tool_calls"):
        need(
            tools or body.get(name) in (None, "none"),
            f"'{name}' is only allowed when 'tools' are specified.",
            param=name,
        )


def check_strict(schema: Mapping[str, Any], path: str) -> None:
    if schema.get("type") == "object":
        need(
            schema.get("additionalProperties") is False,
            f"Invalid schema at {path}: 'additionalProperties' is required to be supplied and to be false.",
            param=path,
        )
        need(
            set(schema.get("required", ())) == set(schema.get("properties", {})),
            f"Invalid schema at {path}: 'required' is required to be an array including every key in properties.",
            param=path,
        )
    for name, inner in schema.get("properties", {}).items():
        check_strict(inner, f"{path}.{name}")


def _format(value: Any) -> None:
    if value is None:
        return
    need(
        value.get("type") in ("text", "json_object", "json_schema"), "Invalid response_format", param="response_format"
    )
    if value["type"] == "json_schema":
        inner = value["json_schema"]
        known(
            inner,
            {"name", "schema", "strict", "description"},
            "Unknown parameter: '{}'.",
            "response_format.json_schema",
        )
        need(
            NAME.fullmatch(inner.get("name") or ""),
            "Missing required parameter: 'response_format.json_schema.name'.",
            param="response_format.json_schema.name",
        )
        if inner.get("strict"):
            check_strict(inner["schema"], "response_format.json_schema.schema")


# --- what is answered -------------------------------------------------------------------------------------------------


def perform(body: Mapping[str, Any], name: str, service: OpenAIStandIn) -> Answer:
    stream = body.get("stream") is True
    fixture = recorded("openai_chat").get(name)
    if fixture is not None and fixture.streamed is stream and (name != "stream_thinking" or is_deepseek(body["model"])):
        asked = not stream or (body.get("stream_options") or {}).get("include_usage")
        if asked:
            return Answer(200, fixture.response, fixture.headers)
    played = scene("openai_chat", name)
    if played is None:
        raise Refusal(f"no scene {name!r} here")
    thinks = is_deepseek(body["model"]) and (body.get("thinking") or {}).get("type") != "disabled"
    shown = played.reasoning if thinks else ""
    serial = service.number()
    ids = [f"{use.id}_{serial}" for use in played.calls]
    if shown:
        service.thoughts.update(dict.fromkeys(ids, shown))
    if stream:
        return Answer(200, b"".join(_chunks(played, body, ids, shown)), SSE)
    return Answer.json(_whole(played, body, ids, shown))


def _calls(played: Scene, ids: list[str]) -> list[dict[str, Any]]:
    return [
        {"id": id_, "type": "function", "function": {"name": use.name, "arguments": use.text}}
        for id_, use in zip(ids, played.calls, strict=True)
    ]


def usage_of(played: Scene) -> dict[str, Any]:
    spent = played.spent
    return {
        "prompt_tokens": spent.input,
        "completion_tokens": spent.output,
        "total_tokens": spent.input + spent.output,
        "prompt_tokens_details": {"cached_tokens": spent.cached, "cache_write_tokens": spent.written},
        "completion_tokens_details": {"reasoning_tokens": spent.reasoning},
    }


def _whole(played: Scene, body: Mapping[str, Any], ids: list[str], shown: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": played.text or None, "refusal": None}
    if shown:
        message["reasoning_content"] = shown
    if ids:
        message["tool_calls"] = _calls(played, ids)
    choices = [
        {"index": at, "message": message, "logprobs": None, "finish_reason": FINISH[played.end]}
        for at in range(body.get("n") or 1)
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": body["model"]}
    return {**head, "choices": choices, "usage": usage_of(played)}


def _chunks(played: Scene, body: Mapping[str, Any], ids: list[str], shown: str) -> list[bytes]:
    def chunk(delta: Mapping[str, Any] | None, finish: str | None = None, **extra: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": body["model"]}
        return b"data: " + json.dumps({**head, "choices": choices, **extra}).encode() + b"\n\n"

    out = [chunk({"role": "assistant", "content": ""})]
    out += [chunk({"reasoning_content": shown})] if shown else []
    out += [chunk({"content": piece}) for piece in played.pieces]
    if played.cut:
        return out
    for at, call in enumerate(_calls(played, ids)):
        arguments = call["function"]["arguments"]
        first = {**call, "function": {**call["function"], "arguments": ""}}
        out.append(chunk({"tool_calls": [{"index": at, **first}]}))
        for piece in (arguments[:3], arguments[3:]):
            out.append(chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}))
    out.append(chunk({}, FINISH[played.end]))
    if (body.get("stream_options") or {}).get("include_usage"):
        out.append(chunk(None, usage=usage_of(played)))
    return [*out, b"data: [DONE]\n\n"]
