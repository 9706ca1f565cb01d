"""Usage through the real server: by relay key, in the admin API and on the command line."""

from __future__ import annotations

import csv
import io
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
logging: {level: warning}
usage: {keep_raw: 30d}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}, other: {upstream: demo-chat, price: {call: "0.02"}}}
"""
CALL_UNITS = 5000
FORMULA = '=HYPERLINK("http://evil.example")'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("usage"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Api:
    return admin_key(server)


@pytest.fixture(scope="module")
def acme(server: Server, admin: Api) -> dict[str, Api]:
    """An account with two keys, one of them with a limit of its own, and three calls; another account with one call."""
    made: dict[str, Api] = {}
    for account, names in {"acme": ("plain", "limited"), "others": ("foreign",)}.items():
        account_id = admin.post("/api/admin/accounts", {"name": account}).data["id"]
        admin.post(f"/api/admin/accounts/{account_id}/grants", {"units": 100_000, "reason": "to begin with"})
        for name in names:
            limit = ("--quota", "50000") if name == "limited" else ()
            made[name] = Api(server.url, server.new_key(name, "--account", account, "--tag", f"tag-{name}", *limit))
    for key, model, user in (
        ("plain", "demo-chat", "u1"),
        ("plain", "other", FORMULA),
        ("limited", "demo-chat", "u2"),
        ("foreign", "demo-chat", "u1"),
    ):
        body = {"model": model, "user": user, "messages": [{"role": "user", "content": "hi"}]}
        assert made[key].post("/v1/chat/completions", body).status == 200
    return made


def groups(api: Api, query: str) -> dict[str, int]:
    data = api.get(f"/api/user/usage?{query}").data
    return {item["group"]: item["calls"] for item in data["items"]}


def test_a_key_sees_what_its_account_has_used(acme: dict[str, Api]) -> None:
    data = acme["plain"].get("/api/user/usage").data
    assert data["scope"] == "account"
    assert data["total"]["calls"] == 3
    assert data["total"]["usedQuota"] == 4 * CALL_UNITS
    assert data["total"]["latencyP95Ms"] > 0
    assert {item["group"]: item["usedQuota"] for item in data["items"]} == {"other": 10_000, "demo-chat": 10_000}
    assert "upstreamCostNano" not in data["total"]


def test_a_key_with_a_limit_of_its_own_sees_its_own_calls(acme: dict[str, Api]) -> None:
    data = acme["limited"].get("/api/user/usage?by=user").data
    assert data["scope"] == "key"
    assert [item["group"] for item in data["items"]] == ["u2"]
    assert acme["limited"].get("/api/user/usage?key_name=plain").data["total"]["calls"] == 0


def test_what_is_asked_for_is_what_is_counted(acme: dict[str, Api]) -> None:
    plain = acme["plain"]
    assert groups(plain, "by=key") == {"plain": 2, "limited": 1}
    assert groups(plain, "by=tag&model=demo-chat") == {"tag-plain": 1, "tag-limited": 1}
    assert groups(plain, "by=user&user_identifier=u1") == {"u1": 1}
    assert groups(plain, "until=2020-01-01T00:00:00Z") == {}
    assert list(groups(plain, "since=2020-01-01T00:00:00Z&by=day").values()) == [3]
    assert acme["foreign"].get("/api/user/usage?key_name=plain").data["total"]["calls"] == 0


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=price", "by"),
        ("by=account", "by"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("account=others", "account"),
        ("model=a&model=b", "model"),
    ],
)
def test_what_is_not_meant_is_refused(acme: dict[str, Api], query: str, param: str) -> None:
    answer = acme["plain"].get(f"/api/user/usage?{query}")
    assert (answer.status, answer.body["param"]) == (400, param)


def test_without_a_key_there_is_nothing(server: Server) -> None:
    for path in ("/api/user/usage", "/api/user/usage/calls"):
        assert Api(server.url).get(path).status == 401


def test_calls_come_in_pages(acme: dict[str, Api]) -> None:
    seen: list[str] = []
    after = ""
    while True:
        data = acme["plain"].get(f"/api/user/usage/calls?limit=2{after}").data
        seen += [item["callId"] for item in data["items"]]
        if data["next"] is None:
            break
        after = f"&after={data['next']}"
    assert len(seen) == len(set(seen)) == 3
    assert acme["plain"].get("/api/user/usage/calls?after=junk").status == 400


def fetched(api: Api, path: str) -> tuple[str, list[list[str]], str | None]:
    request = urllib.request.Request(f"{api.url}{path}", headers={"authorization": f"Bearer {api.credential}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        text = response.read().decode()
        return response.headers["content-type"], list(csv.reader(io.StringIO(text))), response.headers["x-next"]


def test_csv_has_no_formulas_and_says_where_the_next_page_begins(acme: dict[str, Api], admin: Api) -> None:
    for api, path in (
        (acme["plain"], "/api/user/usage?by=user&format=csv"),
        (admin, "/api/admin/usage/totals?by=user&format=csv"),
    ):
        kind, rows, _ = fetched(api, path)
        assert kind.startswith("text/csv")
        names = [row[rows[0].index("group")] for row in rows[1:]]
        assert f"'{FORMULA}" in names
        assert FORMULA not in names
    for api, path in ((acme["plain"], "/api/user/usage/calls"), (admin, "/api/admin/usage")):
        _, first, following = fetched(api, f"{path}?format=csv&limit=1")
        assert following is not None
        _, second, _ = fetched(api, f"{path}?format=csv&limit=1&after={following}")
        assert len(first) == len(second) == 2
        assert first[0] == second[0]
        assert first[1] != second[1]


def test_staff_see_all_of_it(acme: dict[str, Api], admin: Api) -> None:
    data = admin.get("/api/admin/usage/totals?by=account").data
    assert {item["group"]: item["calls"] for item in data["items"]} == {"acme": 3, "others": 1}
    assert data["total"]["cost"] == 5 * CALL_UNITS
    tagged = admin.get("/api/admin/usage?tag=tag-foreign").data["items"]
    assert [row["key"] for row in tagged] == ["foreign"]


def test_the_command_line_says_the_same(acme: dict[str, Api], server: Server) -> None:
    totals = server.cli_json("usage", "--by", "tag", "--account", "acme")
    assert isinstance(totals, list)
    assert {row["group"]: row["units"] for row in totals} == {"tag-plain": 15_000, "tag-limited": 5000}
    rows = list(csv.reader(io.StringIO(server.cli("usage", "--by", "user", "--csv"))))
    assert f"'{FORMULA}" in {row[0] for row in rows}
    assert len(list(csv.reader(io.StringIO(server.cli("usage", "--rows", "--limit", "2", "--csv"))))) == 3
    assert "Error" in server.cli("usage", "--rows", "--after", "junk", check=False)
