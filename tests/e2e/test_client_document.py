"""What ``/openapi.json`` says of the hub's own operations for clients: all of them, with all that they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from aiohttp import web

from relayhub.accounts.codes import CodeDesk
from relayhub.web.admin.endpoint import PATH
from relayhub.web.client_api import OPERATIONS
from relayhub.web.ingress import estimate, user, videos
from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
providers:
  demo:
    video_queue_s: 0
    video_run_s: 0.1
    models:
      demo-chat: {price: {call: "0.01"}}
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
      demo-job-failed: {operations: [video], price: {video: {"*": "0.01"}}}
"""


def test_every_path_of_our_own_is_described() -> None:
    app = web.Application()
    user.add_routes(app, "", user.UserHandlers(cast(CodeDesk, None), 1))
    estimate.add_routes(app, "", 1)
    videos.add_routes(app, "")
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    own = {one for one in served if one[1].startswith("/api/") and not one[1].startswith("/api/relay/")}
    assert own | {("GET", "/api/health")} == {(one.method, one.path) for one in OPERATIONS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("clients"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Api:
    program = admin_key(server)
    account = program.post(f"{PATH}/accounts", {"name": "acme"}).data["id"]
    program.post(f"{PATH}/accounts/{account}/grants", {"units": 10**8, "reason": "r"})
    key = program.post(f"{PATH}/keys", {"name": "k", "account_id": account}).data["secret"]
    client = Api(server.url, key)
    chat = {"model": "demo-chat", "user": "u", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", chat).status == 200
    server.last_usage("demo-chat")
    return client


def described(client: Api, name: str) -> Any:
    """The schema of the ``data`` of an operation, references followed."""
    document = client.get("/openapi.json").body
    operation = next(one for one in OPERATIONS if one.name == name)
    found = document["paths"][operation.path][operation.method.lower()]["responses"]["200"]
    whole = found["content"]["application/json"]["schema"]
    return document["components"]["schemas"], whole["properties"]["data"]


def undescribed(schemas: dict[str, Any], schema: dict[str, Any], value: Any, where: str = "data") -> list[str]:
    """Fields of an answer that the document does not know."""
    if "$ref" in schema:
        return undescribed(schemas, schemas[schema["$ref"].rpartition("/")[2]], value, where)
    if isinstance(value, list):
        return [one for item in value for one in undescribed(schemas, schema["items"], item, f"{where}[]")]
    if not isinstance(value, dict):
        return []
    either = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if either[0] is not schema:
        return undescribed(schemas, either[0], value, where)
    if "properties" not in schema:
        return []  # an object of anything
    known = schema["properties"]
    missing = [f"{where}.{name}" for name in value if name not in known]
    return missing + [
        one
        for name, item in value.items()
        if name in known
        for one in undescribed(schemas, known[name], item, f"{where}.{name}")
    ]


def test_no_answer_has_a_field_that_is_not_described(server: Server, client: Api) -> None:
    program = admin_key(server, "operator", "codes")
    code = program.post(f"{PATH}/code-batches", {"name": "b", "units": 5, "codes": 1}).data["secrets"][0]
    chat = {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
    jobs = []
    for model in ("demo-video", "demo-job-failed"):
        submitted = client.post("/api/video/submit", {"prompt": "a cat", "model": model, "seconds": 4})
        jobs.append(submitted.data["jobId"])

    def ended(job: str) -> bool:
        return str(client.get(f"/api/video/status?jobId={job}").data["status"]) in ("succeeded", "failed")

    for job in jobs:
        server.wait_until(lambda job=job: ended(job), within_s=20)  # type: ignore[misc]
    answers = [
        ("quota", client.get("/api/user/quota")),
        ("usage", client.get("/api/user/usage?by=user")),
        ("calls", client.get("/api/user/usage/calls")),
        ("redeem", client.post("/api/user/redemption", {"code": code})),
        ("estimate", client.post("/api/user/estimate", chat)),
        ("submit", submitted),
        *[("status", client.get(f"/api/video/status?jobId={job}")) for job in jobs],
    ]
    assert answers[1][1].data["items"]
    assert answers[2][1].data["items"]
    assert {answer.data["status"] for _, answer in answers[6:]} == {"succeeded", "failed"}
    for name, answer in answers:
        schemas, schema = described(client, name)
        assert undescribed(schemas, schema, answer.data) == [], name
