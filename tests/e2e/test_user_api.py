"""``/api/user`` as its first clients use it, and codes under fire."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.admin import Api, admin_key
from tests.support.server import KEY_ACTS_S, PATIENCE_S, Server, running

CONFIG = """
store: {path: hub.db}
logging: {level: info, format: json}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""
CALL_UNITS = 5000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("user"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Api:
    return admin_key(server)


def account(admin: Api, name: str, units: int = 0) -> str:
    made = admin.post("/api/admin/accounts", {"name": name}).data
    if units:
        admin.post(f"/api/admin/accounts/{made['id']}/grants", {"units": units, "reason": "to begin with"})
    return str(made["id"])


def key(server: Server, admin: Api, name: str, account_id: str, **terms: object) -> Api:
    made = admin.post("/api/admin/keys", {"name": name, "account_id": account_id, **terms})
    user = Api(server.url, made.data["secret"])
    server.wait_until(lambda: user.get("/api/user/quota").status == 200, within_s=PATIENCE_S)
    return user


def codes(admin: Api, name: str, count: int = 1, units: int = 5000, **terms: object) -> list[str]:
    made = admin.post("/api/admin/code-batches", {"name": name, "units": units, "codes": count, **terms})
    assert made.status == 201
    return list(made.data["secrets"])


def call_model(user: Api) -> int:
    return user.post(
        "/v1/chat/completions", {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
    ).status


def test_quota_and_redemption_have_the_documented_bodies(server: Server, admin: Api) -> None:
    user = key(server, admin, "seed", account(admin, "seed", 10_000))
    assert user.get("/api/user/quota").body == {
        "success": True,
        "data": {"totalQuota": 10000, "usedQuota": 0, "remainingQuota": 10000},
    }
    assert call_model(user) == 200
    redeemed = user.post("/api/user/redemption", {"code": codes(admin, "seed")[0]})
    assert (redeemed.status, redeemed.body) == (
        200,
        {"success": True, "data": {"addedQuota": 5000, "totalQuota": 15000}},
    )
    assert user.get("/api/user/quota").data == {
        "totalQuota": 15000,
        "usedQuota": CALL_UNITS,
        "remainingQuota": 15000 - CALL_UNITS,
    }


def test_a_key_with_its_own_limit_shows_that_limit(server: Server, admin: Api) -> None:
    user = key(server, admin, "limited", account(admin, "limited", 100_000), quota=7000)
    assert call_model(user) == 200
    assert user.get("/api/user/quota").data == {"totalQuota": 7000, "usedQuota": 5000, "remainingQuota": 2000}


def test_without_a_valid_key_there_is_nothing_to_see(server: Server, admin: Api) -> None:
    assert Api(server.url).get("/api/user/quota").refused == (401, "missing_api_key")
    assert Api(server.url, admin.credential).get("/api/user/quota").refused == (401, "invalid_api_key")
    user = key(server, admin, "gone", account(admin, "gone"))
    listed = admin.get("/api/admin/keys").data["items"]
    admin.delete(f"/api/admin/keys/{next(k['id'] for k in listed if k['name'] == 'gone')}")
    server.wait_until(lambda: user.get("/api/user/quota").refused == (403, "key_revoked"), within_s=KEY_ACTS_S)


def test_used_expired_void_and_unknown_codes_are_told_the_same(server: Server, admin: Api) -> None:
    user = key(server, admin, "guesser", account(admin, "guesser"))
    used, late, void = (
        codes(admin, "used")[0],
        codes(admin, "late", expires_at="2020-01-01T00:00:00Z")[0],
        codes(admin, "v")[0],
    )
    assert user.post("/api/user/redemption", {"code": used}).status == 200
    batch = next(b["id"] for b in admin.get("/api/admin/code-batches").data["items"] if b["name"] == "v")
    assert admin.delete(f"/api/admin/code-batches/{batch}").data["voided_at"]
    answers = [user.post("/api/user/redemption", {"code": code}) for code in (used, late, void, "REDEEM-XXXX-XXXX")]
    assert {answer.refused for answer in answers} == {(400, "invalid_code")}
    assert len({answer.body["message"] for answer in answers}) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'{"code": 7}', b'{"code": "x", "amount": 99}', b'{"code": ""}', b"\xff"])
def test_a_malformed_redemption_is_refused(server: Server, admin: Api, body: bytes) -> None:
    user = key(server, admin, f"malformed-{body!r}", account(admin, f"malformed-{body!r}"))
    assert user.call("POST", "/api/user/redemption", body).refused == (400, "invalid_request")


async def test_a_code_redeemed_a_hundred_times_at_once_pays_once(server: Server, admin: Api) -> None:
    ids = [account(admin, f"race-{n}") for n in range(10)]
    users = [key(server, admin, f"race-{n}", account_id) for n, account_id in enumerate(ids)]
    code = codes(admin, "race", units=777)[0]
    answers = await asyncio.gather(
        *(asyncio.to_thread(users[n % 10].post, "/api/user/redemption", {"code": code}) for n in range(100))
    )
    outcomes = Counter(answer.status for answer in answers)
    assert outcomes == {200: 1, 400: 99}
    totals = [admin.get(f"/api/admin/accounts/{account_id}").data["total"] for account_id in ids]
    assert sum(totals) == 777
    assert admin.get("/api/admin/ledger/check").data == {"exact": True, "violations": []}
    rows = admin.get("/api/admin/ledger?kind=redemption&limit=1000").data["items"]
    assert sum(row["amount_nano"] == 777 * 2000 for row in rows) == 1


def test_guessing_codes_is_slowed_down(server: Server, admin: Api) -> None:
    user = key(server, admin, "fast", account(admin, "fast"))
    answers = [user.post("/api/user/redemption", {"code": f"guess {n}"}) for n in range(31)]
    statuses = [answer.status for answer in answers]
    assert statuses == sorted(statuses)
    assert (statuses[0], statuses[-1]) == (400, 429)
    assert int(answers[-1].headers["retry-after"]) > 0
