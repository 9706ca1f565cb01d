"""Keys by the management side: every limit set, changed one by one and lifted; secrets rotated; and what it does to calls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from relayhub.types.key_limits import COUNTS
from relayhub.web.admin.endpoint import PATH
from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
providers:
  demo:
    models:
      demo-chat: {price: {call: "0.01"}}
"""
KEYS = f"{PATH}/keys"
CHAT = {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
FULL: dict[str, Any] = {
    "providers": ["demo"],
    "networks": ["127.0.0.0/8", "::1"],
    "requests_per_minute": 60,
    "tokens_per_minute": 10_000,
    "concurrent_calls": 3,
    "jobs_in_flight": 2,
    "video_seconds_per_day": 600,
    "spend_per_day": 5_000,
    "spend_per_month": 90_000,
    "on_disconnect": "drain",
}
NONE = dict.fromkeys(FULL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("keys"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def program(server: Server) -> Api:
    return admin_key(server, "operator")


def new_key(program: Api, name: str, **fields: object) -> dict[str, Any]:
    made: dict[str, Any] = program.post(KEYS, {"name": name, **fields}).data
    return made


def call(server: Server, secret: str) -> tuple[int, str]:
    answer = Api(server.url, secret).post("/v1/chat/completions", CHAT)
    return answer.status, str(answer.body.get("error", {}).get("code"))


def test_every_limit_that_a_key_can_have_is_here() -> None:
    assert {name.removesuffix("_nano") for name in COUNTS} | {"providers", "networks", "on_disconnect"} == set(FULL)


def test_limits_are_set_with_the_key_and_shown_alike_by_the_command(server: Server, program: Api) -> None:
    made = new_key(program, "full", limits=FULL, tags=["team-b", "team-a"])
    assert made["limits"] == FULL
    assert made["tags"] == ["team-a", "team-b"]
    shown = server.cli_json("keys", "show", "full")
    assert isinstance(shown, dict)
    assert shown["limits"] == FULL
    assert shown["tags"] == ["team-a", "team-b"]


@pytest.mark.parametrize("name", sorted(FULL))
def test_a_limit_is_lifted_by_null_and_the_others_stay(program: Api, name: str) -> None:
    path = f"{KEYS}/{new_key(program, f'lift {name}', limits=FULL)['id']}"
    assert program.patch(path, {"limits": {name: None}}).data["limits"] == {**FULL, name: None}
    assert program.patch(path, {"limits": {name: FULL[name]}}).data["limits"] == FULL
    assert program.patch(path, {"limits": {}}).data["limits"] == FULL
    assert program.patch(path, {"name": f"lifted {name}"}).data["limits"] == FULL


def test_changes_of_different_limits_at_the_same_time_are_all_kept(program: Api) -> None:
    counts = {name: value for name, value in FULL.items() if isinstance(value, int)}
    for turn in range(3):
        path = f"{KEYS}/{new_key(program, f'crowd {turn}')['id']}"
        with ThreadPoolExecutor(len(counts)) as pool:
            sent = [pool.submit(program.patch, path, {"limits": {name: value}}) for name, value in counts.items()]
        assert {one.result().status for one in sent} == {200}
        assert program.get(path).data["limits"] == {**NONE, **counts}


def test_all_limits_are_lifted_at_once_and_tags_are_replaced(program: Api) -> None:
    path = f"{KEYS}/{new_key(program, 'lifted', limits=FULL, tags=['a'])['id']}"
    changed = program.patch(path, {"limits": None, "tags": ["b", "c"]}).data
    assert (changed["limits"], changed["tags"]) == (NONE, ["b", "c"])
    assert program.patch(path, {"tags": None}).data["tags"] == []


@pytest.mark.parametrize(
    ("limits", "param"),
    [
        ({"requests_per_minute": 0}, "limits.requests_per_minute"),
        ({"concurrent_calls": 2**53 + 1}, "limits.concurrent_calls"),
        ({"spend_per_day": -5}, "limits.spend_per_day"),
        ({"spend_per_month": 10**15}, "limits.spend_per_month"),
        ({"providers": []}, "limits.providers"),
        ({"networks": ["10.0.0.0/99"]}, "limits"),
        ({"networks": ["example.com"]}, "limits"),
        ({"tokens_per_minute": True}, "limits.tokens_per_minute"),
        ({"tokens_per_minute": "5"}, "limits.tokens_per_minute"),
        ({"tokens_per_minute": 1.5}, "limits.tokens_per_minute"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(program: Api, limits: dict[str, object], param: str) -> None:
    answer = program.post(KEYS, {"name": "senseless", "limits": limits})
    assert (answer.status, answer.body["param"]) == (400, param)


def test_a_whole_number_may_be_written_as_json_may_write_it(program: Api) -> None:
    answer = program.call("POST", KEYS, b'{"name": "float", "quota": 5.0, "limits": {"requests_per_minute": 6e1}}')
    assert (answer.data["quota"], answer.data["limits"]["requests_per_minute"]) == (5, 60)


def test_the_quota_is_inherited_its_own_or_without_limit(program: Api) -> None:
    made = new_key(program, "quota")
    assert (made["quota"], made["unlimited"]) == (None, False)
    path = f"{KEYS}/{made['id']}"
    assert program.patch(path, {"quota": 500}).data["quota"] == 500
    free = program.patch(path, {"unlimited": True}).data
    assert (free["quota"], free["unlimited"]) == (None, True)
    own = program.patch(path, {"quota": 700}).data
    assert (own["quota"], own["unlimited"]) == (700, False)
    inherits = program.patch(path, {"quota": None}).data
    assert (inherits["quota"], inherits["unlimited"]) == (None, False)
    assert program.patch(path, {"quota": 5, "unlimited": True}).refused == (400, "invalid_quota")


def test_a_limit_that_is_changed_acts_at_once_on_this_server(server: Server, program: Api) -> None:
    made = new_key(program, "acts", limits={"requests_per_minute": 1})
    path, secret = f"{KEYS}/{made['id']}", made["secret"]
    statuses = [call(server, secret)[0] for _ in range(3)]  # a minute may end in between, once
    assert statuses.count(429) >= 1
    assert program.patch(path, {"limits": {"requests_per_minute": None}}).status == 200
    assert call(server, secret)[0] == 200
    program.patch(path, {"limits": {"networks": ["192.0.2.0/24"]}})
    assert call(server, secret) == (401, "address_not_allowed")
    program.patch(path, {"limits": {"networks": None, "providers": ["elsewhere"]}})
    assert call(server, secret)[0] == 404


def test_what_was_used_of_the_limits_is_shown(server: Server, program: Api) -> None:
    made = new_key(program, "used", limits={"spend_per_month": 10**6, "tokens_per_minute": 10**6})
    assert program.get(f"{KEYS}/{made['id']}").data["use"]["spend_per_month"] is None
    assert call(server, made["secret"])[0] == 200
    use = program.get(f"{KEYS}/{made['id']}").data["use"]
    assert use["spend_per_month"] == 5000
    shown = server.cli_json("keys", "show", "used")
    assert isinstance(shown, dict)
    assert shown["use"]["spend_per_month"] == 5000


def test_a_rotated_key_has_two_secrets_for_a_while_and_then_one(server: Server, program: Api) -> None:
    made = new_key(program, "rotates")
    path = f"{KEYS}/{made['id']}/rotation"
    fresh = program.post(path, {"overlap_s": 3600}).data
    assert fresh["id"] == made["id"]
    assert fresh["previous_secret_until"] is not None
    assert [call(server, one["secret"])[0] for one in (made, fresh)] == [200, 200]
    last = program.post(path, {"overlap_s": 0}).data
    assert [call(server, one["secret"])[1] for one in (made, fresh)] == ["invalid_api_key", "key_rotated"]
    assert call(server, last["secret"])[0] == 200
    rows = server.rows("SELECT before, after FROM audit WHERE action = 'key.rotate' AND subject = ?", made["id"])
    assert len(rows) == 2
    for secret in (made["secret"], fresh["secret"], last["secret"]):
        assert secret not in str(rows)


def test_a_key_is_disabled_enabled_and_revoked(server: Server, program: Api) -> None:
    made = new_key(program, "switched")
    path = f"{KEYS}/{made['id']}"
    disabled = program.post(f"{path}/disable").data
    assert disabled["state"] == "disabled"
    assert disabled["disabled_at"]
    assert call(server, made["secret"])[0] == 401
    assert program.post(f"{path}/enable").data["state"] == "active"
    assert call(server, made["secret"])[0] == 200
    assert program.delete(path).data["state"] == "revoked"
    for action in ("disable", "enable", "rotation"):
        assert program.post(f"{path}/{action}").refused == (409, "key_revoked")
    assert call(server, made["secret"])[0] == 401


def test_keys_are_listed_by_account(program: Api) -> None:
    account = program.post(f"{PATH}/accounts", {"name": "listed"}).data["id"]
    made = new_key(program, "of-listed", account_id=account)
    assert [one["id"] for one in program.get(f"{KEYS}?account_id={account}").data["items"]] == [made["id"]]
    assert program.get(f"{KEYS}?account_id=acct_none").data["items"] == []


def test_whoever_may_change_a_key_can_read_what_its_messages_are_signed_with(server: Server, program: Api) -> None:
    made = new_key(program, "hooked")
    told = program.get(f"{KEYS}/{made['id']}/webhook-secret").data["secret"]
    assert told == server.cli("jobs", "webhook-secret", "hooked").strip()
    viewer = admin_key(server, "viewer")
    assert viewer.get(f"{KEYS}/{made['id']}/webhook-secret").refused == (403, "role_not_sufficient")
