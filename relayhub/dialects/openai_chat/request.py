"""Chat requests of clients → the hub's. What is a matter of spelling stays in the extras, so that encoding gives a JSON-equal
request again."""

from __future__ import annotations

from relayhub.dialects.fields import Fields, wrong_type
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.envelope import read_envelope
from relayhub.dialects.openai_chat.messages import decode_messages
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.tools import (
    decode_choice,
    decode_format,
    decode_tools,
)
from relayhub.types.chat import ChatRequest, OutputFormat, Reasoning, Sampling, ToolChoice
from relayhub.types.json import Json

CAP, LEGACY_CAP = "max_completion_tokens", "max_tokens"


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``ClientError`` naming the place."""
    request = parse_object(body)
    envelope = read_envelope(request)
    fields = Fields(request, "")
    fields.take("model")
    messages = fields.optional_list("messages") or []
    _note_spelling(fields, stream=envelope.stream)
    effort = fields.optional_text("reasoning_effort")
    return ChatRequest(
        dialect=NAME,
        model=envelope.model,
        messages=decode_messages(messages),
        stream=envelope.stream,
        include_usage=envelope.include_usage,
        max_output_tokens=_decode_cap(fields),
        choices=envelope.choices,
        sampling=_decode_sampling(fields),
        tools=decode_tools(_nonempty_list(fields, "tools"), "tools"),
        tool_choice=_decode_choice(fields),
        parallel_tool_calls=fields.optional_flag("parallel_tool_calls"),
        output_format=_decode_format(fields),
        reasoning=None if effort is None else Reasoning(effort=effort),
        user=fields.optional_text("user"),
        metadata=fields.optional_object("metadata"),
        extras=fields.rest(),
    )


def _note_spelling(fields: Fields, *, stream: bool) -> None:
    """``stream: false`` and ``n: 1`` stay in the rest, so that they are said again; so do other stream options."""
    if stream:
        fields.take("stream")
    if fields.peek("n") not in (1, None):
        fields.take("n")
    options = fields.take("stream_options")
    if stream and isinstance(options, dict):
        others = {key: value for key, value in options.items() if key != "include_usage"}
        if others:
            fields.keep("stream_options", others)


def _decode_cap(fields: Fields) -> int | None:
    """The legacy spelling stays in the rest: some upstreams know only one of the two."""
    cap = fields.optional_integer(CAP)
    legacy = fields.optional_integer(LEGACY_CAP)
    if legacy is None:
        return cap
    fields.keep(LEGACY_CAP, legacy)
    if cap is not None:
        fields.keep(CAP, cap)
    return legacy if cap is None else cap


def _decode_sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        top_k=fields.optional_integer("top_k"),
        seed=fields.optional_integer("seed"),
        presence_penalty=fields.optional_number("presence_penalty"),
        frequency_penalty=fields.optional_number("frequency_penalty"),
        stop=_decode_stop(fields),
        logit_bias=fields.optional_object("logit_bias"),
        logprobs=fields.optional_flag("logprobs"),
        top_logprobs=fields.optional_integer("top_logprobs"),
    )


def _decode_stop(fields: Fields) -> tuple[str, ...] | None:
    """A bare string stays in the rest as well, so that it is written as one."""
    value = fields.peek("stop")
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong_type("stop", "a string or an array of strings")
    fields.take("stop")
    return tuple(item for item in value if isinstance(item, str))


def _nonempty_list(fields: Fields, key: str) -> list[Json]:
    return [] if fields.peek(key) == [] else fields.optional_list(key) or []


def _decode_choice(fields: Fields) -> ToolChoice | None:
    return None if fields.peek("tool_choice") is None else decode_choice(fields.take("tool_choice"), "tool_choice")


def _decode_format(fields: Fields) -> OutputFormat | None:
    if fields.peek("response_format") is None:
        return None
    output = decode_format(fields.peek("response_format"), "response_format")
    if output is not None:
        fields.take("response_format")
    return output
