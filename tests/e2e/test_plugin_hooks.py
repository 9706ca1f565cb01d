"""The guide's plugins for client dialects and for the order of routes, dropped into a running hub."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.test_plugin_guide import block
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
logging: {format: json}
plugins: {dirs: [plugins]}
providers:
  home-1: {type: demo, models: {demo-chat: {price: {call: "0.01"}}, fails: {upstream: demo-fail-503, free: true}}}
  away-1: {type: demo, models: {demo-chat: {price: {call: "0.02"}}, cut: {upstream: demo-cut-stream, free: true}}}
"""
SHADOWING = """
from relayhub.sdk import IngressType, hookimpl
from relayhub_dropins.relayhub_parrot import ParrotCodec

@hookimpl
def relayhub_register_ingresses():
    return [IngressType("shadow.chat", ["/v1/chat/completions", "/crow/v1/chat/completions"], ParrotCodec(), "Crows.")]
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("hooks")
    folder = home / "plugins"
    folder.mkdir()
    (folder / "relayhub_at_home.py").write_text(block("python", "def relayhub_order_routes"))
    (folder / "relayhub_parrot.py").write_text(block("python", "class ParrotCodec"))
    (folder / "relayhub_shadow.py").write_text(SHADOWING)
    with running(home, CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def key(hub: Server) -> str:
    return hub.new_key("anybody")


def post(hub: Server, key: str | None, path: str, value: object) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    headers = {"content-type": "application/json"} | ({} if key is None else {"authorization": f"Bearer {key}"})
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    request = urllib.request.Request(f"{hub.url}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["content-type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read()


def test_a_plugins_dialect_is_served_whole(hub: Server, key: str) -> None:
    status, kind, body = post(hub, key, "/parrot/chat", {"model": "demo-chat", "ask": "Hello!"})
    assert (status, kind.split(";")[0]) == (200, "application/json")
    answer = json.loads(body)
    assert answer["said"]
    assert answer["by"] == "demo-chat"
    row = hub.last_usage("demo-chat")
    assert (row["dialect"], row["operation"], row["outcome"], row["measured"]) == (
        "parrot.chat",
        "chat",
        "completed",
        1,
    )
    assert row["cost_nano"]


def test_it_is_streamed_and_its_last_word_comes_after_the_settlement(hub: Server, key: str) -> None:
    status, kind, body = post(hub, key, "/parrot/demo-chat/chat", {"ask": "Hello!", "live": True})
    assert (status, kind.split(";")[0]) == (200, "text/event-stream")
    events = [
        json.loads(line.removeprefix("data: ")) for line in body.decode().split("\n\n") if line.startswith("data")
    ]
    assert events[-1] == {"over": True}
    assert "".join(event["say"] for event in events[:-1])
    assert hub.last_usage("demo-chat")["stream"] == 1


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ({"model": "demo-chat"}, 400, "invalid_request"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        ({"model": "none", "ask": "Hi"}, 404, "model_not_found"),
        ({"model": "fails", "ask": "Hi"}, 503, "upstream_overloaded"),
    ],
)
def test_errors_are_told_in_its_own_words(hub: Server, key: str, value: object, status: int, code: str) -> None:
    got, _, body = post(hub, key, "/parrot/chat", value)
    answer = json.loads(body)
    assert (got, set(answer)) == (status, {"squawk", "code", "id"})
    assert answer["code"] == code
    assert answer["id"].startswith("req_")


def test_nobody_gets_in_without_a_key(hub: Server) -> None:
    status, _, body = post(hub, None, "/parrot/chat", {"model": "demo-chat", "ask": "Hi"})
    assert status == 401
    assert "squawk" in json.loads(body)


def test_a_stream_that_breaks_ends_with_its_error_event(hub: Server, key: str) -> None:
    _, _, body = post(hub, key, "/parrot/cut/chat", {"ask": "Hi", "live": True})
    last = json.loads(body.decode().strip().split("\n\n")[-1].removeprefix("data: "))
    assert "squawk" in last
    assert b'"over"' not in body


def test_what_the_hub_serves_itself_stays_the_hubs(hub: Server, key: str) -> None:
    asked = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hi"}]}
    status, _, body = post(hub, key, "/v1/chat/completions", asked)
    assert (status, json.loads(body)["object"]) == (200, "chat.completion")
    taken = [json.loads(line) for line in hub.log().splitlines() if "plugin.path_taken" in line]
    assert [one["path"] for one in taken] == ["/v1/chat/completions", "/crow/v1/chat/completions"]


def test_a_plugin_decides_who_may_leave_the_house(hub: Server, key: str) -> None:
    private = hub.new_key("private-1")
    asked = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hi"}]}
    for secret, provider in ((private, "home-1"), (key, "away-1"), (private, "home-1")):
        assert post(hub, secret, "/v1/chat/completions", asked)[0] == 200
        assert hub.last_usage("demo-chat")["provider"] == provider
    # A model that only others serve is refused for such a key, and costs nothing.
    status, _, body = post(hub, private, "/v1/chat/completions", {**asked, "model": "cut"})
    assert (status, json.loads(body)["error"]["code"]) == (503, "no_route")
    assert hub.rows("SELECT count(*) AS n FROM holds") == [{"n": 0}]


def test_it_is_asked_after_a_reload_too(hub: Server, key: str) -> None:
    text = (hub.home / "relayhub.yaml").read_text()
    (hub.home / "relayhub.yaml").write_text(text.replace('call: "0.02"', 'call: "0.03"'))
    assert "1 change in force" in hub.cli("reload")
    asked = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hi"}]}
    assert post(hub, key, "/v1/chat/completions", asked)[0] == 200
    row = hub.last_usage("demo-chat")
    assert (row["provider"], row["cost_nano"]) == ("away-1", 30_000_000)
    assert post(hub, key, "/parrot/chat", {"model": "demo-chat", "ask": "Hi"})[0] == 200
