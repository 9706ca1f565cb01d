"""The JSON schema of the config, for editors and for other programs that write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import BaseModel

from relayhub.config.checking import key_of
from relayhub.config.schema import ConfigFile, CredentialEntry, ProviderEntry
from relayhub.config.secrets import secret_fields
from relayhub.types.json import Json, JsonObject

Types: TypeAlias = Mapping[str, type[BaseModel]]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OUTSIDE = "FromEnvironment"
_REFERENCE: JsonObject = {
    "type": "string",
    "pattern": "\\$\\{[A-Za-z_]",
    "description": "${VAR}, ${VAR:-default} or ${VAR:?message}",
}
_TYPED = ("integer", "number", "boolean")


def json_schema(types: Types) -> JsonObject:
    """JSON Schema 2020-12. A provider entry is closed: the fields that all have and those of its ``type``, which is the
    entry's own name where it is not said."""
    schema = _object(ConfigFile.model_json_schema(ref_template="#/$defs/{model}"))
    definitions = _object(schema.pop("$defs"))
    common = _object(_object(definitions.pop(ProviderEntry.__name__))["properties"])
    common["models"] = _models_schema(_object(common["models"]))
    for name, model in types.items():
        definitions.update(_provider_definitions(name, model, common))
    definitions["Provider"] = _by_type(types)
    definitions[_OUTSIDE] = _REFERENCE
    properties = _object(schema["properties"])
    properties["providers"] = _providers_schema(types)
    opened = {**schema, "$defs": definitions}
    return {"$schema": DIALECT, **_object(_with_references(opened)), "title": "relayhub.yaml"}


def _object(value: object) -> JsonObject:
    assert isinstance(value, dict)
    return value


def _models_schema(described: JsonObject) -> JsonObject:
    entry: JsonObject = {"$ref": "#/$defs/ModelConfig"}
    named: JsonObject = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    return {
        "description": described["description"],
        "anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [entry, {"type": "null"}]}},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, named]}},
            {"type": "null"},
        ],
    }


def _provider_definitions(name: str, model: type[BaseModel], common: JsonObject) -> JsonObject:
    """``provider.<type>``, and the plugin's own definitions under names that cannot clash."""
    prefix = f"provider.{name}"
    schema = _object(model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}"))
    inner = {f"{prefix}.{key}": value for key, value in _object(schema.pop("$defs", {})).items()}
    own = _object(schema.get("properties", {}))
    siblings = {f"{key_of(model, field)}_file": key_of(model, field) for field in sorted(secret_fields(model))}
    files: JsonObject = {
        sibling: {"type": "string", "description": f"File that holds {key}."}
        for sibling, key in siblings.items()
        if sibling not in own
    }
    required = [key for key in _strings(schema.get("required")) if f"{key}_file" not in files]
    either: list[Json] = [
        {"anyOf": [{"required": [key]}, {"required": [f"{key}_file"]}, {"required": ["credentials"]}]}
        for key in _strings(schema.get("required"))
        if f"{key}_file" in files
    ]
    closed: JsonObject = {"additionalProperties": False} if schema.get("additionalProperties") is not True else {}
    entry: JsonObject = {
        "type": "object",
        "title": str(schema.get("title", name)),
        "properties": {**common, **own, **files, "credentials": _credentials_schema(common, own, files)},
        "required": list[Json](required),
        **({"allOf": either} if either else {}),
        **closed,
    }
    return {prefix: entry, **inner}


def _credentials_schema(common: JsonObject, own: JsonObject, files: JsonObject) -> JsonObject:
    """Each may say everything that the entry itself may."""
    described = _object(common["credentials"])
    fields: JsonObject = CredentialEntry.model_json_schema()
    item: JsonObject = {"type": "object", "properties": {**own, **files, **_object(fields["properties"])}}
    return {"description": described["description"], "type": "array", "items": item}


def _strings(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _by_type(types: Types) -> JsonObject:
    """An entry that says its type."""
    known: list[Json] = list(types)
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": known}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"$ref": f"#/$defs/provider.{name}"},
            }
            for name in types
        ],
    }


def _providers_schema(types: Types) -> JsonObject:
    said: JsonObject = {"$ref": "#/$defs/Provider"}
    off: JsonObject = {
        "type": "object",
        "required": ["enabled"],
        "properties": {"enabled": {"const": False}},
    }
    by_name: JsonObject = {
        name: {
            "if": {"type": "object", "required": ["type"]},
            "then": {"anyOf": [off, said]},
            "else": {"anyOf": [off, {"$ref": f"#/$defs/provider.{name}"}, {"type": "null"}]},
        }
        for name in types
    }
    return {
        "description": "The upstreams, by the names you give them.",
        "type": "object",
        "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
        "properties": by_name,
        "additionalProperties": {"anyOf": [off, said]},
    }


def _with_references(schema: Json) -> Json:
    """Wherever a number, a choice or a switch may stand, a reference to an environment variable may stand too."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in _TYPED or ("enum" in schema and schema.get("type") == "string"):
        said: JsonObject = {key: schema[key] for key in ("description", "default", "title") if key in schema}
        rest: JsonObject = {key: value for key, value in schema.items() if key not in said}
        return {**said, "anyOf": [rest, {"$ref": f"#/$defs/{_OUTSIDE}"}]}
    return {_keyword(key, value): _with_references(value) for key, value in schema.items()}


def _keyword(name: str, value: Json) -> str:
    """What is told apart by its shape fits one of its forms at most; editors know ``anyOf`` best."""
    return "anyOf" if name == "oneOf" and isinstance(value, list) else name
