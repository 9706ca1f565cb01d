"""Each operation of the management side can be done at the command line, too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from relayhub.cli import SUBCOMMANDS, main
from relayhub.web.admin.endpoint import PATH, AnyEndpoint
from relayhub.web.admin.routes import ENDPOINTS
from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
currencies: {CNY: "0.14"}
providers:
  demo:
    max_in_flight: 7
    video_queue_s: 0.1
    video_run_s: 3600
    models:
      demo-chat:
        price:
          - {input: "1.00", output: "2.00"}
          - {from: "2026-01-01", currency: CNY, input: "5.00", output: "9.00"}
          - {from: "2999-01-01", call: "0.50"}
        cost: {input: "0.50"}
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
      demo-fail-503: {free: true, public: false}
  off: {type: demo, enabled: false}
"""

ONLY_IN_A_BROWSER = {"show_status", "sign_in", "show_session"}
"""Whoever sits at the command line is signed in by the system."""


def command(words: str) -> click.Command:
    first, *rest = words.split()
    module, _, attribute = SUBCOMMANDS[first][0].partition(":")
    found: click.Command = getattr(importlib.import_module(module), attribute)
    for word in rest:
        assert isinstance(found, click.Group), f"{words}: {found.name} has no commands of its own"
        assert word in found.commands, f"there is no command `relayhub {words}`"
        found = found.commands[word]
    assert not isinstance(found, click.Group), f"{words} is not a whole command"
    return found


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_each_operation_names_a_command_that_there_is(endpoint: AnyEndpoint) -> None:
    if endpoint.twin is None:
        assert endpoint.name in ONLY_IN_A_BROWSER
        return
    found = command(endpoint.twin)
    assert found.help
    options = {option for parameter in found.params for option in parameter.opts}
    assert {"--config", "--json"} <= options or endpoint.twin == "jobs webhook-secret"


@pytest.mark.parametrize(
    "endpoint", [one for one in ENDPOINTS if one.method == "GET"], ids=lambda endpoint: endpoint.path
)
def test_the_command_of_a_list_takes_each_filter_of_it(endpoint: AnyEndpoint) -> None:
    """By the same word, without the ``_id`` of what a command takes by name."""
    if endpoint.twin is None:
        return
    options = {name for parameter in command(endpoint.twin).params for name in (*parameter.opts, parameter.name)}
    renamed = {"call_id": "--call", "platform": "--provider"}
    fields = set(endpoint.takes.model_fields) - {"format"}
    if "--limit" not in options:
        fields -= {"after", "limit"}  # the command lists them all
    for field in fields:
        option = renamed.get(field, "--" + field.removesuffix("_id").replace("_", "-"))
        assert option in options, f"`relayhub {endpoint.twin}` lacks {option}"


def test_every_group_of_commands_is_listed() -> None:
    for name in ("keys", "accounts", "codes", "ledger", "usage", "prices", "jobs", "providers"):
        assert name in main.list_commands(click.Context(main))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("twins"), CONFIG) as server:
        yield server


