"""Who may do what on the management side, walked over every operation that there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from relayhub.accounts.secret import ADMIN_PREFIX, new_secret
from relayhub.types.role import Role
from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.routes import ENDPOINTS
from relayhub.web.client_api import OPERATIONS
from tests.support.admin import Answer, Api, admin_key, setup_token
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
logging: {format: json}
providers:
  demo:
    models:
      demo-chat: {price: {call: "0.01"}}
  slow:
    type: demo
    video_run_s: 3600
    models:
      slow-video: {upstream: demo-video, operations: [video], price: {video: {"*": "0.01"}}}
"""
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Member:
    """A user with something of each kind. ``objects``: by the first word of a path."""

    api: Api
    name: str
    relay_key: str
    objects: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("access"), CONFIG) as server:
        api = Api(server.url)
        api.post(f"{PATH}/setup", {"token": setup_token(server), "name": "root", "password": PASSWORD})
        yield server


@pytest.fixture(scope="module")
def program(server: Server) -> Api:
    return admin_key(server)


def member(server: Server, program: Api, name: str) -> Member:
    program.post(f"{PATH}/people", {"name": name, "password": PASSWORD, "role": "user"})
    api = Api(server.url)
    api.post(f"{PATH}/session", {"name": name, "password": PASSWORD})
    account = api.get(f"{PATH}/session").data["account_id"]
    program.post(f"{PATH}/accounts/{account}/grants", {"units": 10**9, "reason": "r"})
    key = api.post(f"{PATH}/keys", {"name": f"{name}s"}).data
    client = Api(server.url, key["secret"])
    chat = {"model": "demo-chat", "user": f"{name}s user", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", chat).status == 200
    job = client.post("/api/video/submit", {"prompt": "a cat", "provider": "slow", "seconds": 4}).data["jobId"]
    session = api.get(f"{PATH}/sessions").data["items"][0]["id"]
    objects = {"accounts": account, "keys": key["id"], "jobs": job, "sessions": session}
    return Member(api, name, key["secret"], objects)


@pytest.fixture(scope="module")
def alice(server: Server, program: Api) -> Member:
    return member(server, program, "alice")


@pytest.fixture(scope="module")
def bob(server: Server, program: Api) -> Member:
    return member(server, program, "bob")


def group(endpoint: AnyEndpoint) -> str:
    return endpoint.path.split("/")[1]


def named(endpoint: Any) -> str:
    return f"{endpoint.method} {endpoint.path}"


# --- credentials --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strangers(server: Server, program: Api, alice: Member) -> dict[str, dict[str, str]]:
    """Headers that open nothing on the management side."""
    revoked = admin_key(server, "admin", "revoked")
    server.cli("admin-keys", "revoke", "revoked")
    return {
        "nothing": {},
        "an empty one": {"authorization": "Bearer "},
        "another scheme": {"authorization": f"Basic {program.credential}"},
        "a relay key": {"authorization": f"Bearer {alice.relay_key}"},
        "a relay key elsewhere": {"x-api-key": alice.relay_key},
        "an admin key elsewhere": {"x-api-key": str(program.credential)},
        "an unknown admin key": {"authorization": f"Bearer {new_secret(ADMIN_PREFIX)}"},
        "a revoked admin key": {"authorization": f"Bearer {revoked.credential}"},
        "a session that is none": {"cookie": "relayhub_session=ss_nonsense"},
    }


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.roles], ids=named)
def test_no_operation_opens_without_the_credential_that_it_is_for(
    server: Server, strangers: dict[str, dict[str, str]], endpoint: AnyEndpoint
) -> None:
    path = PATH + endpoint.path.replace("{id}", "x")
    for what, headers in strangers.items():
        answer = Api(server.url).call(endpoint.method, path, None, headers)
        assert answer.status == 401, (what, answer.body)


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if not one.free], ids=named)
def test_no_operation_for_clients_opens_without_a_relay_key(server: Server, program: Api, operation: Any) -> None:
    for credential in (None, "nonsense", new_secret(), str(program.credential)):
        answer = Api(server.url, credential).call(operation.method, operation.path)
        assert answer.status == 401, (credential, answer.body)


# --- what belongs to others ---------------------------------------------------------------------------------------------

OF_USERS = [one for one in ENDPOINTS if Role.USER in one.roles]


@pytest.mark.parametrize("endpoint", [one for one in OF_USERS if "{id}" in one.path], ids=named)
def test_what_is_another_users_is_the_same_404_as_what_is_not_there(
    alice: Member, bob: Member, endpoint: AnyEndpoint
) -> None:
    theirs = bob.objects[group(endpoint)]
    nowhere = theirs[:-4] + "zzzz"
    body = None if endpoint.method == "GET" else {}
    told = []
    for one in (theirs, nowhere):
        answer = alice.api.call(endpoint.method, PATH + endpoint.path.replace("{id}", one), body)
        told.append((answer.status, answer.body["code"], answer.body["message"].replace(one, "…")))
    assert told[0] == told[1]
    assert told[0][0] == 404


