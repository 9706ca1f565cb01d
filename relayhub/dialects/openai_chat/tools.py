"""Tools, tool choice and output format, both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relayhub.dialects.fields import Fields, nested, wrong_type
from relayhub.dialects.openai_chat import custom_tools
from relayhub.dialects.openai_chat.parts import NAME, unsupported
from relayhub.types.call import Dialect
from relayhub.types.chat import FormatKind, OpaquePart, OutputFormat, Tool, ToolChoice, ToolMode
from relayhub.types.json import Extras, Json, JsonObject

CHOICE_WORDS = frozenset(mode.value for mode in ToolMode)
FORMAT_WORDS = frozenset(kind.value for kind in FormatKind)


def decode_tools(values: Sequence[Json], path: str) -> tuple[Tool, ...]:
    return tuple(_decode_tool(value, f"{path}[{index}]") for index, value in enumerate(values))


def _decode_tool(value: Json, path: str) -> Tool:
    fields = Fields(value, path)
    kind = fields.name("type")
    if kind == "function":
        inner = fields.inner("function")
        return Tool(
            inner.name("name"),
            inner.optional_text("description"),
            inner.optional_object("parameters"),
            inner.optional_flag("strict"),
            extras=fields.rest(inner),
        )
    assert isinstance(value, dict)
    name = nested(value, kind).get("name", value.get("name"))
    return Tool(name if isinstance(name, str) else kind, opaque=OpaquePart(NAME, kind, value))


def encode_tools(tools: Sequence[Tool], *, own: bool) -> list[Json]:
    return [_encode_tool(tool, f"tools[{index}]", own=own) for index, tool in enumerate(tools)]


def _encode_tool(tool: Tool, path: str, *, own: bool) -> JsonObject:
    if tool.opaque is not None:
        return _opaque(tool.opaque, path, custom_tools.nested_tool)
    extras: Extras = tool.extras if own else {}
    inner: JsonObject = {"name": tool.name}
    for key, value in (("description", tool.description), ("parameters", tool.parameters), ("strict", tool.strict)):
        if value is not None:
            inner[key] = value
    return {"type": "function", **extras, "function": {**inner, **nested(extras, "function")}}


def _opaque(part: OpaquePart, path: str, from_flat: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """``from_flat``: for custom tools, which Responses has in another shape."""
    if part.dialect == Dialect.OPENAI_RESPONSES.value and part.value.get("type") == custom_tools.KIND:
        return from_flat(part.value)
    if part.dialect != NAME:
        raise unsupported(path, part.kind)
    return part.value


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
    return ToolChoice(choice.mode, choice.names, choice.subset, OpaquePart(NAME, "tool_choice", value))


def _decode_choice_object(fields: Fields, kind: str) -> ToolChoice:
    match kind:
        case "function" | "custom":
            return ToolChoice(ToolMode.REQUIRED, (fields.inner(kind).name("name"),))
        case "allowed_tools":
            inner = fields.inner(kind)
            mode = inner.text("mode")
            if mode not in ("auto", "required"):
                raise wrong_type(inner.at("mode"), "auto or required")
            tools = enumerate(inner.optional_list("tools") or ())
            names = (_allowed_name(tool, f"{inner.at('tools')}[{index}]") for index, tool in tools)
            return ToolChoice(ToolMode(mode), tuple(name for name in names if name is not None), subset=True)
        case _:
            return ToolChoice(ToolMode.REQUIRED)


def _allowed_name(tool: Json, path: str) -> str | None:
    fields = Fields(tool, path)
    kind = fields.name("type")
    return fields.inner(kind).name("name") if kind in ("function", "custom") else None


def encode_choice(choice: ToolChoice, path: str) -> Json:
    if choice.opaque is not None:
        return _opaque(choice.opaque, path, custom_tools.nested_choice)
    if choice.subset or len(choice.names) > 1:
        tools: list[Json] = [_named(name) for name in choice.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode.value, "tools": tools}}
    return _named(choice.names[0]) if choice.names else choice.mode.value


def _named(name: str) -> JsonObject:
    return {"type": "function", "function": {"name": name}}


def decode_format(value: Json, path: str) -> OutputFormat | None:
    """``None`` for a type the hub has no word for."""
    fields = Fields(value, path)
    kind = fields.name("type")
    if kind not in FORMAT_WORDS:
        return None
    if kind != FormatKind.JSON_SCHEMA:
        return OutputFormat(FormatKind(kind), extras=fields.rest())
    inner = fields.inner("json_schema")
    return OutputFormat(
        FormatKind.JSON_SCHEMA,
        inner.name("name"),
        inner.optional_object("schema"),
        inner.optional_flag("strict"),
        inner.optional_text("description"),
        fields.rest(inner),
    )


def encode_format(output: OutputFormat, *, own: bool) -> JsonObject:
    extras: Extras = output.extras if own else {}
    if output.kind is not FormatKind.JSON_SCHEMA:
        return {"type": output.kind.value, **extras}
    inner: JsonObject = {"name": output.name or "answer"}
    for key, value in (("schema", output.schema), ("strict", output.strict), ("description", output.description)):
        if value is not None:
            inner[key] = value
    return {"type": output.kind.value, **extras, "json_schema": {**inner, **nested(extras, "json_schema")}}