def test_prices_are_listed_alike_by_date_and_as_usage_rows_name_them(server: Server) -> None:
    program = admin_key(server)
    told = program.get(f"{PATH}/prices?model=demo-chat&every=true").data["items"]
    listed = server.cli_json("prices", "list", "--model", "demo-chat", "--every")
    assert isinstance(listed, list)
    assert [one["version"] for one in told] == [one["version"] for one in listed]
    assert [(one["since"], one["until"], one["in_force"]) for one in told] == [
        (None, "2026-01-01T00:00:00Z", False),
        ("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z", True),
        ("2999-01-01T00:00:00Z", None, False),
    ]
    (now,) = program.get(f"{PATH}/prices?model=demo-chat").data["items"]
    assert (now["currency"], now["amounts"]["input"]) == ("CNY", "5")
    assert now["formula"].startswith("input 5 + output 9 CNY/1M tokens")
    assert now["upstream_formula"] == "input 0.5 USD/1M tokens"
    assert "CNY" in server.cli("prices", "list", "--provider", "demo")

    key = server.new_key("priced")
    chat = {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
    assert Api(server.url, key).post("/v1/chat/completions", chat).status == 200
    assert server.last_usage("demo-chat")["price_version"] == now["version"]


def test_a_user_sees_what_clients_pay_and_not_what_the_operator_pays(server: Server) -> None:
    program = admin_key(server, "admin", "for-users")
    program.post(f"{PATH}/people", {"name": "ann", "password": "correct horse battery", "role": "user"})
    user = Api(server.url)
    user.post(f"{PATH}/session", {"name": "ann", "password": "correct horse battery"})
    seen = user.get(f"{PATH}/prices").data["items"]
    assert {one["model"] for one in seen} == {"demo-chat", "demo-video"}
    assert {one["upstream_formula"] for one in seen} == {None}
    assert {one["model"] for one in program.get(f"{PATH}/prices").data["items"]} > {one["model"] for one in seen}


def test_a_provider_is_shown_with_how_it_does(server: Server) -> None:
    program = admin_key(server, "viewer", "looks")
    key = server.new_key("fails")
    client = Api(server.url, key)
    body = {"model": "demo-fail-503", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(5):
        assert client.post("/v1/chat/completions", body).status == 503
    shown = program.get(f"{PATH}/providers/demo").data
    assert (shown["max_in_flight"], shown["in_flight"]) == (7, 0)
    (credential,) = shown["credentials"]
    (failing,) = [one for one in credential["circuits"] if one["model"] == "demo-fail-503"]
    assert (failing["state"], failing["cause"]) == ("open", "overloaded")
    assert failing["wait_s"] > 0
    assert program.get(f"{PATH}/providers/off").data["enabled"] is False

    live = server.cli("providers", "show", "demo", "--server", server.url, "--admin-key", str(program.credential))
    assert "demo-fail-503" in live
    assert "overloaded" in live
    by_config = server.cli_json("providers", "show", "demo")
    assert isinstance(by_config, dict)
    assert by_config["max_in_flight"] == 7
    assert "no provider" in server.cli("providers", "show", "none", check=False)


def test_accounts_people_and_ledger_rows_are_shown(server: Server) -> None:
    account = server.cli_json("accounts", "create", "shown")
    assert isinstance(account, dict)
    server.cli("accounts", "grant", "shown", "100", "--reason", "first")
    server.cli("accounts", "grant", "shown", "50", "--reason", "second")
    assert server.cli_json("accounts", "show", "shown") == {**account, "total": 150, "remaining": 150}
    rows = server.cli_json("ledger", "list", "--account", "shown", "--since", "2020-01-01")
    assert isinstance(rows, list)
    assert [row["reason"] for row in rows] == ["second", "first"]
    older = server.cli_json("ledger", "list", "--account", "shown", "--after", str(rows[0]["id"]))
    assert older == rows[1:]
    assert server.cli_json("ledger", "list", "--account", "shown", "--until", "2020-01-01") == []
    assert server.cli_json("ledger", "list", "--actor", "cli:nobody-of-this-name") == []
    told = admin_key(server, "viewer", "ledger").get(f"{PATH}/ledger?account_id={account['id']}&kind=grant").data
    assert [row["id"] for row in told["items"]] == [row["id"] for row in rows]


def test_a_price_list_is_added_to_a_file_that_is_there(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("# mine\ndemo-chat: {price: {input: '7.00'}}  # agreed\ndemo-slow: {}\nmine-alone: {free: true}\n")
    said = server.cli("models", "discover", "demo", "--prices", "--write", str(file))
    text = file.read_text()
    assert text.startswith("# mine\ndemo-chat: {price: {input: '7.00'}}  # agreed\n")
    assert "mine-alone: {free: true}\n" in text
    assert "demo-slow: {price: {input: '0.10', output: '0.40'}}\n" in text
    assert '"demo-embedding": {price: {input:' in text
    assert "were there and stay" in said
    server.cli("models", "discover", "demo", "--prices", "--write", str(file))
    assert file.read_text() == text
    file.write_text("- a list\n")
    assert "left as it is" in server.cli("models", "discover", "demo", "--write", str(file), check=False)
    assert file.read_text() == "- a list\n"
