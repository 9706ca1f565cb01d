"""The part of an answer that the byte lane looks at.

Typed and partial: members that are not named here are skipped without building objects, which is what makes looking at
every chunk affordable.
"""

from __future__ import annotations

import msgspec

from relayhub.dialects.fields import nested
from relayhub.dialects.gemini_generate.reply import index_of
from relayhub.dialects.openai_chat.reply import arguments_of
from relayhub.dialects.openai_chat.upstream_json import objects, parse_tolerantly, string
from relayhub.types.json import Json, JsonObject


class FunctionCall(msgspec.Struct, gc=False):
    args: msgspec.Raw = msgspec.Raw(b"")


class Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    function_call: FunctionCall | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: Content | None = None
    index: int | None = None
    finish_reason: str | None = None

    def chars(self) -> int:
        """Characters of model output, for an estimate."""
        parts = (self.content.parts if self.content else None) or ()
        return sum(len(part.text) if part.text else _argument_chars(part.function_call) for part in parts)


def _argument_chars(call: FunctionCall | None) -> int:
    return len(call.args) if call is not None else 0


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class Chunk(msgspec.Struct, rename="camel"):
    """``usage_metadata`` and ``error`` are whatever the upstream put there."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: object = None
    error: object = None

    @property
    def blocked(self) -> bool:
        return not self.candidates and self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)


_DECODER = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk | None:
    """``None`` if ``data`` is no JSON object. Whatever is typed otherwise than usual is read as well as may be."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = parse_tolerantly(data)
        return None if value is None else _coerced(value)


def _coerced(value: JsonObject) -> Chunk:
    return Chunk(
        [_candidate(item, position) for position, item in enumerate(objects(value.get("candidates")))],
        Feedback(string(nested(value, "promptFeedback").get("blockReason")) or None),
        value.get("usageMetadata"),
        value.get("error"),
    )


def _candidate(value: JsonObject, position: int) -> Candidate:
    parts = [_part(part) for part in objects(nested(value, "content").get("parts"))]
    return Candidate(Content(parts), index_of(value, position), _word(value.get("finishReason")))


def _part(value: JsonObject) -> Part:
    return Part(string(value.get("text")) or arguments_of(nested(value, "functionCall").get("args")))


def _word(value: Json) -> str | None:
    return str(value) if value else None
