"""Whole requests of Responses → the hub's. Decoding and encoding again gives a JSON-equal request."""

from __future__ import annotations

from relayhub.dialects.fields import Fields
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_responses.envelope import read_envelope
from relayhub.dialects.openai_responses.input_reader import decode_input
from relayhub.dialects.openai_responses.kept import NAME, keeping
from relayhub.dialects.openai_responses.state import essential_fields
from relayhub.dialects.openai_responses.tools import decode_choice, decode_format, decode_tools
from relayhub.types.chat import ChatRequest, OutputFormat, Reasoning, Sampling, ToolChoice
from relayhub.types.json import Json, JsonObject

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
NO_TRUNCATION = "disabled"
"""What every upstream does: it refuses what is too long."""
_SERVED_INCLUDES = frozenset({ENCRYPTED, LOGPROBS})
"""What the hub itself gives when it is asked for in ``include``."""


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``ClientError`` naming the place."""
    request = parse_object(body)
    envelope = read_envelope(request)
    fields = Fields(request, "")
    for key in ("model", "stream"):
        fields.take(key)
    kept: JsonObject = {} if envelope.stream or "stream" not in request else {"stream": request["stream"]}
    messages = decode_input(_instructions(fields), _input(fields))
    include = _include(fields, kept)
    reasoning = _reasoning(fields, kept)
    output_format = _text(fields, kept)
    if fields.peek("truncation") == NO_TRUNCATION:
        kept["truncation"] = fields.take("truncation")
    return ChatRequest(
        dialect=NAME,
        model=envelope.model,
        messages=messages,
        stream=envelope.stream,
        include_usage=envelope.include_usage,
        max_output_tokens=fields.optional_integer("max_output_tokens"),
        sampling=_sampling(fields, include),
        tools=decode_tools(_nonempty_list(fields, "tools"), "tools"),
        tool_choice=_choice(fields),
        parallel_tool_calls=fields.optional_flag("parallel_tool_calls"),
        output_format=output_format,
        reasoning=reasoning,
        user=fields.optional_text("user"),
        metadata=fields.optional_object("metadata"),
        extras=keeping(fields.rest(), **kept),
        essential=essential_fields(fields.rest()),
    )


def _instructions(fields: Fields) -> str | None:
    return fields.optional_text("instructions") if fields.peek("instructions") != "" else None


def _input(fields: Fields) -> str | list[Json] | None:
    value = fields.peek("input")
    if not isinstance(value, str | list) or value == []:
        return None
    fields.take("input")
    return value


def _include(fields: Fields, kept: JsonObject) -> frozenset[str]:
    include = fields.optional_list("include")
    names = frozenset(name for name in include or () if isinstance(name, str))
    if include is None:
        return names
    if names <= _SERVED_INCLUDES:
        kept["include"] = include
    else:
        fields.keep("include", include)
    return names


def _sampling(fields: Fields, include: frozenset[str]) -> Sampling:
    return Sampling(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=fields.optional_integer("top_logprobs"),
    )


def _reasoning(fields: Fields, kept: JsonObject) -> Reasoning | None:
    """``summary`` asks for the text; how long it should be is kept."""
    if fields.peek("reasoning") is None:
        return None
    inner = fields.inner("reasoning")
    effort, summary = inner.optional_text("effort"), inner.peek("summary")
    rest = dict(inner.rest())
    _keep_inner(fields, kept, "reasoning", rest, known=("effort", "summary"))
    return Reasoning(effort=effort, include=None if summary is None else True)


def _text(fields: Fields, kept: JsonObject) -> OutputFormat | None:
    if fields.peek("text") is None:
        return None
    inner = fields.inner("text")
    output = None
    if inner.peek("format") is not None:
        output = decode_format(inner.peek("format"), "text.format")
    if output is not None:
        inner.take("format")
    _keep_inner(fields, kept, "text", dict(inner.rest()), known=())
    return output


def _keep_inner(fields: Fields, kept: JsonObject, key: str, rest: JsonObject, known: tuple[str, ...]) -> None:
    """Where the rest says something that the hub has no word for, it stays in sight."""
    if any(value is not None and name not in known for name, value in rest.items()):
        fields.keep(key, rest)
    else:
        kept[key] = [rest]


def _nonempty_list(fields: Fields, key: str) -> list[Json]:
    return [] if fields.peek(key) == [] else fields.optional_list(key) or []


def _choice(fields: Fields) -> ToolChoice | None:
    return None if fields.peek("tool_choice") is None else decode_choice(fields.take("tool_choice"), "tool_choice")
