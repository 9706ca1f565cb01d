"""Every operation that changes something leaves a row in the audit log, with who, from what to what, and no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.routes import ENDPOINTS
from tests.support.admin import Answer, Api, admin_key, setup_token
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
accounts: {registration: open}
media: {private_hosts: [127.0.0.1]}
providers:
  demo:
    video_queue_s: 0.1
    video_run_s: 0.2
    models:
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
  slow:
    type: demo
    video_queue_s: 3600
    models:
      slow-video: {upstream: demo-video, operations: [video], price: {video: {"*": "0.01"}}}
"""
PASSWORD, OTHER = "correct horse battery staple", "an even longer one, with a comma"


class World:
    """Makes whatever an operation needs. ``secrets``: all that must never be written down."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.root = Api(server.url)
        self.program = admin_key(server)
        self.secrets: list[str] = [str(self.program.credential), PASSWORD, OTHER]
        self._made = 0

    def name(self) -> str:
        self._made += 1
        return f"thing-{self._made}"

    def new(self, group: str, **fields: object) -> dict[str, Any]:
        data: dict[str, Any] = self.kept(self.program.post(f"{PATH}/{group}", fields)).data
        return data

    def kept(self, answer: Answer) -> Answer:
        self.secrets += list(secrets_of(answer.body))
        return answer

    def job(self, provider: str, **fields: object) -> str:
        key = self.new("keys", name=self.name())
        body = {"prompt": "a cat", "provider": provider, "seconds": 4, **fields}
        job_id = str(Api(self.server.url, key["secret"]).post("/api/video/submit", body).data["jobId"])
        wanted = "upstream_id" if provider == "slow" else "finished_at"
        self.server.wait_until(lambda: self.program.get(f"{PATH}/jobs/{job_id}").data[wanted] is not None, within_s=20)
        return job_id

    def person(self) -> tuple[str, Api]:
        name = self.name()
        self.new("people", name=name, password=PASSWORD, role="user")
        api = Api(self.server.url)
        self.kept(api.post(f"{PATH}/session", {"name": name, "password": PASSWORD}))
        self.secrets.append(str(api.cookie))
        return name, api


def secrets_of(body: object) -> Iterator[str]:
    if isinstance(body, Mapping):
        for name, value in body.items():
            if name in ("secret", "token", "csrf") and isinstance(value, str):
                yield value
            elif name == "secrets":
                yield from value
            else:
                yield from secrets_of(value)
    elif isinstance(body, list):
        for one in body:
            yield from secrets_of(one)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("audit"), CONFIG) as server:
        yield World(server)


def done(world: World, endpoint: AnyEndpoint) -> Answer:
    """A good request, by whoever can send it."""
    program, path = world.program, endpoint.path
    match f"{endpoint.method} {path}":
        case "POST /setup":
            return world.root.post(
                PATH + path, {"token": setup_token(world.server), "name": "root", "password": PASSWORD}
            )
        case "POST /registration":
            return Api(world.server.url).post(PATH + path, {"name": world.name(), "password": PASSWORD})
        case "POST /session":
            return Api(world.server.url).post(PATH + path, {"name": world.person()[0], "password": PASSWORD})
        case "DELETE /session" | "DELETE /sessions":
            return world.person()[1].delete(PATH + path)
        case "DELETE /sessions/{id}":
            api = world.person()[1]
            return api.delete(f"{PATH}/sessions/{api.get(f'{PATH}/sessions').data['items'][0]['id']}")
        case "POST /password":
            return world.person()[1].post(PATH + path, {"current": PASSWORD, "password": OTHER})
        case "POST /redemptions":
            code = world.new("code-batches", name=world.name(), units=5, codes=1)["secrets"][0]
            return world.person()[1].post(PATH + path, {"code": code})
        case "POST /accounts/{id}/redemptions":
            code = world.new("code-batches", name=world.name(), units=5, codes=1)["secrets"][0]
            return program.post(f"{PATH}/accounts/{made(world, 'accounts')}/redemptions", {"code": code})
        case "DELETE /people/{id}/sessions":
            return program.delete(f"{PATH}/people/{world.person()[1].get(f'{PATH}/session').data['id']}/sessions")
        case "POST /jobs/{id}/notify":
            return program.post(f"{PATH}/jobs/{world.job('demo', callback_url='http://127.0.0.1:9/x')}/notify")
        case "POST /keys/{id}/enable":
            program.post(f"{PATH}/keys/{(key := made(world, 'keys'))}/disable")
            return program.post(f"{PATH}/keys/{key}/enable")
        case _:
            pass
    body = BODIES.get(f"{endpoint.method} {path}", {})
    if "{id}" in path:
        path = path.replace("{id}", made(world, path.split("/")[1]))
    elif "name" in body:
        body = {**body, "name": world.name()}
    return program.call(endpoint.method, PATH + path, body)


BODIES: dict[str, dict[str, object]] = {
    "POST /accounts": {"name": "", "unlimited": True, "discount": "5"},
    "PATCH /accounts/{id}": {"discount": "7.5"},
    "POST /accounts/{id}/grants": {"units": 10, "reason": "r"},
    "POST /accounts/{id}/adjustments": {"units": 10, "reason": "r"},
    "POST /keys": {"name": "", "quota": 5},
    "PATCH /keys/{id}": {"limits": {"requests_per_minute": 5}},
    "POST /code-batches": {"name": "", "units": 5, "codes": 2},
    "POST /people": {"name": "", "password": PASSWORD, "role": "viewer"},
    "PATCH /people/{id}": {"disabled": True},
    "POST /people/{id}/password": {"password": OTHER},
    "POST /admin-keys": {"name": "", "role": "viewer"},
}


def made(world: World, group: str) -> str:
    match group:
        case "jobs":
            return world.job("slow")
        case "people":
            return str(world.new("people", name=world.name(), password=PASSWORD, role="user")["id"])
        case "code-batches":
            return str(world.new("code-batches", name=world.name(), units=5, codes=1)["id"])
        case "admin-keys":
            return str(world.new("admin-keys", name=world.name(), role="viewer")["id"])
        case "invites":
            return str(world.new("invites")["id"])
        case _:
            return str(world.new(group, name=world.name())["id"])


CHANGING = [one for one in ENDPOINTS if one.method != "GET"]


@pytest.mark.parametrize("endpoint", CHANGING, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_each_change_is_written_down(world: World, endpoint: AnyEndpoint) -> None:
    answer = world.kept(done(world, endpoint))
    assert answer.status == endpoint.status, answer.body
    rows = world.server.rows("SELECT * FROM audit WHERE request_id = ?", answer.headers["x-request-id"])
    assert rows, "nothing was written down"
    for row in rows:
        assert row["actor"]
        assert row["client"] == "127.0.0.1"
        assert row["before"] is not None or row["after"] is not None


def test_nothing_secret_was_written_down(world: World) -> None:
    """Runs last."""
    written = json.dumps(world.server.rows("SELECT * FROM audit")) + world.server.log()
    assert [secret for secret in world.secrets if secret in written] == []
    assert world.program.get(f"{PATH}/audit/check").data["whole"]