def test_nothing_of_the_other_user_was_touched(bob: Member) -> None:
    """Runs after the walk above."""
    key = bob.api.get(f"{PATH}/keys/{bob.objects['keys']}").data
    assert (key["state"], key["previous_secret_until"]) == ("active", None)
    assert bob.api.get(f"{PATH}/jobs/{bob.objects['jobs']}").data["state"] in ("queued", "in_progress")
    assert bob.api.get(f"{PATH}/session").status == 200


@pytest.mark.parametrize("endpoint", [one for one in OF_USERS if one.method == "GET"], ids=named)
def test_no_list_shows_what_is_another_users_however_it_is_filtered(
    alice: Member, bob: Member, endpoint: AnyEndpoint
) -> None:
    if "{id}" in endpoint.path:
        return
    job = bob.objects["jobs"]
    wanted = {
        "account_id": bob.objects["accounts"],
        "key_id": bob.objects["keys"],
        "account": "bob",
        "key": "bobs",
        "user": "bobs%20user",
        "actor": "person:bob",
        "after": job,
        "by": "account",
    }
    fields = endpoint.takes.model_fields
    queries = ["", *(f"?{name}={value}" for name, value in wanted.items() if name in fields)]
    for query in queries:
        text = json.dumps(alice.api.get(PATH + endpoint.path + query).body).lower()
        foreign = [one for one in (*bob.objects.values(), "bobs user") if one.lower() in text and one != job]
        assert not foreign, (query, text)


def test_a_user_sees_their_own(alice: Member) -> None:
    """Or the walks above would prove nothing."""
    assert [one["id"] for one in alice.api.get(f"{PATH}/accounts").data["items"]] == [alice.objects["accounts"]]
    assert [one["id"] for one in alice.api.get(f"{PATH}/keys").data["items"]] == [alice.objects["keys"]]
    jobs = alice.api.get(f"{PATH}/jobs").data["items"]
    assert [one["key_id"] for one in jobs] == [alice.objects["keys"]]
    assert jobs[0]["upstream_id"] is None
    assert alice.api.get(f"{PATH}/jobs/{alice.objects['jobs']}").data["ledger"][0]["kind"] == "hold"
    assert alice.api.get(f"{PATH}/usage").data["items"][0]["user_identifier"] == "alices user"
    assert {one["account_id"] for one in alice.api.get(f"{PATH}/ledger").data["items"]} == {alice.objects["accounts"]}


def test_a_user_cannot_give_their_account_what_it_lacks(alice: Member) -> None:
    path = f"{PATH}/keys/{alice.objects['keys']}"
    for answer in (
        alice.api.post(f"{PATH}/keys", {"name": "free-for-all", "unlimited": True}),
        alice.api.patch(path, {"unlimited": True}),
    ):
        assert answer.refused == (403, "role_not_sufficient")
    assert alice.api.patch(path, {"unlimited": False}).data["unlimited"] is False


def test_a_user_cannot_have_calls_forgiven(alice: Member, program: Api) -> None:
    made = alice.api.post(f"{PATH}/keys", {"name": "forgiving"}).data
    path = f"{PATH}/keys/{made['id']}"
    for value in ("void", None):
        said = {"limits": {"on_disconnect": value}}
        assert alice.api.post(f"{PATH}/keys", {"name": "void", **said}).refused == (403, "role_not_sufficient")
        assert alice.api.patch(path, said).refused == (403, "role_not_sufficient")
    assert program.patch(path, {"limits": {"on_disconnect": "drain"}}).data["limits"]["on_disconnect"] == "drain"
    assert alice.api.patch(path, {"limits": None}).data["limits"]["on_disconnect"] == "drain"
    assert program.patch(path, {"limits": None}).data["limits"]["on_disconnect"] is None


# --- fields that nobody asked for ---------------------------------------------------------------------------------------


def refused_for(answer: Answer, field: str) -> bool:
    return answer.status == 400 and field in answer.body["message"]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_a_field_that_there_is_not_is_refused_by_name(server: Server, program: Api, endpoint: AnyEndpoint) -> None:
    path = PATH + endpoint.path.replace("{id}", "x")
    if endpoint.method == "GET":
        answer = program.get(f"{path}?is_admin=true")
    else:
        answer = program.call(endpoint.method, path, {"is_admin": True})
    assert refused_for(answer, "is_admin"), answer.body


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.method in ("POST", "PATCH", "PUT")], ids=named)
def test_what_is_only_shown_cannot_be_set(program: Api, endpoint: AnyEndpoint) -> None:
    """One at a time, since only the first few problems are told."""
    path = PATH + endpoint.path.replace("{id}", "x")
    for field in fields_of(endpoint.gives) - set(endpoint.takes.model_fields):
        assert refused_for(program.call(endpoint.method, path, {field: None}), field), field


def fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_a_field_that_there_is_not_is_refused_inside_of_others_too(program: Api) -> None:
    answer = program.post(f"{PATH}/keys", {"name": "k", "limits": {"requests_per_hour": 5}})
    assert refused_for(answer, "limits.requests_per_hour")
