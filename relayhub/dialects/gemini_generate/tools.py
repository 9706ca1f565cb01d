"""Tools and tool choice of this dialect, both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relayhub.dialects.fields import Fields, nested, wrong_type
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.gemini_generate.names import NAME, keeping, kept, said_only
from relayhub.dialects.gemini_generate.scalars import one_or_many, take_texts, take_word
from relayhub.dialects.gemini_generate.schemas import from_gemini, to_gemini
from relayhub.types.chat import OpaquePart, Tool, ToolChoice, ToolMode
from relayhub.types.json import Json, JsonObject

DECLARATIONS = "functionDeclarations"
CONFIG, CALLING = "toolConfig", "functionCallingConfig"
VALIDATED = "VALIDATED"

_MODES = {"NONE": ToolMode.NONE, "AUTO": ToolMode.AUTO, "ANY": ToolMode.REQUIRED, VALIDATED: ToolMode.AUTO}
WORDS = {ToolMode.NONE: "NONE", ToolMode.AUTO: "AUTO", ToolMode.REQUIRED: "ANY"}


def decode_tools(values: Sequence[Json]) -> tuple[Tool, ...]:
    return tuple(tool for index, value in enumerate(values) for tool in _decode_entry(value, f"tools[{index}]"))


def _decode_entry(value: Json, path: str) -> Iterator[Tool]:
    """Functions one by one; of a hosted tool, each."""
    fields = Fields(value, path)
    place = fields.at(DECLARATIONS)
    for index, declaration in enumerate(one_or_many(fields.take(DECLARATIONS))):
        yield _decode_function(declaration, f"{place}[{index}]")
    for kind, settings in fields.rest().items():
        yield Tool(kind, opaque=OpaquePart(NAME, kind, {kind: settings}))


def _decode_function(value: Json, path: str) -> Tool:
    fields = Fields(value, path)
    name, description = fields.name("name"), fields.optional_text("description")
    by_json_schema = fields.optional_object("parametersJsonSchema")
    if by_json_schema is not None:
        return Tool(name, description, by_json_schema, extras=keeping(fields.rest(), form="parametersJsonSchema"))
    given = fields.optional_object("parameters")
    if given is None:
        return Tool(name, description, extras=fields.rest())
    schema, original = read_schema(given)
    return Tool(name, description, schema, extras=keeping(fields.rest(), parameters=original))


def read_schema(given: JsonObject) -> tuple[JsonObject, JsonObject | None]:
    """As JSON Schema; and as it was, where it cannot be written again from that."""
    schema = from_gemini(given)
    return schema, None if to_gemini(schema, "") == given else given


def encode_tools(tools: Sequence[Tool]) -> list[Json]:
    """Of this dialect; functions that stand together in one entry."""
    out: list[Json] = []
    declared: list[Json] | None = None
    for index, tool in enumerate(tools):
        if tool.opaque is not None:
            if tool.opaque.dialect != NAME:
                raise not_expressible(f"tools[{index}]", tool.opaque.kind)
            out.append(tool.opaque.value)
            declared = None
            continue
        if declared is None:
            declared = []
            out.append({DECLARATIONS: declared})
        declared.append(_encode_function(tool))
    return out


def _encode_function(tool: Tool) -> JsonObject:
    spelled = kept(tool.extras)
    out: JsonObject = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if spelled.get("form") is not None:
        out["parametersJsonSchema"] = tool.parameters
    elif tool.parameters is not None:
        out["parameters"] = spelled.get("parameters") or to_gemini(tool.parameters, f"tools.{tool.name}")
    return {**out, **said_only(tool.extras)}


def decode_choice(config: Fields) -> ToolChoice | None:
    """Of ``toolConfig``, whose other members stay. So does the mode VALIDATED, of which others know only the half."""
    if config.peek(CALLING) is None:
        return None
    calling = config.inner(CALLING)
    said = calling.peek("mode")
    word = take_word(calling, "mode")
    names = take_texts(calling, "allowedFunctionNames") or ()
    if word == VALIDATED:
        calling.keep("mode", said)
    config.rest(calling)
    if word is None and not names:
        return None
    mode = _MODES.get(word or "AUTO")
    if mode is None:
        raise wrong_type(calling.at("mode"), "one of AUTO, ANY, NONE, VALIDATED")
    one = mode is ToolMode.REQUIRED and len(names) == 1
    return ToolChoice(mode, names, subset=bool(names) and not one)


def encode_choice(choice: ToolChoice | None, others: JsonObject) -> JsonObject:
    """``others``: what :func:`decode_choice` left of ``toolConfig``."""
    if choice is None:
        return others
    calling: JsonObject = {"mode": WORDS[choice.mode]}
    if choice.names:
        calling["allowedFunctionNames"] = list(choice.names)
    return {**others, CALLING: {**calling, **nested(others, CALLING)}}
