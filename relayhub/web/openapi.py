"""``/openapi.json``: OpenAPI 3.1 of everything that is the hub's own, made of the tables of operations and their models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from relayhub import __version__
from relayhub.types.json import Json, JsonObject
from relayhub.types.role import Role
from relayhub.web.admin.caller import COOKIE, CSRF_HEADER
from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.shapes import Nothing
from relayhub.web.client_api import ClientOperation

Models: TypeAlias = "list[tuple[type[BaseModel], JsonSchemaMode]]"
"""Each with whether it comes in (``validation``) or goes out (``serialization``)."""

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
    "401": "Nobody is signed in, or the key is not valid.",
    "403": "The role, the origin or the CSRF token does not allow it; or the key is blocked or out of quota.",
    "404": "There is no such thing, or it is not yours to see.",
    "408": "The body did not arrive in time.",
    "409": "It contradicts what is there.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key was another request's.",
    "429": "Too many attempts that failed, or a limit of the key; see Retry-After.",
    "503": "The store cannot be used at the moment; see Retry-After.",
}
_SCHEMES: JsonObject = {
    "adminKey": {"type": "http", "scheme": "bearer", "description": "ak_live_…; relay keys are none."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
    "relayKey": {"type": "http", "scheme": "bearer", "description": "sk_live_…; admin keys are none."},
    "relayKeyHeader": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def document(endpoints: Iterable[AnyEndpoint], operations: Iterable[ClientOperation], base_path: str) -> JsonObject:
    """Paths stand in the order of the tables."""
    endpoints, operations = list(endpoints), list(operations)
    schemas = _Schemas([*_admin_models(endpoints), *_client_models(operations)])
    paths: dict[str, dict[str, Json]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _client(operation, schemas)
    for endpoint in endpoints:
        paths.setdefault(PATH + endpoint.path, {})[endpoint.method.lower()] = _admin(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "relayhub", "version": __version__},
        "servers": [{"url": base_path or "/"}],
        "paths": {**paths},
        "components": {
            "schemas": {**schemas.definitions, "Error": _ERROR},
            "responses": {code: _error(text) for code, text in _ERRORS.items()},
            "securitySchemes": _SCHEMES,
        },
    }


class _Schemas:
    """Of all models at once, so that each is described under a name of its own."""

    def __init__(self, models: Models) -> None:
        found, whole = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
        self._of: dict[tuple[object, str], JsonObject] = {
            (model, mode): schema for (model, mode), schema in found.items()
        }
        self.definitions: JsonObject = whole.get("$defs", {})

    def taken(self, model: type[BaseModel]) -> JsonObject:
        return self._of[model, "validation"]

    def given(self, model: type[BaseModel]) -> JsonObject:
        return self._of[model, "serialization"]

    def query(self, model: type[BaseModel]) -> list[Json]:
        """As parameters. There is no ``null`` in a query: what is not meant is left out."""
        ref = self.taken(model).get("$ref")
        schema = self.definitions[str(ref).rpartition("/")[2]] if ref is not None else self.taken(model)
        assert isinstance(schema, dict)
        fields, required = schema.get("properties", {}), schema.get("required", [])
        assert isinstance(fields, dict)
        assert isinstance(required, list)
        return [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
            for name, field in fields.items()
        ]


def _without_null(field: Json) -> Json:
    if not isinstance(field, dict):
        return field
    kept = {name: value for name, value in field.items() if (name, value) != ("default", None)}
    either = kept.pop("anyOf", None)
    if not isinstance(either, list):
        return kept
    said = [one for one in either if one != {"type": "null"}]
    only = said[0] if len(said) == 1 else {"anyOf": said}
    return {**only, **kept} if isinstance(only, dict) else kept


def _admin_models(endpoints: Sequence[AnyEndpoint]) -> Models:
    models: Models = []
    for endpoint in endpoints:
        models += [(endpoint.takes, "validation"), (endpoint.gives, "serialization")]
    return models


def _client_models(operations: Sequence[ClientOperation]) -> Models:
    models: Models = []
    for operation in operations:
        models.append((operation.gives, "serialization"))
        models += [(taken, "validation") for taken in (operation.query, operation.takes) if taken is not None]
    return models


def _admin(endpoint: AnyEndpoint, schemas: _Schemas) -> JsonObject:
    reads = endpoint.method == "GET"
    content = _content(_wrapped(schemas.given(endpoint.gives)), csv=endpoint.csv is not None)
    operation: JsonObject = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.group],
        "parameters": [*_in_path(endpoint.path), *(schemas.query(endpoint.takes) if reads else ())],
        "security": _security(endpoint),
        "x-roles": [role.value for role in Role if role in endpoint.roles],
        "x-cli": None if endpoint.twin is None else f"relayhub {endpoint.twin}",
        "responses": {str(endpoint.status): {"description": "Done.", "content": content}, **_failures(endpoint.fails)},
    }
    if not reads and endpoint.takes is not Nothing:
        operation["requestBody"] = _json_body(schemas.taken(endpoint.takes))
    return operation


def _client(asked: ClientOperation, schemas: _Schemas) -> JsonObject:
    given = schemas.given(asked.gives)
    content = _content(_wrapped(given) if asked.wrapped else given, csv=asked.csv)
    if asked.events:
        content = {"text/event-stream": {"schema": {"type": "string"}}}
    responses: JsonObject = {"200": {"description": "Done.", "content": content}, **_failures(asked.fails)}
    if asked.events:
        responses["204"] = {"description": "There is nothing more to come."}
    if not asked.wrapped:
        responses = {code: {"description": "Done.", "content": content} for code in ("200", "503")}
    operation: JsonObject = {
        "operationId": f"client_{asked.name}",
        "summary": asked.summary,
        "tags": ["clients"],
        "parameters": [] if asked.query is None else schemas.query(asked.query),
        "security": [] if asked.free else [{"relayKey": []}, {"relayKeyHeader": []}],
        "responses": responses,
    }
    if asked.takes is not None:
        operation["requestBody"] = _json_body(schemas.taken(asked.takes))
    return operation


def _in_path(path: str) -> list[Json]:
    names = _PARAMETER.findall(path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _security(endpoint: AnyEndpoint) -> list[Json]:
    if not endpoint.roles:
        return []
    session: JsonObject = {"session": []} if endpoint.method == "GET" else {"session": [], "csrf": []}
    return [{"adminKey": []}, session]


def _json_body(schema: JsonObject) -> JsonObject:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _wrapped(schema: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "required": ["success", "data"],
        "properties": {"success": {"const": True}, "data": schema},
    }


def _content(schema: JsonObject, *, csv: bool) -> JsonObject:
    content: JsonObject = {"application/json": {"schema": schema}}
    return {**content, "text/csv": {"schema": {"type": "string"}}} if csv else content


def _failures(more: Mapping[str, str]) -> JsonObject:
    common: JsonObject = {code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS}
    return {**common, **{code: _error(text) for code, text in more.items()}}


def _error(description: str) -> JsonObject:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
