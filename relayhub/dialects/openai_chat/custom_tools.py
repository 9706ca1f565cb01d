"""Custom tools in the two shapes that OpenAI's dialects give them: nested (chat) and flat (responses)."""

from __future__ import annotations

from relayhub.dialects.fields import nested
from relayhub.types.json import Json, JsonObject

KIND = "custom"


def flat_tool(tool: JsonObject) -> JsonObject:
    """A chat tool of type ``custom`` as Responses has it."""
    inner = nested(tool, KIND)
    out: JsonObject = {"type": KIND, **inner}
    form = inner.get("format")
    if isinstance(form, dict) and (grammar := nested(form, "grammar")):
        out["format"] = {"type": "grammar", **grammar}
    return out


def nested_tool(tool: JsonObject) -> JsonObject:
    """The inverse of :func:`flat_tool`."""
    inner: JsonObject = {key: value for key, value in tool.items() if key != "type"}
    form = inner.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar":
        grammar: Json = {key: value for key, value in form.items() if key != "type"}
        inner["format"] = {"type": "grammar", "grammar": grammar}
    return {"type": KIND, KIND: inner}


def flat_choice(choice: JsonObject) -> JsonObject:
    return {"type": KIND, "name": nested(choice, KIND).get("name")}


def nested_choice(choice: JsonObject) -> JsonObject:
    return {"type": KIND, KIND: {"name": choice.get("name")}}
