"""The part of a streamed chunk that the byte lane looks at.

Typed and partial: members that are not named here are skipped without building objects, which is what makes looking at
every frame affordable.
"""

from __future__ import annotations

import msgspec

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.reply import arguments_of
from relayhub.dialects.openai_chat.upstream_json import (
    integer,
    objects,
    parse_tolerantly,
    reasoning_of,
    string,
    text_of,
)
from relayhub.dialects.openai_chat.usage import Counts
from relayhub.types.json import Json, JsonObject


class Function(msgspec.Struct, gc=False):
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    input: str | None = None


class Call(msgspec.Struct, gc=False):
    function: Function | None = None
    custom: Custom | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    role: object = None

    def chars(self) -> int:
        """Characters of model output, for an estimate."""
        count = len(self.content) if self.content else 0
        if reasoning := self.reasoning_content or self.reasoning:
            count += len(reasoning)
        if self.refusal:
            count += len(self.refusal)
        return count + sum(map(_argument_chars, self.tool_calls)) if self.tool_calls else count


SILENT = Delta()
"""As of a choice that finishes, mostly."""


def _argument_chars(call: Call) -> int:
    text = call.function.arguments if call.function else call.custom.input if call.custom else None
    return len(text) if text else 0


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    index: int | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """``error`` is whatever the upstream put there."""

    choices: list[Choice] | None = None
    usage: Counts | None = None
    error: object = None

    def names_speaker(self) -> bool:
        """Where only the first chunk does, there is nothing to be learned from that one."""
        delta = self.choices[0].delta if self.choices else None
        return delta is not None and delta.role is not None


_DECODER = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk | None:
    """``None`` if ``data`` is no JSON object. Whatever is typed otherwise than OpenAI does it is read as well as may
    be."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = parse_tolerantly(data)
        return None if value is None else _coerced(value)


def _coerced(value: JsonObject) -> Chunk:
    usage, error = value.get("usage"), value.get("error")
    return Chunk(
        [_coerced_choice(choice) for choice in objects(value.get("choices"))],
        msgspec.convert(usage, Counts) if isinstance(usage, dict) else None,
        error,
    )


def _coerced_choice(choice: JsonObject) -> Choice:
    delta = nested(choice, "delta")
    reasoning = reasoning_of(delta)
    read = Delta(
        text_of(delta.get("content")),
        reasoning[1] if reasoning else None,
        None,
        string(delta.get("refusal")),
        [Call(Function(_arguments(call))) for call in objects(delta.get("tool_calls"))],
    )
    index = integer(choice.get("index"), -1)
    return Choice(read, None if index < 0 else index, _reason(choice.get("finish_reason")))


def _arguments(call: JsonObject) -> str:
    return arguments_of(nested(call, "function").get("arguments")) or arguments_of(nested(call, "custom").get("input"))


def _reason(value: Json) -> str | None:
    return str(value) if value else None
