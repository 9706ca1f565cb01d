"""Schemas for upstreams that take only their own form of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.gemini_generate.schemas import from_gemini, to_gemini
from relayhub.types.errors import ClientError

REFUSED = {"$schema", "$ref", "$defs", "$id", "additionalProperties", "const", "exclusiveMinimum", "exclusiveMaximum"}
REFUSED |= {"oneOf", "allOf", "not", "if", "then", "else", "examples", "patternProperties"}
HOSTILE = sorted({*REFUSED, "title", "format", "type", "enum", "properties", "items", "required", "default", "anyOf"})


def converted(schema: dict[str, Any]) -> dict[str, Any]:
    return to_gemini(schema, "tools[0]")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"type": "STRING"}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": "string", "enum": ["a", None]}, {"type": "STRING", "enum": ["a"]}),
        ({"enum": ["a", "b"]}, {"type": "STRING", "enum": ["a", "b"]}),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER"}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "INTEGER", "minimum": 0}),
        ({"type": "string", "format": "email"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": "number", "format": "double"}, {"type": "NUMBER", "format": "double"}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"type": "STRING", "description": "d", "nullable": True},
        ),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"type": "array"}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        ({"type": "array", "items": {"type": "object"}}, {"type": "ARRAY", "items": {"type": "OBJECT"}}),
        (
            {"type": "object", "properties": {"a": {}}, "required": ["a", "b"], "additionalProperties": False},
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]},
        ),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}},
                    {"properties": {"b": {"type": "boolean"}}},
                ]
            },
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "BOOLEAN"}}},
        ),
        (
            {
                "$defs": {"A": {"type": "string"}},
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}},
            },
            {"type": "OBJECT", "properties": {"a": {"type": "STRING", "description": "d"}}},
        ),
    ],
)
def test_schemas_are_put_into_the_upstreams_form(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert converted(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"},
        {"properties": {"a": {"$ref": "#"}}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/missing"},
    ],
)
def test_references_that_cannot_be_written_out_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ClientError):
        converted(schema)


def test_references_cannot_explode() -> None:
    names = [f"D{number}" for number in range(20)]
    twice = {
        name: {"type": "object", "properties": {"a": {"$ref": f"#/$defs/{after}"}, "b": {"$ref": f"#/$defs/{after}"}}}
        for name, after in pairwise(names)
    }
    with pytest.raises(ClientError):
        converted({"$defs": {**twice, "D19": {"type": "string"}}, "$ref": "#/$defs/D0"})


def test_a_type_may_be_used_twice_without_being_recursive() -> None:
    used = {"$ref": "#/$defs/A"}
    out = converted({"$defs": {"A": {"type": "string"}}, "type": "object", "properties": {"a": used, "b": used}})
    assert out["properties"] == {"a": {"type": "STRING"}, "b": {"type": "STRING"}}


leaves = st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean")])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(HOSTILE), inner, min_size=1, max_size=4).map(
        lambda properties: {
            "$schema": "x",
            "type": "object",
            "title": "T",
            "properties": properties,
            "required": sorted(properties),
            "additionalProperties": False,
        }
    )


schemas = objects(
    st.recursive(leaves, lambda inner: objects(inner) | inner.map(lambda item: {"type": "array", "items": item}))
)


@given(schemas)
def test_properties_keep_their_names_whatever_they_are(schema: dict[str, Any]) -> None:
    _check(schema, converted(schema))


def _check(schema: dict[str, Any], out: dict[str, Any]) -> None:
    assert not REFUSED & out.keys()
    assert out["type"] == schema["type"].upper()
    if "properties" in schema:
        assert list(out["properties"]) == list(schema["properties"])
        assert out["required"] == schema["required"]
        for name, inner in schema["properties"].items():
            _check(inner, out["properties"][name])
    if "items" in schema:
        _check(schema["items"], out["items"])


@given(schemas)
def test_the_upstreams_form_survives_the_way_there_and_back(schema: dict[str, Any]) -> None:
    form = converted(schema)
    assert converted(from_gemini(form)) == form


def test_the_upstreams_form_becomes_json_schema() -> None:
    form: dict[str, Any] = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True},
            "n": {"type": "ARRAY", "minItems": "2", "items": {"type": "NUMBER"}},
        },
    }
    assert from_gemini(form) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"]},
            "n": {"type": "array", "minItems": 2, "items": {"type": "number"}},
        },
    }
