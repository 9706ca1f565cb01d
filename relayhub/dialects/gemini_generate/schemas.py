"""Schemas in the upstream's own form ↔ JSON Schema.

Both walk schemas, not keys: a property that is called ``title``, ``format`` or ``default`` is a property.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayhub.dialects.fields import invalid_value
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.gemini_generate.scalars import integer_of
from relayhub.types.json import Json, JsonObject

MAX_INLINED = 2_000
"""Schemas that references may add up to: they can name each other many times over."""

ANY = "STRING"
"""The type where a schema says none: the upstream demands one, and has no word for any."""

_COPIED = ("title", "description", "pattern", "default", "minimum", "maximum", "propertyOrdering")
_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_FORMATS: Mapping[str, frozenset[str]] = {
    "STRING": frozenset({"enum", "date-time", "date", "time", "duration"}),
    "INTEGER": frozenset({"int32", "int64"}),
    "NUMBER": frozenset({"float", "double"}),
}
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})


def to_gemini(schema: JsonObject, path: str) -> JsonObject:
    """A JSON Schema in the upstream's form, which knows less: references are written out, and what only narrows the
    values is left out. Raises ``ClientError`` for a schema that contains itself."""
    return _Writer(schema, path).convert(schema, path, ())


class _Writer:
    def __init__(self, root: JsonObject, path: str) -> None:
        self._root = root
        self._path = path
        self._left = MAX_INLINED

    def convert(self, schema: Json, path: str, through: tuple[str, ...]) -> JsonObject:
        """``through``: the references that led here."""
        self._left -= 1
        if self._left < 0:
            raise not_expressible(self._path, "a schema that is too large once its references are written out")
        if not isinstance(schema, dict):
            return {"type": ANY}  # ``true`` and ``false`` are schemas, too
        schema, through = self._resolved(schema, path, through)
        options = _options(schema)
        kinds, nullable = _kinds(schema)
        out = self._common(schema, kinds[0] if len(kinds) == 1 else None)
        if options is not None:
            nullable = self._add_options(out, options, path, through) or nullable
        elif len(kinds) > 1:
            out["anyOf"] = [self.convert({**schema, "type": kind}, path, through) for kind in kinds]
            out = {key: out[key] for key in ("title", "description", "default", "anyOf") if key in out}
        if "anyOf" not in out:
            self._add_shape(out, schema, path, through)
        if "anyOf" not in out:
            out.setdefault("type", ANY)
        if nullable:
            out["nullable"] = True
        return out

    def _add_options(self, out: JsonObject, options: Sequence[Json], path: str, through: tuple[str, ...]) -> bool:
        """Whether ``null`` is among them."""
        others = [option for option in options if not _is_null(option)]
        converted: list[Json] = [
            self.convert(option, f"{path}.anyOf[{index}]", through) for index, option in enumerate(others)
        ]
        if len(converted) == 1:
            only = converted[0]
            assert isinstance(only, dict)
            out.update({**only, **{key: value for key, value in out.items() if key != "type"}})
        elif converted:
            out.pop("type", None)
            out["anyOf"] = converted
        return len(others) < len(options)

    def _add_shape(self, out: JsonObject, schema: JsonObject, path: str, through: tuple[str, ...]) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            out.setdefault("type", "OBJECT")
            out["properties"] = {
                name: self.convert(inner, f"{path}.properties.{name}", through) for name, inner in properties.items()
            }
            known = out["properties"]
            assert isinstance(known, dict)
            required = schema.get("required")
            names: list[Json] = [name for name in required if name in known] if isinstance(required, list) else []
            if names:
                out["required"] = names
        items = schema.get("items", schema.get("prefixItems"))
        if isinstance(items, list):
            items = {"anyOf": items} if len(items) > 1 else (items[0] if items else {})
        if items is not None or out.get("type") == "ARRAY":
            out.setdefault("type", "ARRAY")
            out["items"] = self.convert({} if items is None else items, f"{path}.items", through)

    def _common(self, schema: JsonObject, kind: str | None) -> JsonObject:
        out: JsonObject = {}
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if kind is None and isinstance(values, list) and all(isinstance(value, str | None) for value in values):
            kind = "string"
        word = kind.upper() if kind in _TYPES else None
        if word is not None:
            out["type"] = word
        for key in _COPIED:
            if schema.get(key) is not None:
                out[key] = schema[key]
        for key in _COUNTS:
            if (count := integer_of(schema.get(key))) is not None:
                out[key] = count
        for key, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            bound = schema.get(exclusive)
            if key not in out and type(bound) in (int, float):
                out[key] = bound
        if word is not None and schema.get("format") in _FORMATS.get(word, ()):
            out["format"] = schema["format"]
        if isinstance(values, list) and word == "STRING":
            # Only strings can be enumerated; of other types the values are not narrowed.
            out["enum"] = [value for value in values if isinstance(value, str) and value]
            if not out["enum"]:
                del out["enum"]
        return out

    def _resolved(self, schema: JsonObject, path: str, through: tuple[str, ...]) -> tuple[JsonObject, tuple[str, ...]]:
        """References followed and ``allOf`` merged."""
        while isinstance(reference := schema.get("$ref"), str):
            if reference in through:
                raise not_expressible(path, "a schema that contains itself")
            through = (*through, reference)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._follow(reference, path), **beside}
        parts = schema.get("allOf")
        if not isinstance(parts, list):
            return schema, through
        merged: JsonObject = {key: value for key, value in schema.items() if key != "allOf"}
        for index, part in enumerate(parts):
            if isinstance(part, dict):
                inner, through = self._resolved(part, f"{path}.allOf[{index}]", through)
                merged = _merged(merged, inner)
        return merged, through

    def _follow(self, reference: str, path: str) -> JsonObject:
        if not reference.startswith("#"):
            raise not_expressible(path, "a reference to another document")
        found: Json = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise invalid_value(path, f"refers to {reference!r}, which is not there")
        return found


def _merged(left: JsonObject, right: JsonObject) -> JsonObject:
    """Both at once."""
    out = {**right, **left}
    for key in ("properties", "required", "$defs"):
        one, other = left.get(key), right.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            out[key] = {**other, **one}
        elif isinstance(one, list) and isinstance(other, list):
            out[key] = [*one, *(name for name in other if name not in one)]
    return out


def _options(schema: JsonObject) -> list[Json] | None:
    for key in ("anyOf", "oneOf"):
        value = schema.get(key)
        if isinstance(value, list) and value:
            return value
    return None


def _kinds(schema: JsonObject) -> tuple[list[str], bool]:
    """The types other than null, and whether null is among them."""
    value = schema.get("type")
    names = [name.lower() for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    nullable = "null" in names or schema.get("nullable") is True
    return [name for name in names if name != "null"], nullable


def _is_null(schema: Json) -> bool:
    if not isinstance(schema, dict):
        return False
    return schema.get("type") == "null" or ("const" in schema and schema["const"] is None)


def from_gemini(schema: JsonObject) -> JsonObject:
    """The upstream's form as JSON Schema: lower-case types, ``null`` among the types where it is allowed."""
    out: JsonObject = {}
    nullable = schema.get("nullable") is True
    for key, value in schema.items():
        match key, value:
            case "type", str():
                kind = value.lower()
                out[key] = [kind, "null"] if nullable and kind != "null" else kind
            case (("properties" | "defs"), dict()):
                inner: JsonObject = {name: _from(item) for name, item in value.items()}
                out["$defs" if key == "defs" else key] = inner
            case (("items" | "additionalProperties"), dict()):
                out[key] = from_gemini(value)
            case "anyOf", list():
                out[key] = [_from(item) for item in value] + ([{"type": "null"}] if nullable else [])
            case "ref", str():
                out["$ref"] = value.replace("#/defs/", "#/$defs/")
            case "enum", list() if nullable:
                out[key] = [*value, None]
            case "example", _:
                out["examples"] = [value]
            case "nullable", bool():
                pass
            case _, str() if key in _COUNTS and (count := integer_of(value)) is not None:
                out[key] = count
            case _:
                out[key] = value
    return out


def _from(schema: Json) -> Json:
    return from_gemini(schema) if isinstance(schema, dict) else schema
