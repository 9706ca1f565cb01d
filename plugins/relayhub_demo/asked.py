"""A chat request, checked as strictly as the real server would, and what the demo listens to in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from relayhub_demo.messages import last_said, messages_of, text_of, tool_results
from relayhub_demo.models import CHAT_MODELS
from relayhub_demo.tools import Function, functions_of, wanted_calls
from relayhub_demo.wire import (
    flag,
    invalid,
    missing,
    model_of,
    number,
    one_of,
    whole_number,
    wrong_type,
    wrong_value,
)

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class Asked:
    """``said``: the last user message; ``results``: what tools returned since; ``called``: the tools to call;
    ``shape``: the JSON schema of the answer, empty for any JSON object, ``None`` for text; ``cap``: most output tokens."""

    model: str
    identity: str
    said: str
    results: Sequence[str]
    prompt_tokens: int
    called: Sequence[Function]
    thinking: bool
    shape: Mapping[str, object] | None
    cap: int | None
    choices: int
    stops: Sequence[str]
    stream: bool
    usage_in_stream: bool


def read(body: Mapping[str, object]) -> Asked:
    """Raises ``Refusal``, as the real server would answer."""
    model = model_of(body, CHAT_MODELS)
    messages = messages_of(body)
    _check_numbers(body)
    results, said = tool_results(messages), last_said(messages)
    called = wanted_calls(body, functions_of(body), said)
    stream = flag(body, "stream") is True
    return Asked(
        model=model,
        identity=hashlib.sha256(orjson.dumps(messages)).hexdigest()[:24],
        said=said,
        results=results,
        prompt_tokens=_prompt_tokens(body, [text_of(message) for message in messages]),
        called=[] if results else called,
        thinking=one_of(body, "reasoning_effort", EFFORTS) not in (None, "none"),
        shape=_shape(body.get("response_format")),
        cap=_cap(body),
        choices=whole_number(body, "n", 1, 128) or 1,
        stops=_stops(body),
        stream=stream,
        usage_in_stream=_usage_in_stream(body.get("stream_options"), stream=stream),
    )


def _prompt_tokens(body: Mapping[str, object], texts: Sequence[str]) -> int:
    """Four bytes are a token, three more for each message; tools count as the JSON they are."""
    tools = len(orjson.dumps(body["tools"])) if body.get("tools") else 0
    return sum(3 + -(-len(text.encode()) // 4) for text in texts) + -(-tools // 4)


def _check_numbers(body: Mapping[str, object]) -> None:
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    number(body, "presence_penalty", -2, 2)
    number(body, "frequency_penalty", -2, 2)


def _cap(body: Mapping[str, object]) -> int | None:
    old, new = whole_number(body, "max_tokens", 1, 10**9), whole_number(body, "max_completion_tokens", 1, 10**9)
    if old is not None and new is not None:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise invalid("max_tokens", text, "invalid_parameter_combination")
    return old if new is None else new


def _usage_in_stream(options: object, *, stream: bool) -> bool:
    if options is None:
        return False
    if not stream:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid("stream_options", text)
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object")
    return flag(options, "include_usage") is True


def _shape(wanted: object) -> Mapping[str, object] | None:
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise wrong_type("response_format", "an object")
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return {}
        case "json_schema":
            return _schema(wanted.get("json_schema"))
        case other:
            raise wrong_value("response_format.type", other, FORMATS)


def _schema(described: object) -> Mapping[str, object]:
    if not isinstance(described, dict):
        raise missing("response_format.json_schema")
    if not isinstance(described.get("name"), str):
        raise missing("response_format.json_schema.name")
    schema = described.get("schema", {})
    if not isinstance(schema, dict):
        raise wrong_type("response_format.json_schema.schema", "an object")
    return schema


def _stops(body: Mapping[str, object]) -> list[str]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(item, str) for item in stops):
        raise invalid("stop", "Invalid 'stop': a string or up to 4 strings.", "invalid_value")
    return stops
