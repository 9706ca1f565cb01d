"""Tools, tool choice and output format, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.fields import Fields, invalid_value
from relayhub.dialects.foreign import Dropped, not_expressible
from relayhub.types.chat import (
    ChatRequest,
    FormatKind,
    OpaquePart,
    OutputFormat,
    Tool,
    ToolChoice,
    ToolMode,
)
from relayhub.types.json import Json, JsonObject

SERIAL = "disable_parallel_tool_use"

_MODES = {"none": ToolMode.NONE, "auto": ToolMode.AUTO, "any": ToolMode.REQUIRED}
_WORDS = {mode: word for word, mode in _MODES.items()}


def decode_tools(values: Sequence[Json], path: str) -> tuple[Tool, ...]:
    """An explicit ``type: custom``, which is the default, is not written again."""
    return tuple(_decode_tool(value, f"{path}[{index}]") for index, value in enumerate(values))


def _decode_tool(value: Json, path: str) -> Tool:
    fields = Fields(value, path)
    kind = fields.optional_text("type") or "custom"
    if kind != "custom":
        assert isinstance(value, dict)
        name = value.get("name")
        return Tool(name if isinstance(name, str) else kind, opaque=OpaquePart(NAME, kind, value))
    return Tool(
        fields.name("name"),
        fields.optional_text("description"),
        fields.optional_object("input_schema"),
        fields.optional_flag("strict"),
        extras=fields.rest(),
    )


def encode_tools(tools: Sequence[Tool]) -> list[Json]:
    """Tools of this dialect."""
    return [_encode_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _encode_tool(tool: Tool, path: str) -> JsonObject:
    if tool.opaque is not None:
        return _own_value(tool.opaque, path)
    out: JsonObject = {"name": tool.name}
    for key, value in (
        ("description", tool.description),
        ("input_schema", tool.parameters),
        ("strict", tool.strict),
    ):
        if value is not None:
            out[key] = value
    return {**out, **tool.extras}


def _own_value(part: OpaquePart, path: str) -> JsonObject:
    if part.dialect != NAME:
        raise not_expressible(path, part.kind)
    return part.value


def decode_choice(value: Json, path: str) -> tuple[ToolChoice, bool | None]:
    """The choice, and whether calls may be parallel. What the hub's words cannot say also carries the original."""
    fields = Fields(value, path)
    kind = fields.name("type")
    serial = fields.optional_flag(SERIAL)
    parallel = None if serial is None else not serial
    if kind == "tool":
        choice = ToolChoice(ToolMode.REQUIRED, (fields.name("name"),))
    else:
        choice = ToolChoice(_MODES.get(kind, ToolMode.REQUIRED))
    if encode_choice(choice, parallel, path) == value:
        return choice, parallel
    assert isinstance(value, dict)
    return ToolChoice(choice.mode, choice.names, opaque=OpaquePart(NAME, "tool_choice", value)), parallel


def encode_choice(choice: ToolChoice, parallel: bool | None, path: str) -> JsonObject:
    """For a choice that is not a subset."""
    if choice.opaque is not None:
        return _own_value(choice.opaque, path)
    out: JsonObject = {"type": _WORDS[choice.mode]}
    if choice.names:
        out = {"type": "tool", "name": choice.names[0]}
    return out if parallel is None else {**out, SERIAL: not parallel}


def translate_tools(request: ChatRequest) -> JsonObject:
    """``tools`` and ``tool_choice`` of another dialect's request. Raises ``ClientError`` for what cannot be said."""
    choice = request.tool_choice
    if choice is not None and choice.opaque is not None:
        raise not_expressible("tool_choice", choice.opaque.kind)
    allowed = choice.names if choice is not None and _is_subset(choice) else None
    tools = [
        _translate_tool(tool, f"tools[{index}]")
        for index, tool in enumerate(request.tools)
        if allowed is None or tool.name in allowed
    ]
    out: JsonObject = {"tools": list(tools)} if tools else {}
    translated = _translate_choice(choice, serial=request.parallel_tool_calls is False)
    if translated is not None and (tools or translated["type"] in ("any", "tool")):
        out["tool_choice"] = translated
    return out


def _is_subset(choice: ToolChoice) -> bool:
    return choice.subset or len(choice.names) > 1


def _translate_tool(tool: Tool, path: str) -> JsonObject:
    if tool.opaque is not None:
        raise not_expressible(path, tool.opaque.kind)
    out: JsonObject = {"name": tool.name, "input_schema": _schema(tool.parameters, path)}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.strict:
        out["strict"] = True
    return out


def _schema(parameters: JsonObject | None, path: str) -> JsonObject:
    """Always of an object, which is the only input that the upstream knows."""
    if not parameters:
        return {"type": "object", "properties": {}}
    if parameters.get("type", "object") != "object":
        raise invalid_value(path, "must have parameters of type object for this model's upstream")
    return {"type": "object", **{key: value for key, value in parameters.items() if key != "$schema"}}


def _translate_choice(choice: ToolChoice | None, *, serial: bool) -> JsonObject | None:
    if choice is None:
        return {"type": "auto", SERIAL: True} if serial else None
    if choice.mode is ToolMode.NONE:
        return {"type": "none"}
    out: JsonObject = {"type": _WORDS[choice.mode]}
    if len(choice.names) == 1 and choice.mode is ToolMode.REQUIRED:
        out = {"type": "tool", "name": choice.names[0]}
    return {**out, SERIAL: True} if serial else out


def decode_format(value: Json, path: str) -> OutputFormat | None:
    """``None`` for a type that the hub has no word for."""
    fields = Fields(value, path)
    if fields.name("type") != FormatKind.JSON_SCHEMA:
        return None
    return OutputFormat(FormatKind.JSON_SCHEMA, schema=fields.optional_object("schema"), extras=fields.rest())


def encode_format(output: OutputFormat) -> JsonObject:
    """A format of this dialect, or the schema of another's."""
    schema: JsonObject = {} if output.schema is None else {"schema": output.schema}
    return {"type": output.kind.value, **schema, **output.extras}


def translate_format(output: OutputFormat | None, dropped: Dropped) -> JsonObject | None:
    """Only schemas have an equal."""
    if output is None or output.kind is FormatKind.TEXT:
        return None
    if output.kind is FormatKind.JSON_OBJECT or output.schema is None:
        dropped.note("response_format")
        return None
    schema = {key: value for key, value in output.schema.items() if key != "$schema"}
    return {"type": "json_schema", "schema": schema}
