"""``/api/admin/openapi.json``: OpenAPI 3.1, made of the table of operations and their models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from relayhub import __version__
from relayhub.types.json import Json, JsonObject
from relayhub.types.role import Role
from relayhub.web.admin.caller import COOKIE, CSRF_HEADER
from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.shapes import Nothing

Schemas: TypeAlias = "dict[tuple[object, str], JsonObject]"
"""By model, and whether it comes in (``validation``) or goes out (``serialization``)."""

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"{(\w+)}")

_ERROR: JsonObject = {
    "type": "object",
    "required": ["success", "message", "code", "request_id"],
    "properties": {
        "success": {"const": False},
        "message": {"type": "string"},
        "code": {"type": "string"},
        "param": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_ERRORS = {
    "400": "The request is not valid.",
    "401": "Nobody is signed in, or the admin key is not valid.",
    "403": "The role, the origin or the CSRF token does not allow it.",
    "404": "There is no such thing, or it is not yours to see.",
    "409": "It contradicts what is there.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many attempts that failed; see Retry-After.",
    "503": "The store cannot be used at the moment; see Retry-After.",
}


def document(endpoints: Iterable[AnyEndpoint], base_path: str) -> JsonObject:
    """Paths stand in the order of the table."""
    endpoints = list(endpoints)
    schemas, components = _schemas(endpoints)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        methods = paths.setdefault(PATH + endpoint.path, {})
        assert isinstance(methods, dict)
        methods[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "relayhub admin API", "version": __version__},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "responses": {code: _error(text) for code, text in _ERRORS.items()},
            "securitySchemes": {
                "adminKey": {"type": "http", "scheme": "bearer", "description": "ak_live_…; relay keys are none."},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
            },
        },
    }


def _schemas(endpoints: Iterable[AnyEndpoint]) -> tuple[Schemas, JsonObject]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for endpoint in endpoints:
        wanted += [(endpoint.takes, "validation"), (endpoint.gives, "serialization")]
    found, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    schemas: Schemas = {(model, mode): schema for (model, mode), schema in found.items()}
    return schemas, definitions.get("$defs", {})


def _operation(endpoint: AnyEndpoint, schemas: Schemas) -> JsonObject:
    operation: JsonObject = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.group],
        "parameters": [*_path_parameters(endpoint), *(_query_parameters(endpoint) if endpoint.method == "GET" else ())],
        "security": _security(endpoint),
        "x-roles": [role.value for role in Role if role in endpoint.roles],
        "responses": {
            str(endpoint.status): _answer(schemas[endpoint.gives, "serialization"], csv=endpoint.csv is not None),
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS},
        },
    }
    if endpoint.method != "GET" and endpoint.takes is not Nothing:
        schema = schemas[endpoint.takes, "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _path_parameters(endpoint: AnyEndpoint) -> list[Json]:
    names = _PARAMETER.findall(endpoint.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(endpoint: AnyEndpoint) -> list[Json]:
    schema = endpoint.takes.model_json_schema(ref_template=_REF)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def _security(endpoint: AnyEndpoint) -> list[Json]:
    if not endpoint.roles:
        return []
    session: JsonObject = {"session": []} if endpoint.method == "GET" else {"session": [], "csrf": []}
    return [{"adminKey": []}, session]


def _answer(schema: JsonObject, *, csv: bool) -> JsonObject:
    whole: JsonObject = {
        "type": "object",
        "required": ["success", "data"],
        "properties": {"success": {"const": True}, "data": schema},
    }
    content: JsonObject = {"application/json": {"schema": whole}}
    if csv:
        content["text/csv"] = {"schema": {"type": "string"}}
    return {"description": "Done.", "content": content}


def _error(description: str) -> JsonObject:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
