"""What pydantic found wrong, in plain words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from pydantic_core import ErrorDetails

from relayhub.config.tree import Node

_NEEDED = {
    "int_type": "a whole number is needed",
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "float_parsing": "a number is needed",
    "bool_type": "true or false is needed",
    "bool_parsing": "true or false is needed",
    "string_type": "text is needed",
    "bytes_type": "text is needed",
    "path_type": "a path is needed",
    "url_type": "a URL is needed",
    "dict_type": "a mapping (`key: value`) is needed",
    "model_type": "a mapping (`key: value`) is needed",
    "model_attributes_type": "a mapping (`key: value`) is needed",
    "list_type": "a list is needed",
    "tuple_type": "a list is needed",
    "set_type": "a list is needed",
    "frozen_set_type": "a list is needed",
}
_BOUNDS = {
    "greater_than": ("gt", "it must be more than"),
    "greater_than_equal": ("ge", "it must be at least"),
    "less_than": ("lt", "it must be less than"),
    "less_than_equal": ("le", "it must be at most"),
    "string_too_long": ("max_length", "it is too long; characters at most:"),
    "too_long": ("max_length", "there are too many; at most:"),
}
_TRUE_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def cause(details: ErrorDetails, node: Node) -> tuple[str, str | None]:
    """Message and hint. No value is repeated: the source line shows it, or hides it."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "relayhub":
        return str(context["message"]), context["hint"]
    if kind in _NEEDED:
        return f"{_NEEDED[kind]}, this is {_kind_of(node)}", _remedy(kind, node)
    if kind in ("literal_error", "enum"):
        return _choice(context, node)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {_number(context[name])}", None
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "it must not be empty", None
    if kind in ("value_error", "assertion_error"):
        return _sentence(str(context["error"])), None
    return _sentence(details["msg"].replace("Input should", "it should")), None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The nearest of ``known``, if one is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else None


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _kind_of(node: Node) -> str:
    match node.value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number with decimals"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case _:
            return "a list"


def _remedy(kind: str, node: Node) -> str | None:
    match kind, node.value:
        case (("bool_type" | "bool_parsing"), str(word)) if word.lower() in _TRUE_WORDS:
            return f"Did you mean `{_TRUE_WORDS[word.lower()]}`?"
        case "string_type", bool() | int() | float():
            return "Put the value in quotes."
        case (("int_type" | "float_type"), str()) if node.quoted and not node.outside:
            return "Leave the quotes away if it is a number."
        case (("list_type" | "tuple_type"), bool() | int() | float() | str()):
            return "Put it in brackets: [one, two]"
        case _:
            return None


def _choice(context: Mapping[str, object], node: Node) -> tuple[str, str | None]:
    choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    hint = did_you_mean(node.value, choices) if isinstance(node.value, str) and not node.outside else None
    return f"it must be one of {listed(choices)}", hint


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
