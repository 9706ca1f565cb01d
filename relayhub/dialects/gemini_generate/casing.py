"""Names of request fields, of which the upstream's JSON reader takes two spellings, in the one that it writes
itself."""

from __future__ import annotations

import re

from relayhub.dialects.fields import invalid_value
from relayhub.types.json import Json, JsonObject

_SNAKE = re.compile(r"(?<=[A-Za-z0-9])_([a-z0-9])")

_FREE = frozenset(
    {
        "args",
        "response",
        "parametersJsonSchema",
        "responseJsonSchema",
        "labels",
        "headers",
        "example",
        "default",
        "partialArgs",
        "customMetadata",
    }
)
"""Values whose inner names are the client's own."""

_NAMED = frozenset({"properties", "defs"})
"""Objects whose keys are the client's own, but not what is below them."""


def camel(name: str) -> str:
    """``thinking_config`` → ``thinkingConfig``; a camelCase name is itself."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)


def camel_object(value: JsonObject, path: str = "") -> JsonObject:
    """A message with all its field names in camelCase. Raises ``ClientError`` for a field said in both spellings."""
    out: JsonObject = {}
    for key, item in value.items():
        name = camel(key)
        place = f"{path}.{name}" if path else name
        if name in out:
            raise invalid_value(place, "is there in two spellings")
        out[name] = _value_of(name, item, place)
    return out


def _value_of(name: str, value: Json, path: str) -> Json:
    if name in _FREE:
        return value
    if name in _NAMED and isinstance(value, dict):
        return {key: _camel(item, f"{path}.{key}") for key, item in value.items()}
    return _camel(value, path)


def _camel(value: Json, path: str) -> Json:
    match value:
        case dict():
            return camel_object(value, path)
        case list():
            return [_camel(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case _:
            return value
