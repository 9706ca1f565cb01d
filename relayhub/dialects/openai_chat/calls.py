"""Tool calls inside assistant messages, both ways."""

from __future__ import annotations

from relayhub.dialects.fields import Fields, nested
from relayhub.dialects.openai_chat.parts import NAME, unsupported
from relayhub.dialects.openai_chat.signed import call_fields, read_call
from relayhub.types.call import Dialect
from relayhub.types.chat import OpaquePart, ToolCallPart
from relayhub.types.json import Extras, Json, JsonObject

UNKNOWN_CALL = "tool_call"
"""Kind of the opaque part that carries a tool call of a type the hub does not know."""


def decode_call(value: Json, path: str) -> ToolCallPart | OpaquePart:
    fields = Fields(value, path)
    kind = fields.optional_text("type") or ("custom" if fields.has("custom") else "function")
    match kind:
        case "function":
            inner = fields.inner("function")
            name, text, custom = inner.name("name"), inner.text("arguments"), False
        case "custom":
            inner = fields.inner("custom")
            name, text, custom = inner.name("name"), inner.text("input"), True
        case _:
            assert isinstance(value, dict)
            return OpaquePart(NAME, UNKNOWN_CALL, value)
    assert isinstance(value, dict)
    signature, signer = read_call(value, Dialect.GEMINI_GENERATE.value)
    return ToolCallPart(fields.name("id"), name, text, custom, signature, signer, fields.rest(inner))


def encode_call(part: ToolCallPart | OpaquePart, path: str, *, own: bool) -> JsonObject:
    """``own``: decoded from this dialect. Another's signature means nothing to an upstream of this one."""
    if isinstance(part, OpaquePart):
        if part.dialect != NAME:
            raise unsupported(path, part.kind)
        return part.value
    extras: Extras = part.extras if own else call_fields(part) if part.signer == NAME else {}
    kind, field = ("custom", "input") if part.custom else ("function", "arguments")
    arguments = part.arguments if own or part.custom else part.arguments or "{}"
    inner: JsonObject = {"name": part.name, field: arguments, **nested(extras, kind)}
    return {"id": part.id, "type": kind, **extras, kind: inner}
