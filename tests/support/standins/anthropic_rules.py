"""What the Anthropic service refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.standins.base import Refusal, is_base64, is_link, known, need

EXTRA = "{}: Extra inputs are not permitted"
FIELDS = frozenset(
    [
        "model",
        "max_tokens",
        "messages",
        "system",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
        "speed",
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "mcp_servers",
        "context_management",
    ]
)
SAMPLING = ("temperature", "top_p", "top_k")
BLOCKS = {
    "user": {"text", "image", "document", "tool_result", "search_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking", "document"},
    "system": {"text"},
}
BLOCK_FIELDS = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "search_result": {"content", "source", "title", "citations"},
}
MAX_OUTPUT = 64_000
BUDGET_ONLY = re.compile(r"claude-(sonnet|opus|haiku)-4-[0-5]\b|claude-3")
NO_BUDGET = re.compile(r"claude-opus-4-[7-9]|claude-\w+-5")
ID = re.compile(r"[A-Za-z0-9_-]+")
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")

Issued = set[tuple[str, str]]


def thinking_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The thinking that is on; absent means off for these models."""
    thinking = body.get("thinking")
    return thinking if thinking and thinking["type"] in ("enabled", "adaptive") else None


def check(body: Mapping[str, Any], version: str, issued: Issued) -> list[tuple[str, str]]:
    """The thinking blocks that came back, (signature, thinking) each. Raises ``Refusal``."""
    old = version == "2023-06-01"
    known(body, FIELDS | set(SAMPLING) if old else FIELDS, EXTRA)
    need(isinstance(body.get("model"), str), "model: Field required")
    need(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    need(
        0 <= body["max_tokens"] <= MAX_OUTPUT,
        f"max_tokens: {body['max_tokens']} > {MAX_OUTPUT}, which is the most that {body['model']} allows",
    )
    _system(body.get("system"))
    messages = body.get("messages")
    need(isinstance(messages, list) and messages, "messages: at least one message is required")
    assert isinstance(messages, list)
    _messages(messages, old=old)
    _tool_turns(messages)
    _sampling(body)
    _thinking(body)
    _tools(body)
    _output(body.get("output_config") or {})
    for stop in body.get("stop_sequences") or ():
        need(stop.strip(), "stop_sequences: each stop sequence must contain non-whitespace")
    need(str(body).count("'cache_control'") <= 4, "A maximum of 4 blocks with cache_control may be provided.")
    return list(_returned(messages, issued))


def _system(system: Any) -> None:
    for at, block in enumerate(system if isinstance(system, list) else ()):
        need(block["type"] == "text" and block["text"], "system: text content blocks must be non-empty")
        known(block, {"type", "text", "cache_control", "citations"}, EXTRA, f"system.{at}")
    need(system != "", "system: text content blocks must be non-empty")


def _messages(messages: list[Any], *, old: bool) -> None:
    need(messages[0]["role"] == "user", 'messages: first message must use the "user" role')
    before = None
    for at, message in enumerate(messages):
        known(message, {"role", "content"}, EXTRA, f"messages.{at}")
        role = message["role"]
        need(role in BLOCKS, f"messages.{at}.role: unexpected role {role!r}")
        need(
            role != before,
            f'messages: roles must alternate between "user" and "assistant", but found multiple {role!r} roles in a row',
        )
        before = role
        content = message["content"]
        if isinstance(content, str):
            need(content, f"messages.{at}: all messages must have non-empty content")
            continue
        need(content, f"messages.{at}: all messages must have non-empty content")
        for index, block in enumerate(content):
            _block(block, role, f"messages.{at}.content.{index}", old=old)
    last = messages[-1]
    if last["role"] == "assistant":
        text = last["content"] if isinstance(last["content"], str) else last["content"][-1].get("text", "")
        need(text == text.rstrip(), "messages: final assistant content cannot end with trailing whitespace")


def _block(block: Any, role: str, path: str, *, old: bool) -> None:
    kind = block.get("type")
    need(kind in BLOCKS[role], f"{path}: Input tag {kind!r} found using 'type' does not match any of the expected tags")
    need(old or kind != "document" or role == "user", f"{path}: documents are not permitted in assistant messages")
    known(block, BLOCK_FIELDS[kind] | {"type", "cache_control"}, EXTRA, path)
    match kind:
        case "text":
            need(block["text"], f"{path}: text content blocks must be non-empty")
        case "image":
            _source(block["source"], path, media=("image/jpeg", "image/png", "image/gif", "image/webp"))
        case "document":
            _source(block["source"], path, media=("application/pdf",))
        case "tool_use":
            need(ID.fullmatch(block["id"]), f"{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            need(TOOL_NAME.fullmatch(block["name"]), f"{path}.name: invalid")
            need(isinstance(block["input"], dict), f"{path}.input: Input should be a valid dictionary")
        case "tool_result":
            need(ID.fullmatch(block["tool_use_id"]), f"{path}.tool_use_id: String should match pattern")
            content = block.get("content")
            if isinstance(content, list):
                for at, inner in enumerate(content):
                    _block(inner, "user", f"{path}.content.{at}", old=old)


def _source(source: Any, path: str, *, media: tuple[str, ...]) -> None:
    match source["type"]:
        case "base64":
            need(source["media_type"] in media, f"{path}.source.base64.media_type: Input should be one of {media}")
            need(is_base64(source["data"]), f"{path}.source.base64.data: Could not process")
        case "url":
            need(is_link(source["url"]), f"{path}.source.url: Only HTTPS URLs are supported.")
        case "text":
            need(source["media_type"] == "text/plain", f"{path}.source.text.media_type: Input should be 'text/plain'")
        case "file" | "content":
            pass
        case kind:
            raise Refusal(f"{path}.source: Input tag {kind!r} does not match any of the expected tags")


def _tool_turns(messages: list[Any]) -> None:
    seen: set[str] = set()
    waiting: list[str] = []
    for at, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        missing = [id_ for id_ in waiting if id_ not in results]
        need(
            not missing,
            f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}.",
        )
        for id_ in results:
            need(id_ in waiting, f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}.")
        need(len(results) == len(set(results)), f"messages.{at}: each tool_use must have a single result")
        kinds = [block["type"] for block in blocks]
        first = [kind == "tool_result" for kind in kinds]
        need(first == sorted(first, reverse=True), f"messages.{at}: `tool_result` blocks must come first")
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        need(not seen & set(waiting) and len(waiting) == len(set(waiting)), "messages: `tool_use` ids must be unique")
        seen |= set(waiting)
    need(not waiting, f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks")


def _sampling(body: Mapping[str, Any]) -> None:
    said = {name: body[name] for name in SAMPLING if body.get(name) is not None}
    need(0 <= said.get("temperature", 0) <= 1, "temperature: range: 0..1")
    if NO_BUDGET.match(body["model"]):
        need(
            said.get("temperature", 1) == 1 and "top_k" not in said and said.get("top_p", 1) == 1,
            f"sampling parameters are not supported by {body['model']}",
        )
    need(
        not {"temperature", "top_p"} <= said.keys(),
        f"`temperature` and `top_p` cannot both be specified for {body['model']}.",
    )
    if thinking_of(body):
        need(said.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled.")
        need(
            said.get("top_p", 1) >= 0.95,
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        )
        need("top_k" not in said, "`top_k` must be unset when thinking is enabled.")


def _thinking(body: Mapping[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    model, kind = body["model"], thinking["type"]
    known(thinking, {"type", "budget_tokens", "display"}, EXTRA, "thinking")
    if kind == "enabled":
        need(not NO_BUDGET.match(model), f'"thinking.type.enabled" is not supported for this model ({model}).')
        need(isinstance(thinking.get("budget_tokens"), int), "thinking.enabled.budget_tokens: Field required")
        need(
            thinking["budget_tokens"] >= 1024,
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        )
        need(
            thinking["budget_tokens"] < body["max_tokens"],
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        )
        choice = (body.get("tool_choice") or {}).get("type")
        need(choice not in ("any", "tool"), "Thinking may not be enabled when tool_choice forces tool use.")
        _starts_with_thinking(body["messages"])
    else:
        need(kind in ("adaptive", "disabled", "between_tools"), f"thinking: Input tag {kind!r}")
        need("budget_tokens" not in thinking, f"thinking.{kind}.budget_tokens: Extra inputs are not permitted")
        need(
            kind != "adaptive" or not BUDGET_ONLY.match(model),
            f'"thinking.type.adaptive" is not supported for this model ({model}).',
        )
        need(
            kind != "disabled" or not model.startswith("claude-opus-4-7"), "thinking cannot be disabled for this model"
        )


def _starts_with_thinking(messages: list[Any]) -> None:
    """The running tool turn: the assistant messages after the last user message that is no tool result."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        blocks = message["content"] if isinstance(message["content"], list) else []
        if message["role"] == "user" and not any(block["type"] == "tool_result" for block in blocks):
            return
        if message["role"] == "assistant" and any(block["type"] == "tool_use" for block in blocks):
            kind = blocks[0]["type"]
            need(
                kind in ("thinking", "redacted_thinking"),
                f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`.",
            )


def _tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools") or []
    for at, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            continue
        known(
            tool,
            {
                "name",
                "description",
                "input_schema",
                "type",
                "strict",
                "cache_control",
                "eager_input_streaming",
                "input_examples",
                "defer_loading",
                "allowed_callers",
            },
            EXTRA,
            f"tools.{at}.custom",
        )
        need(TOOL_NAME.fullmatch(tool["name"]), f"tools.{at}.custom.name: String should match pattern")
        schema = tool.get("input_schema")
        need(
            isinstance(schema, dict) and schema.get("type") == "object",
            f"tools.{at}.custom.input_schema.type: Field required",
        )
        assert isinstance(schema, dict)
        need(
            not {"oneOf", "anyOf", "allOf"} & schema.keys(),
            f"tools.{at}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        )
    need(len({tool["name"] for tool in tools}) == len(tools), "tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is not None:
        need(tools, "tool_choice: tools must be provided")
        known(choice, {"type", "name", "disable_parallel_tool_use"}, EXTRA, "tool_choice")
        need(choice["type"] in ("auto", "any", "tool", "none"), "tool_choice: unexpected type")
        need(
            choice["type"] != "tool" or choice["name"] in {tool["name"] for tool in tools},
            "Tool not found in provided tools",
        )


def _output(config: Mapping[str, Any]) -> None:
    known(config, {"effort", "format", "task_budget"}, EXTRA, "output_config")
    need(
        config.get("effort") in (None, "low", "medium", "high", "xhigh", "max"),
        "output_config.effort: unexpected value",
    )
    if (form := config.get("format")) is not None:
        known(form, {"type", "schema"}, EXTRA, "output_config.format")
        need(form["type"] == "json_schema", "output_config.format.type: Input should be 'json_schema'")
        _closed(form["schema"], "output_config.format.schema")


def _closed(schema: Mapping[str, Any], path: str) -> None:
    if schema.get("type") == "object":
        need(
            schema.get("additionalProperties") is False,
            f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false",
        )
    for name, inner in schema.get("properties", {}).items():
        _closed(inner, f"{path}.{name}")


def _returned(messages: list[Any], issued: Issued) -> Iterator[tuple[str, str]]:
    for at, message in enumerate(messages):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        for index, block in enumerate(message["content"]):
            if block["type"] == "thinking":
                pair = (block["signature"], block["thinking"])
                need(pair in issued, f"messages.{at}.content.{index}: Invalid `signature` in `thinking` block")
                yield pair
