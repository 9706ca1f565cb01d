"""As much of JSON Schema 2020-12 as the config's schema uses; an unknown keyword is an error, not a pass."""

from __future__ import annotations

import re

Json = object

ANNOTATIONS = {"examples", "$schema", "$defs", "title", "description", "default", "format", "writeOnly"}
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def accepts(root: dict[str, Json], value: Json) -> bool:
    return _Check(root).ok(root, value)


class _Check:
    def __init__(self, root: dict[str, Json]) -> None:
        self.root = root

    def ok(self, schema: Json, value: Json) -> bool:
        if isinstance(schema, bool):
            return schema
        assert isinstance(schema, dict)
        return all(
            getattr(self, self.method(key))(schema, schema[key], value) for key in schema if key not in ANNOTATIONS
        )

    def method(self, key: str) -> str:
        name = "check_" + key.replace("$", "")
        assert hasattr(self, name), f"the schema uses {key}, which this check does not know"
        return name

    def check_ref(self, _: Json, ref: str, value: Json) -> bool:
        assert ref.startswith("#/$defs/"), ref
        definitions = self.root["$defs"]
        assert isinstance(definitions, dict)
        return self.ok(definitions[ref.removeprefix("#/$defs/")], value)

    def check_type(self, _: Json, kind: str, value: Json) -> bool:
        return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))

    def check_const(self, _: Json, const: Json, value: Json) -> bool:
        return type(const) is type(value) and const == value

    def check_enum(self, _: Json, choices: list[Json], value: Json) -> bool:
        return value in choices

    def check_allOf(self, _: Json, schemas: list[Json], value: Json) -> bool:  # noqa: N802
        return all(self.ok(schema, value) for schema in schemas)

    def check_anyOf(self, _: Json, schemas: list[Json], value: Json) -> bool:  # noqa: N802
        return any(self.ok(schema, value) for schema in schemas)

    def check_if(self, parent: dict[str, Json], condition: Json, value: Json) -> bool:
        return self.ok(parent.get("then" if self.ok(condition, value) else "else", True), value)

    def check_then(self, *_: Json) -> bool:
        return True

    check_else = check_then

    def check_properties(self, _: Json, properties: dict[str, Json], value: Json) -> bool:
        if not isinstance(value, dict):
            return True
        return all(self.ok(schema, value[name]) for name, schema in properties.items() if name in value)

    def check_additionalProperties(self, parent: dict[str, Json], schema: Json, value: Json) -> bool:  # noqa: N802
        known = parent.get("properties", {})
        assert isinstance(known, dict)
        return not isinstance(value, dict) or all(
            self.ok(schema, item) for key, item in value.items() if key not in known
        )

    def check_propertyNames(self, _: Json, schema: Json, value: Json) -> bool:  # noqa: N802
        return not isinstance(value, dict) or all(self.ok(schema, name) for name in value)

    def check_required(self, _: Json, names: list[str], value: Json) -> bool:
        return not isinstance(value, dict) or all(name in value for name in names)

    def check_items(self, _: Json, schema: Json, value: Json) -> bool:
        return not isinstance(value, list) or all(self.ok(schema, item) for item in value)

    def check_pattern(self, _: Json, pattern: str, value: Json) -> bool:
        return not isinstance(value, str) or re.search(pattern, value) is not None

    def check_minItems(self, _: Json, least: int, value: Json) -> bool:  # noqa: N802
        return not isinstance(value, list) or len(value) >= least

    def check_minLength(self, _: Json, least: int, value: Json) -> bool:  # noqa: N802
        return not isinstance(value, str) or len(value) >= least

    def check_maxLength(self, _: Json, most: int, value: Json) -> bool:  # noqa: N802
        return not isinstance(value, str) or len(value) <= most

    def check_minimum(self, _: Json, least: float, value: Json) -> bool:
        return not isinstance(value, int | float) or value >= least

    def check_maximum(self, _: Json, most: float, value: Json) -> bool:
        return not isinstance(value, int | float) or value <= most

    def check_exclusiveMinimum(self, _: Json, bound: float, value: Json) -> bool:  # noqa: N802
        return not isinstance(value, int | float) or value > bound
