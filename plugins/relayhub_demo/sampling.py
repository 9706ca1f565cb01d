"""Something valid for a JSON schema: arguments of tool calls, and answers that must have a shape."""

from __future__ import annotations

from collections.abc import Mapping

MOST_DEEP = 12
"""A schema may refer to itself."""

_BY_NAME = {"city": "Oslo", "location": "Oslo", "tz": "Europe/Oslo", "timezone": "Europe/Oslo", "unit": "celsius"}
_BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Sampler:
    """``texts``: what to say for string properties of these names. ``all_properties``: the optional ones too."""

    def __init__(self, root: Mapping[str, object], texts: Mapping[str, str], *, all_properties: bool) -> None:
        self._root = root
        self._texts = texts
        self._all = all_properties

    def sample(self) -> object:
        return self._value("", self._root, 0)

    def _value(self, name: str, schema: object, depth: int) -> object:
        schema = self._resolved(schema)
        if depth > MOST_DEEP or not isinstance(schema, dict):
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for variants in (schema.get("anyOf"), schema.get("oneOf"), schema.get("allOf")):
            if isinstance(variants, list) and variants:
                return self._value(name, variants[0], depth + 1)
        return self._of_type(name, schema, depth)

    def _of_type(self, name: str, schema: Mapping[str, object], depth: int) -> object:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(name, schema, depth)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._text(name, schema)

    def _object(self, schema: Mapping[str, object], depth: int) -> dict[str, object]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        names = list(properties) if self._all else [name for name in properties if name in _names(required)]
        return {name: self._value(name, properties[name], depth + 1) for name in names}

    def _array(self, name: str, schema: Mapping[str, object], depth: int) -> list[object]:
        least = schema.get("minItems")
        count = least if isinstance(least, int) else 0
        return [self._value(name, schema.get("items", {}), depth + 1) for _ in range(min(count, 16))]

    def _text(self, name: str, schema: Mapping[str, object]) -> str:
        by_format = _BY_FORMAT.get(str(schema.get("format")))
        return by_format or self._texts.get(name) or _BY_NAME.get(name, "demo")

    def _resolved(self, schema: object) -> object:
        """Follows ``$ref`` within the document."""
        for _ in range(MOST_DEEP):
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            if not isinstance(reference, str):
                return schema
            schema = self._root
            for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
                schema = schema.get(step) if isinstance(schema, dict) else None
        return None


def _names(required: object) -> list[object]:
    return required if isinstance(required, list) else []


def _number(schema: Mapping[str, object]) -> float:
    """1, or the nearest that the bounds allow."""
    value: float = 1
    for bound, step, is_lower in (
        ("minimum", 0, True),
        ("exclusiveMinimum", 1, True),
        ("maximum", 0, False),
        ("exclusiveMaximum", -1, False),
    ):
        limit = schema.get(bound)
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            value = max(value, limit + step) if is_lower else min(value, limit + step)
    return value
