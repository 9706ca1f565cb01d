"""What a request would cost, said before it is sent, and charged as it was said: discounts, dates, rates, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from tests.support.admin import Answer, Api, admin_key
from tests.support.server import PATIENCE_S, Server, running

CONFIG = """
store: {path: hub.db}
logging: {level: info, format: json}
currencies: {CNY: "0.14"}
providers:
  demo:
    models:
      demo-chat: {price: {call: "0.01"}, cost: {call: "0.004"}}
      by-token: {upstream: demo-chat, price: {input: "3", output: "15"}, max_output_tokens: 100}
      embedder: {upstream: demo-embedding, operations: [embeddings], price: {input: "3"}}
      foreign: {upstream: demo-chat, price: {currency: CNY, call: "0.05"}}
      dated:
        upstream: demo-chat
        price: [{call: "0.01"}, {from: "2020-01-01", call: "0.02"}, {from: "2120-01-01", call: "0.03"}]
      not-yet: {upstream: demo-chat, price: {from: "2120-01-01", call: "0.03"}}
      demo-video: {operations: [video], price: {video: {"*": "0.10"}}}
      demo-image: {operations: [image], price: {image: {"*": "0.04"}}}
      demo-speech: {operations: [speech], price: {characters: "15"}}
"""
UNIT_NANO = 2000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("estimate"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Api:
    return admin_key(server)


@pytest.fixture(scope="module")
def user(server: Server) -> Api:
    return Api(server.url, server.new_key("estimating"))


def chat(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}


def estimate(user: Api, body: object, **query: str) -> Answer:
    return user.post(f"/api/user/estimate?{urlencode(query)}", body)


def rows(server: Server) -> int:
    return int(str(server.rows("SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM usage) AS n")[0]["n"]))


def test_text_is_priced_by_its_size_and_its_limit_and_nothing_is_held(server: Server, user: Api) -> None:
    before, body = rows(server), chat("by-token", max_tokens=10)
    found = estimate(user, body).data
    input_tokens = -(-len(json.dumps(body)) // 3)
    nano = input_tokens * 3000 + 10 * 15000
    assert found == {
        "model": "by-token",
        "quota": -(-nano // UNIT_NANO),
        "usd": str(Decimal(nano) / 10**9),
        "price": "input 3 + output 15 USD/1M tokens",
        "priceVersion": found["priceVersion"],
        "atMost": {"tokens": input_tokens + 10},
    }
    assert rows(server) == before
    # the negative control: the request itself leaves rows
    assert user.post("/v1/chat/completions", body).status == 200
    assert rows(server) > before


@pytest.mark.parametrize(
    ("body", "endpoint", "quota", "at_most"),
    [
        ({"model": "demo-video", "prompt": "x", "seconds": "4"}, None, 200_000, {"seconds": 4.0}),
        ({"model": "demo-image", "prompt": "x", "n": 3}, None, 60_000, {"images": 3}),
        ({"model": "demo-image", "prompt": "x"}, "/v1/images/generations", 20_000, {"images": 1}),
        ({"model": "demo-speech", "input": "x" * 1000, "voice": "alloy"}, None, 7500, {"characters": 1000}),
        ({"model": "demo-chat", "input": "hello"}, None, 5000, None),
        (chat("demo-chat", max_tokens=5), "messages", 5000, None),
        ({"model": "embedder", "input": "xyz"}, None, None, None),
    ],
)
def test_every_kind_of_request_has_its_price(
    user: Api, body: dict[str, object], endpoint: str | None, quota: int | None, at_most: dict[str, object] | None
) -> None:
    found = estimate(user, body, **({} if endpoint is None else {"endpoint": endpoint}))
    assert found.status == 200
    if quota is not None:
        assert found.data["quota"] == quota
    if at_most is not None:
        assert at_most.items() <= found.data["atMost"].items()


def test_a_video_costs_what_was_said(server: Server, user: Api) -> None:
    body = {"model": "demo-video", "prompt": "x", "seconds": "4"}
    said = estimate(user, body).data["quota"]
    assert user.post("/v1/videos", body).status == 200
    held = server.rows("SELECT amount_nano FROM ledger WHERE kind = 'hold' ORDER BY id DESC LIMIT 1")
    assert held[0]["amount_nano"] == said * UNIT_NANO


def test_what_cannot_be_sent_cannot_be_priced(user: Api) -> None:
    assert estimate(user, chat("no-such-model")).refused == (404, "model_not_found")
    assert estimate(user, chat("demo-chat"), endpoint="nonsense").status == 400
    assert estimate(user, chat("demo-chat"), platform="nowhere").refused == (404, "unknown_platform")
    assert estimate(user, {"model": "demo-chat"}).status == 400
    assert estimate(user, b"[").status == 400
    assert estimate(Api(user.url, "sk-wrong"), chat("demo-chat")).status == 401


def test_the_price_in_force_is_charged_and_its_version_kept(server: Server, user: Api) -> None:
    found = estimate(user, chat("dated")).data
    assert (found["quota"], found["priceVersion"][:11]) == (10_000, "2020-01-01#")
    assert user.post("/v1/chat/completions", chat("dated")).status == 200
    row = server.last_usage("dated")
    assert (row["cost_nano"], row["price_version"]) == (20_000_000, found["priceVersion"])


def test_a_model_whose_first_price_is_yet_to_come_is_not_offered(user: Api) -> None:
    refused = user.post("/v1/chat/completions", chat("not-yet"))
    assert (refused.status, refused.body["error"]["code"]) == (404, "not_priced")
    assert estimate(user, chat("not-yet")).refused == (404, "not_priced")


def test_another_currency_is_charged_by_its_rate(server: Server, user: Api) -> None:
    assert estimate(user, chat("foreign")).data["price"] == "0.05 CNY/call, 1 CNY = 0.14 USD"
    assert user.post("/v1/chat/completions", chat("foreign")).status == 200
    assert server.last_usage("foreign")["cost_nano"] == 7_000_000


def test_a_discount_counts_for_every_key_of_its_account_within_a_second(server: Server, admin: Api) -> None:
    account = admin.post("/api/admin/accounts", {"name": "friends", "discount": "12.5"}).data
    admin.post(f"/api/admin/accounts/{account['id']}/grants", {"units": 100_000, "reason": "to begin with"})
    made = admin.post("/api/admin/keys", {"name": "friend", "account_id": account["id"]}).data
    friend = Api(server.url, made["secret"])
    server.wait_until(lambda: friend.get("/api/user/quota").status == 200, within_s=PATIENCE_S)

    assert account["discount"] == "12.5"
    assert estimate(friend, chat("demo-chat")).data["quota"] == 4375
    assert friend.post("/v1/chat/completions", chat("demo-chat")).status == 200
    row = server.rows("SELECT * FROM usage WHERE key_id = ?", made["id"])[0]
    assert (row["cost_nano"], row["upstream_cost_nano"]) == (8_750_000, 4_000_000)
    assert row["price"] == "0.01 USD/call, less 12.5%"

    changed = admin.patch(f"/api/admin/accounts/{account['id']}", {"discount": "100"})
    assert changed.data["discount"] == "100"
    server.wait_until(lambda: estimate(friend, chat("demo-chat")).data["quota"] == 0, within_s=1)


@pytest.mark.parametrize("discount", ["100.1", "-1", "x", "1e1", ""])
def test_what_is_no_discount_is_refused(admin: Api, discount: str) -> None:
    assert admin.post("/api/admin/accounts", {"name": f"no {discount}!", "discount": discount}).status in (400, 422)


def test_the_command_line_knows_discounts_too(server: Server) -> None:
    made = server.cli_json("accounts", "create", "cheap", "--discount", "5")
    assert isinstance(made, dict)
    assert made["discount"] == "5"
    assert "7.25% off" in server.cli("accounts", "update", "cheap", "--discount", "7.25")
    assert "from 0 to 100" in server.cli("accounts", "update", "cheap", "--discount", "101", check=False)


def test_a_plugins_price_list_is_written_for_the_operator_to_change(server: Server) -> None:
    written = server.cli("models", "discover", "demo", "--prices", "--write", "found.yaml")
    text = (server.home / "found.yaml").read_text()
    assert "have a price" in written
    assert "\"demo-chat\": {price: {input: '0.10', output: '0.40'}}" in text
    assert "made up, as everything here, as of 2026-07-01" in text
    server.cli("models", "discover", "demo", "--write", "bare.yaml")
    assert "price: {input" not in (server.home / "bare.yaml").read_text().partition("same for all")[2]
