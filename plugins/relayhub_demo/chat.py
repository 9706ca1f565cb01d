"""Chat completions: deterministic text, tool calls when a tool is asked for by name, thinking aloud when told to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from relayhub_demo.models import CHAT_MODELS, CUT_STREAM
from relayhub_demo.wire import Refusal, count_tokens, invalid, number, whole_number

CREATED = 1_790_000_000
"""The same for every answer: nothing here depends on the time."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
_CJK = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"\s*[^\s\u3400-\u9fff]+|\s*[\u3400-\u9fff]{1,2}|\s+")
_SAMPLES = {"city": "Oslo", "location": "Oslo", "tz": "Europe/Oslo", "timezone": "Europe/Oslo", "unit": "celsius"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of a request that the demo listens to. ``said``: the last user message; ``results``: what tools
    returned since; ``cut``: break off in the middle."""

    model: str
    identity: str
    said: str
    results: Sequence[str]
    prompt_tokens: int
    tools: Sequence[Mapping[str, object]]
    called: Sequence[Mapping[str, object]]
    thinking: bool
    json_answer: bool
    cap: int | None
    choices: int
    stops: Sequence[str]
    stream: bool
    usage_in_stream: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer. ``pieces`` are the tokens as they would stream."""

    thought: str
    pieces: Sequence[str]
    calls: Sequence[Mapping[str, object]]
    finish: str

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_tokens(self) -> int:
        return count_tokens(self.thought)

    @property
    def output_tokens(self) -> int:
        arguments = sum(count_tokens(orjson.dumps(call).decode()) for call in self.calls)
        return self.reasoning_tokens + count_tokens(self.text) + arguments


# --- reading the request ----------------------------------------------------------------------------------------------


def read(body: Mapping[str, object]) -> Asked:
    """Raises ``Refusal``, as the real server would."""
    model = body.get("model")
    if model not in CHAT_MODELS:
        raise Refusal(404, f"The model {model!r} does not exist.", code="model_not_found", param="model")
    messages = _messages(body)
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    number(body, "presence_penalty", -2, 2)
    number(body, "frequency_penalty", -2, 2)
    cap = whole_number(body, "max_completion_tokens", 1, 10**9) or whole_number(body, "max_tokens", 1, 10**9)
    results = _results(messages)
    said = next((_text(message) for message in reversed(messages) if message.get("role") == "user"), "")
    tools = _tools(body)
    options = body.get("stream_options")
    return Asked(
        model=str(model),
        identity=hashlib.sha256(orjson.dumps(messages)).hexdigest()[:24],
        said=said,
        results=results,
        prompt_tokens=sum(3 + count_tokens(_text(message)) for message in messages),
        tools=tools,
        called=[] if results else _wanted_calls(tools, said, body.get("tool_choice")),
        thinking=_effort(body) not in (None, "none"),
        json_answer=_json_asked(body),
        cap=cap,
        choices=whole_number(body, "n", 1, 128) or 1,
        stops=_stops(body),
        stream=body.get("stream") is True,
        usage_in_stream=isinstance(options, dict) and options.get("include_usage") is True,
        cut=model == CUT_STREAM,
    )


def _messages(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "'messages' must contain at least one item.", "empty_array")
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise invalid(f"messages[{index}].role", f"Invalid value: {role!r}.", "invalid_value")
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise invalid(
                f"messages[{index}].tool_call_id", "Missing required parameter.", "missing_required_parameter"
            )
    return messages


def _text(message: Mapping[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text") or f"[{part.get('type')}]") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _results(messages: Sequence[Mapping[str, object]]) -> list[str]:
    """What tools returned after the last assistant turn."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        found.insert(0, _text(message))
    return found


def _tools(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise invalid("tools", "Invalid type for 'tools': expected an array.", "invalid_type")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict) and tool.get("type") == "function"]
    return [function for function in functions if isinstance(function, dict) and isinstance(function.get("name"), str)]


def _wanted_calls(tools: Sequence[Mapping[str, object]], said: str, choice: object) -> list[Mapping[str, object]]:
    """A named tool, every tool whose name is mentioned, or, where a call is required, the first one."""
    if choice == "none":
        return []
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        return [tool for tool in tools if tool["name"] == choice["function"].get("name")]
    mentioned = [tool for tool in tools if str(tool["name"]).lower() in said.lower()]
    return mentioned or (list(tools[:1]) if choice == "required" else [])


def _effort(body: Mapping[str, object]) -> str | None:
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise invalid(
            "reasoning_effort", f"Invalid value: {effort!r}. Supported: {', '.join(EFFORTS)}.", "invalid_value"
        )
    return None if effort is None else str(effort)


def _json_asked(body: Mapping[str, object]) -> bool:
    asked = body.get("response_format")
    return isinstance(asked, dict) and asked.get("type") in ("json_object", "json_schema")


def _stops(body: Mapping[str, object]) -> list[str]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(item, str) for item in stops):
        raise invalid("stop", "Invalid 'stop': a string or up to 4 strings.", "invalid_value")
    return stops


# --- answering --------------------------------------------------------------------------------------------------------


def speak(asked: Asked) -> Spoken:
    """The same answer for the same question, however it is delivered."""
    thought = _thought(asked.said) if asked.thinking else ""
    if asked.called:
        return Spoken(thought, (), [_call(asked, index, tool) for index, tool in enumerate(asked.called)], "tool_calls")
    text, finish = _reply(asked), "stop"
    for stop in asked.stops:
        text = text.partition(stop)[0] if stop else text
    pieces = _WORDS.findall(text)
    if asked.cap is not None:
        kept = _within(pieces, asked.cap - count_tokens(thought))
        finish = "length" if len(kept) < len(pieces) else finish
        pieces = kept
    return Spoken(thought, pieces, (), finish)


def _reply(asked: Asked) -> str:
    chinese = _CJK.search(asked.said) is not None
    if asked.results:
        joined = ("；" if chinese else "; ").join(asked.results)
        text = f"工具返回:{joined}" if chinese else f"The tools returned: {joined}"
    elif chinese:
        text = f"你好！这是演示模型的回答。你说的是:{asked.said}"
    else:
        text = f"Hello! This is the demo model. You said: {asked.said}"
    return orjson.dumps({"answer": text}).decode() if asked.json_answer else text


def _thought(said: str) -> str:
    if _CJK.search(said):
        return f"用户说了 {len(said)} 个字,我先想一想再回答。"
    return f"The user wrote {len(said)} characters. Let me think before I answer."


def _within(pieces: Sequence[str], tokens: int) -> list[str]:
    kept: list[str] = []
    for piece in pieces:
        if count_tokens("".join([*kept, piece])) > tokens:
            break
        kept.append(piece)
    return kept


def _call(asked: Asked, index: int, tool: Mapping[str, object]) -> Mapping[str, object]:
    arguments = orjson.dumps(_arguments(tool.get("parameters"))).decode()
    function = {"name": tool["name"], "arguments": arguments}
    return {"id": f"call_{asked.identity[:16]}{index}", "type": "function", "function": function}


def _arguments(schema: object) -> dict[str, object]:
    """Something valid for each required property."""
    if not isinstance(schema, dict):
        return {}
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {str(name): _value(str(name), properties.get(name)) for name in required}


def _value(name: str, schema: object) -> object:
    if not isinstance(schema, dict):
        return "demo"
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    match schema.get("type"):
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return _arguments(schema)
        case _:
            return _SAMPLES.get(name, "demo")


# --- writing the wire -------------------------------------------------------------------------------------------------


def _usage(asked: Asked, spoken: Spoken) -> dict[str, object]:
    output = spoken.output_tokens * asked.choices
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": asked.prompt_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": spoken.reasoning_tokens * asked.choices},
    }


def whole(asked: Asked) -> bytes:
    """The answer to a request that does not stream."""
    spoken = speak(asked)
    message: dict[str, object] = {"role": "assistant", "content": spoken.text or None, "refusal": None}
    if spoken.thought:
        message["reasoning_content"] = spoken.thought
    if spoken.calls:
        message["tool_calls"] = spoken.calls
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": spoken.finish}
        for index in range(asked.choices)
    ]
    head = {"id": f"chatcmpl-{asked.identity}", "object": "chat.completion", "created": CREATED, "model": asked.model}
    return orjson.dumps({**head, "choices": choices, "usage": _usage(asked, spoken)})


def frames(asked: Asked) -> Iterator[bytes]:
    """The answer as SSE frames, one as a server would flush them."""
    spoken = speak(asked)
    for index in range(asked.choices):
        yield _frame(asked, index, {"role": "assistant", "content": ""})
        for piece in _WORDS.findall(spoken.thought):
            yield _frame(asked, index, {"reasoning_content": piece})
        for piece in spoken.pieces:
            yield _frame(asked, index, {"content": piece})
        yield from _call_frames(asked, index, spoken.calls)
        yield _frame(asked, index, {}, spoken.finish)
    if asked.usage_in_stream:
        yield _data({**_chunk(asked), "choices": [], "usage": _usage(asked, spoken)})
    yield b"data: [DONE]\n\n"


def _call_frames(asked: Asked, index: int, calls: Sequence[Mapping[str, object]]) -> Iterator[bytes]:
    for position, call in enumerate(calls):
        function = call["function"]
        assert isinstance(function, dict)
        arguments = str(function["arguments"])
        opened = {**call, "index": position, "function": {"name": function["name"], "arguments": ""}}
        yield _frame(asked, index, {"tool_calls": [opened]})
        for start in range(0, len(arguments), 8):
            part = {"index": position, "function": {"arguments": arguments[start : start + 8]}}
            yield _frame(asked, index, {"tool_calls": [part]})


def _chunk(asked: Asked) -> dict[str, object]:
    identity = f"chatcmpl-{asked.identity}"
    return {"id": identity, "object": "chat.completion.chunk", "created": CREATED, "model": asked.model}


def _frame(asked: Asked, index: int, delta: Mapping[str, object], finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    usage: dict[str, object] = {"usage": None} if asked.usage_in_stream else {}
    return _data({**_chunk(asked), "choices": [choice], **usage})


def _data(value: Mapping[str, object]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
