"""The tools of a request, and which of them the demo calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from relayhub_demo.wire import flag, invalid, missing, one_of, wrong_type, wrong_value

Function: TypeAlias = Mapping[str, object]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CHOICES = ("none", "auto", "required")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DULL = frozenset(
    {"call", "current", "data", "fetch", "find", "from", "info", "list", "make", "query", "show", "tool", "with"}
)
_CHINESE = {"weather": "天气", "time": "时间", "date": "日期", "search": "搜索", "news": "新闻", "translate": "翻译"}


def functions_of(body: Mapping[str, object]) -> Sequence[Function]:
    """Raises ``Refusal``."""
    tools = body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects")
    if not tools:
        raise invalid("tools", "Invalid 'tools': empty array. Expected at least one tool.", "empty_array")
    found = [_function(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    return [function for function in found if function is not None]


def _function(tool: object, path: str) -> Function | None:
    """``None`` for a tool that is no function: the demo never calls it."""
    if not isinstance(tool, dict):
        raise wrong_type(path, "an object")
    if tool.get("type") == "custom":
        return None
    if tool.get("type") != "function":
        raise wrong_value(f"{path}.type", tool.get("type"), ("function", "custom"))
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise missing(f"{path}.function.name")
    if not NAME.fullmatch(function["name"]):
        raise invalid(f"{path}.function.name", f"Invalid '{path}.function.name': it must match {NAME.pattern}.")
    if not isinstance(function.get("parameters"), dict | None):
        raise wrong_type(f"{path}.function.parameters", "an object")
    return function


def wanted_calls(body: Mapping[str, object], functions: Sequence[Function], said: str) -> Sequence[Function]:
    """A named tool, every tool that is spoken of, or, where a call is required, the first one. Raises ``Refusal``."""
    choice = body.get("tool_choice")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and body.get("tools") is None:
            raise invalid(name, f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.")
    parallel = flag(body, "parallel_tool_calls") is not False
    if isinstance(choice, dict):
        return _named(choice, functions)
    how = one_of(body, "tool_choice", CHOICES)
    if how == "none":
        return []
    wanted = _spoken_of(functions, said) or (functions[:1] if how == "required" else [])
    return wanted if parallel else wanted[:1]


def _named(choice: Mapping[str, object], functions: Sequence[Function]) -> Sequence[Function]:
    if choice.get("type") != "function":
        return []
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    found = [function for function in functions if function["name"] == name]
    if not found:
        raise invalid("tool_choice", f"Tool choice '{name}' not found in 'tools' parameter.", "invalid_value")
    return found


def _spoken_of(functions: Sequence[Function], said: str) -> Sequence[Function]:
    """By their whole name, else by a word of it: "What is the weather?" is for ``get_weather``."""
    lower = said.lower()
    named = [function for function in functions if str(function["name"]).lower() in lower]
    return named or [function for function in functions if _hints_at(str(function["name"]), lower)]


def _hints_at(name: str, said: str) -> bool:
    words = {word.lower() for word in _WORDS.findall(name)} - _DULL
    return any(
        (len(word) >= 4 and re.search(rf"\b{word}\b", said)) or _CHINESE.get(word, "\0") in said for word in words
    )
