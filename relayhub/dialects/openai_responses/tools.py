"""Tools, tool choice and output format, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.fields import Fields, wrong_type
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.openai_chat.custom_tools import KIND as CUSTOM
from relayhub.dialects.openai_chat.custom_tools import flat_choice, flat_tool
from relayhub.dialects.openai_chat.tools import CHOICE_WORDS, FORMAT_WORDS
from relayhub.dialects.openai_responses.kept import NAME
from relayhub.types.call import Dialect
from relayhub.types.chat import FormatKind, OpaquePart, OutputFormat, Tool, ToolChoice, ToolMode
from relayhub.types.json import Extras, Json, JsonObject

_CHAT = Dialect.OPENAI_CHAT.value


def decode_tools(values: Sequence[Json], path: str) -> tuple[Tool, ...]:
    return tuple(_decode_tool(value, f"{path}[{index}]") for index, value in enumerate(values))


def _decode_tool(value: Json, path: str) -> Tool:
    fields = Fields(value, path)
    kind = fields.name("type")
    if kind == "function":
        return Tool(
            fields.name("name"),
            fields.optional_text("description"),
            fields.optional_object("parameters"),
            fields.optional_flag("strict"),
            extras=fields.rest(),
        )
    assert isinstance(value, dict)
    name = value.get("name")
    return Tool(name if isinstance(name, str) else kind, opaque=OpaquePart(NAME, kind, value))


def encode_tools(tools: Sequence[Tool], *, own: bool) -> list[Json]:
    return [_encode_tool(tool, f"tools[{index}]", own=own) for index, tool in enumerate(tools)]


def _encode_tool(tool: Tool, path: str, *, own: bool) -> JsonObject:
    match tool.opaque:
        case None:
            return _encode_function(tool, own=own)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(dialect, kind, value) if (dialect, kind) == (_CHAT, CUSTOM):
            return flat_tool(value)
        case OpaquePart(_, kind, _):
            raise not_expressible(path, kind)


def _encode_function(tool: Tool, *, own: bool) -> JsonObject:
    out: JsonObject = {"type": "function", "name": tool.name}
    for key, value in (("description", tool.description), ("parameters", tool.parameters), ("strict", tool.strict)):
        if value is not None:
            out[key] = value
    if own:
        return {**out, **tool.extras}
    # Unsaid, the upstream would take it for true, which many schemas do not satisfy.
    return {"parameters": {"type": "object", "properties": {}}, "strict": False, **out}


def decode_choice(value: Json, path: str) -> ToolChoice:
    """What the hub's words cannot say exactly also carries the original."""
    if isinstance(value, str):
        if value not in CHOICE_WORDS:
            raise wrong_type(path, "none, auto, required or an object")
        return ToolChoice(ToolMode(value))
    fields = Fields(value, path)
    assert isinstance(value, dict)
    choice = _decode_choice_object(fields, fields.name("type"))
    if encode_choice(choice, path) == value:
        return choice
    kind = value.get("type")
    opaque = OpaquePart(NAME, kind if isinstance(kind, str) else path, value)
    return ToolChoice(choice.mode, choice.names, choice.subset, opaque)


def _decode_choice_object(fields: Fields, kind: str) -> ToolChoice:
    match kind:
        case "function" | "custom":
            return ToolChoice(ToolMode.REQUIRED, (fields.name("name"),))
        case "allowed_tools":
            mode = fields.text("mode")
            if mode not in ("auto", "required"):
                raise wrong_type(fields.at("mode"), "auto or required")
            tools = enumerate(fields.optional_list("tools") or ())
            names = (_allowed_name(tool, f"{fields.at('tools')}[{index}]") for index, tool in tools)
            return ToolChoice(ToolMode(mode), tuple(name for name in names if name is not None), subset=True)
        case _:
            return ToolChoice(ToolMode.REQUIRED)


def _allowed_name(tool: Json, path: str) -> str | None:
    fields = Fields(tool, path)
    return fields.name("name") if fields.name("type") in ("function", CUSTOM) else None


def encode_choice(choice: ToolChoice, path: str) -> Json:
    match choice.opaque:
        case None:
            pass
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(dialect, _, value) if dialect == _CHAT and value.get("type") == CUSTOM:
            return flat_choice(value)
        case OpaquePart(_, kind, _):
            raise not_expressible(path, kind)
    if choice.subset or len(choice.names) > 1:
        tools: list[Json] = [_named(name) for name in choice.names]
        return {"type": "allowed_tools", "mode": choice.mode.value, "tools": tools}
    return _named(choice.names[0]) if choice.names else choice.mode.value


def _named(name: str) -> JsonObject:
    return {"type": "function", "name": name}


def decode_format(value: Json, path: str) -> OutputFormat | None:
    """``None`` for a type the hub has no word for."""
    fields = Fields(value, path)
    kind = fields.name("type")
    if kind not in FORMAT_WORDS:
        return None
    if kind != FormatKind.JSON_SCHEMA:
        return OutputFormat(FormatKind(kind), extras=fields.rest())
    return OutputFormat(
        FormatKind.JSON_SCHEMA,
        fields.name("name"),
        fields.optional_object("schema"),
        fields.optional_flag("strict"),
        fields.optional_text("description"),
        fields.rest(),
    )


def encode_format(output: OutputFormat, *, own: bool) -> JsonObject:
    extras: Extras = output.extras if own else {}
    if output.kind is not FormatKind.JSON_SCHEMA:
        return {"type": output.kind.value, **extras}
    out: JsonObject = {"type": output.kind.value, "name": output.name or "answer"}
    for key, value in (("schema", output.schema), ("strict", output.strict), ("description", output.description)):
        if value is not None:
            out[key] = value
    return {**out, **extras}
