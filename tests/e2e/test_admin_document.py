"""``/api/admin/openapi.json`` tells the truth: every answer, to good requests and to junk, is described there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.routes import ENDPOINTS
from tests.config.json_schema_check import accepts
from tests.support.admin import Answer, Api, admin_key, setup_token
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
logging: {level: warning}
server: {base_path: /hub, public_url: "https://hub.example.com/hub"}
accounts: {registration: invite}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}, free-chat: {upstream: demo-chat, free: true}}
  off: {type: demo, enabled: false}
"""
PASSWORD = "correct horse battery staple"


@dataclass
class CheckedApi(Api):
    """Every answer must be one that the document describes."""

    document: dict[str, Any] = field(default_factory=dict)

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        answer = super().call(method, path, body, headers)
        described = self._described(method, path.partition("?")[0], answer.status)
        assert accepts(described, answer.body), (method, path, answer.status, answer.body)
        return answer

    def _described(self, method: str, path: str, status: int) -> dict[str, Any]:
        operation = self._operation(method, path)
        assert str(status) in operation["responses"], (method, path, status)
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        schema = response["content"]["application/json"]["schema"]
        text = json.dumps({**schema, "$defs": self.document["components"]["schemas"]})
        whole: dict[str, Any] = json.loads(text.replace("#/components/schemas/", "#/$defs/"))
        return whole

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        for template, methods in self.document["paths"].items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) and method.lower() in methods:
                operation: dict[str, Any] = methods[method.lower()]
                return operation
        raise AssertionError(f"{method} {path} is not described")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("document"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return Api(server.url).get("/api/admin/openapi.json").body


@pytest.fixture(scope="module")
def program(server: Server, document: dict[str, Any]) -> CheckedApi:
    return CheckedApi(server.url, admin_key(server).credential, document=document)


@pytest.fixture(scope="module")
def person(server: Server, document: dict[str, Any]) -> CheckedApi:
    api = CheckedApi(server.url, document=document)
    assert (
        api.post("/api/admin/setup", {"token": setup_token(server), "name": "root", "password": PASSWORD}).status == 201
    )
    return api


def test_a_cookie_belongs_to_the_path_of_the_hub_and_to_https(person: CheckedApi, server: Server) -> None:
    body = {"name": "root", "password": PASSWORD}
    cookie = Api(server.url).post("/api/admin/session", body).headers["set-cookie"]
    assert {"Path=/hub/api/admin", "Secure"} <= set(cookie.split("; "))


def test_good_requests_are_answered_as_described(program: CheckedApi, person: CheckedApi, server: Server) -> None:
    account = program.post("/api/admin/accounts", {"name": "acme"}).data["id"]
    program.post(f"/api/admin/accounts/{account}/grants", {"units": 100_000, "reason": "r"})
    program.post(f"/api/admin/accounts/{account}/adjustments", {"units": -1, "reason": "r"})
    program.patch(f"/api/admin/accounts/{account}", {"name": "acme 2"})
    key = program.post("/api/admin/keys", {"name": "k", "account_id": account}).data
    chat = {"model": "demo-chat", "user": "u1", "messages": [{"role": "user", "content": "hi"}]}
    assert Api(server.url, key["secret"]).post("/v1/chat/completions", chat).status == 200
    program.patch(f"/api/admin/keys/{key['id']}", {"models": ["demo-*"], "quota": 90_000})
    batch = program.post("/api/admin/code-batches", {"name": "b", "units": 5, "codes": 2}).data["id"]
    invite = program.post("/api/admin/invites", {"role": "user"}).data
    user = CheckedApi(server.url, document=program.document)
    joined = user.post("/api/admin/registration", {"name": "ann", "password": PASSWORD, "invite": invite["token"]})
    assert joined.status == 201
    assert user.delete("/api/admin/session").status == 200
    made = program.post("/api/admin/people", {"name": "ben", "password": PASSWORD, "role": "viewer"}).data["id"]
    program.patch(f"/api/admin/people/{made}", {"role": "operator"})
    program.post(f"/api/admin/people/{made}/password", {"password": PASSWORD + "!"})
    program.delete(f"/api/admin/people/{made}/sessions")
    another = program.post("/api/admin/admin-keys", {"name": "ci", "role": "viewer"}).data["id"]
    for path in ("/status", "/session", "/accounts", "/keys", "/code-batches", "/ledger", "/ledger/check", "/usage"):
        assert program.get(f"/api/admin{path}").status == 200
    for path in ("/usage/totals", "/audit", "/audit/check", "/providers", "/people", "/invites", "/admin-keys"):
        assert program.get(f"/api/admin{path}").status == 200
    for path in (f"/accounts/{account}", f"/keys/{key['id']}", f"/code-batches/{batch}", f"/people/{made}"):
        assert program.get(f"/api/admin{path}").status == 200
    assert [u["user_identifier"] for u in program.get("/api/admin/usage?user=u1").data["items"]] == ["u1"]
    assert program.get("/api/admin/usage/totals?by=user").data["items"][0]["group"] == "u1"
    assert program.get(f"/api/admin/code-batches/{batch}/codes?limit=1").data["next"]
    assert program.get("/api/admin/providers/demo").data["models"][1]["price"] is None
    assert person.get("/api/admin/sessions").data["items"]
    change = {"current": PASSWORD, "password": PASSWORD + "?"}
    assert person.post("/api/admin/password", change).status == 200
    for path in (f"/code-batches/{batch}", f"/keys/{key['id']}", f"/admin-keys/{another}"):
        assert program.delete(f"/api/admin{path}").status == 200
    fresh = program.post("/api/admin/invites", {"ttl_s": 60}).data["id"]
    assert program.delete(f"/api/admin/invites/{fresh}").status == 200


JUNK_IDS = ("x", "%00", "%ED%A0%80", "%FF", "a" * 3000, "..%2F..", "'%3B--", "%F0%9F%92%A3")
JUNK_BODIES: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\x00",
    b"\xff",
    b'{"name": "\\ud800", "password": "\\ud800\\ud800\\ud800", "role": "user", "token": "\\ud800", "code": "\\ud800"}',
    b'{"name": "' + b"n" * 5000 + b'"}',
    b'{"units": 1e400, "codes": -1, "reason": "", "name": {"a": [1]}}',
    b'{"units": 99999999999999999999999999, "reason": "r"}',
    b'{"units": true, "reason": "r"}',
    b'{"__proto__": {}, "id": "x", "hash": "y", "": null}',
    b"[" * 100_000,
)
JUNK_QUERIES = (
    "?x=1",
    "?limit=-1",
    "?limit=9" + "9" * 5000,
    "?after=%00",
    "?after=%ED%A0%80",
    "?since=yesterday",
    "?by=price",
)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_junk_is_refused_as_described(program: CheckedApi, person: CheckedApi, endpoint: AnyEndpoint) -> None:
    """No 5xx but where the document says so, and never a success for what names nothing."""
    paths = (
        [PATH + endpoint.path.replace("{id}", junk) for junk in JUNK_IDS]
        if "{id}" in endpoint.path
        else [PATH + endpoint.path]
    )
    if endpoint.method == "GET":
        requests = [(path + query, None) for path in paths for query in ("", *JUNK_QUERIES)]
    else:
        requests = [(path, body) for path in paths[:3] for body in JUNK_BODIES] + [(path, b"{}") for path in paths]
    for path, body in requests:
        answer = program.call(endpoint.method, path, body)
        assert answer.status < 500, (endpoint.method, path, body)
        assert "Traceback" not in json.dumps(answer.body)
        if "{id}" in endpoint.path:
            assert answer.status in (400, 403, 404, 413), (endpoint.method, path, body, answer.status)


def test_each_operation_has_a_name_of_its_own_and_says_who_may(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == len(ENDPOINTS)
    for operation in operations:
        assert operation["summary"]
        assert bool(operation["security"]) == bool(operation["x-roles"])
