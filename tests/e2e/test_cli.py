"""The program as a self-hoster uses it, from an empty folder."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from click.testing import CliRunner

from relayhub.cli import SUBCOMMANDS, main
from tests.support.raw_upstream import http
from tests.support.server import KEY_ACTS_S, cli, environment, running
from tests.support.threaded_upstream import threaded_upstream

README = (Path(__file__).parent.parent.parent / "README.md").read_text()

MUTE = """
from pydantic import BaseModel, ConfigDict
from relayhub.sdk import ProviderType, hookimpl

class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

@hookimpl
def relayhub_register_providers():
    return [ProviderType(name="mute", settings=Settings, build=lambda s, c: object(), summary="Says nothing.")]
"""

CONFIG = """
store: {path: hub.db}
providers:
  demo:
    models:
      demo-chat: {price: {call: "0.01"}, aliases: [gpt-4]}
"""


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return environment(home)


def exit_code(home: Path, env: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "relayhub", *arguments], cwd=home, env=env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_help_loads_no_plugin_and_nothing_heavy(home: Path, env: dict[str, str]) -> None:
    script = (
        "import sys; from relayhub.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('aiohttp', 'sqlalchemy', 'pydantic', 'relayhub_demo', 'relayhub_openai') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_command_is_in_the_readme_and_has_help(command: str) -> None:
    assert f"relayhub {command}" in README
    if command != "x":  # its help loads plugins
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_init_writes_a_config_that_is_valid_once_its_keys_are_set(home: Path, env: dict[str, str]) -> None:
    cli(home, "init", env=env)
    assert exit_code(home, env, "init")[0] == 1, "a config that exists is never overwritten by accident"
    code, output = exit_code(home, env, "validate")
    assert code == 3
    assert "relayhub.yaml:" in output
    for name in re.findall(r"\b[A-Z]+_API_KEY\b", output):
        env[name] = "sk-test"
    assert exit_code(home, env, "validate")[0] == 0


def test_every_problem_is_reported_at_once(home: Path, env: dict[str, str]) -> None:
    (home / "relayhub.yaml").write_text("serve: {}\nproviders:\n  demo:\n    model: {}\n  x: {type: opnai}\n")
    code, output = exit_code(home, env, "validate")
    assert code == 3
    assert "relayhub.yaml:1:1" in output
    assert "Did you mean `server`" in output or "did you mean `server`" in output
    assert "relayhub.yaml:4:5" in output
    assert "openai" in output
    found = json.loads(cli(home, "validate", "--json", env=env, check=False))
    assert found["valid"] is False
    assert len(found["problems"]) == 3


def test_a_model_that_its_provider_cannot_serve_is_a_problem_of_the_config(home: Path, env: dict[str, str]) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "mute.py").write_text(MUTE)
    (home / "relayhub.yaml").write_text(
        "plugins: {dirs: [plugins]}\nproviders:\n  mute:\n    models:\n      silence: {free: true}\n"
    )
    for command in ("validate", "serve"):
        code, output = exit_code(home, env, command)
        assert (code, "relayhub.yaml:5:7" in output, "does not serve chat" in output) == (3, True, True)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["nonsense"], 2), (["keys", "create"], 2), (["keys", "revoke", "x"], 1)]
)
def test_exit_codes(home: Path, env: dict[str, str], arguments: list[str], code: int) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    assert exit_code(home, env, *arguments)[0] == code


def test_the_effective_config_masks_secrets(home: Path, env: dict[str, str]) -> None:
    (home / "relayhub.yaml").write_text(
        "providers: {openai: {api_key: sk-canary, models: {m: {free: true}}}}\nserver: {port: 9000}\n"
    )
    env["RELAYHUB__SERVER__PORT"] = "9001"
    shown = cli(home, "config", "show", env=env)
    assert "sk-canary" not in shown
    assert json.loads(cli(home, "config", "show", "--json", env=env))["server"]["port"] == 9001
    assert "openai" in json.dumps(json.loads(cli(home, "config", "schema", env=env)))


def test_accounts_keys_and_usage_beside_a_running_server(home: Path) -> None:
    with running(home, CONFIG) as server:
        server.cli("accounts", "create", "team")
        server.cli("accounts", "grant", "team", "15000")
        made = server.cli_json("keys", "create", "laptop", "--account", "team", "--models", "demo-*")
        assert isinstance(made, dict)
        key = str(made["key"])
        server.wait_until(lambda: server.accepts(key), within_s=KEY_ACTS_S)
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
        hello = [{"role": "user", "content": "hi"}]
        assert client.chat.completions.create(model="gpt-4", messages=hello).model == "demo-chat"
        totals = server.cli_json("usage", "--by", "key")
        assert isinstance(totals, list)
        assert [(row["group"], row["calls"], row["cost_nano"]) for row in totals] == [("laptop", 1, 10_000_000)]
        rows = server.cli_json("usage", "--rows", "--key", "laptop")
        assert isinstance(rows, list)
        assert (rows[0]["account"], rows[0]["outcome"]) == ("team", "completed")
        accounts = json.loads(server.cli("accounts", "list", "--json"))
        assert next(a for a in accounts if a["name"] == "team")["remaining"] == 10_000
        assert "laptop" in server.cli("keys", "list")
        assert key not in server.cli("keys", "list")

        server.cli("keys", "revoke", "laptop")
        server.wait_until(lambda: not server.accepts(key), within_s=KEY_ACTS_S)
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="gpt-4", messages=hello)
        assert caught.value.code == "key_revoked"
        client.close()


def test_the_secret_is_kept_nowhere(home: Path) -> None:
    with running(home, CONFIG) as server:
        key = server.new_key("canary")
        files = [path for path in home.rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if key.encode() in path.read_bytes()] == []


def test_a_key_of_one_model_sees_only_that(home: Path) -> None:
    with running(home, CONFIG + "      other: {upstream: demo-chat, free: true}\n") as server:
        key = server.new_key("narrow", "--models", "other")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key) as client:
            assert [model.id for model in client.models.list()] == ["other"]


def test_models_are_discovered_and_the_written_file_asks_for_prices(home: Path, env: dict[str, str]) -> None:
    with threaded_upstream() as upstream:
        upstream.answers[""] = http(b'{"object":"list","data":[{"id":"z-model"},{"id":"a-model"}]}')
        (home / "relayhub.yaml").write_text(
            f"providers: {{up: {{type: openai, base_url: '{upstream.url}', models: {{m: {{free: true}}}}}}}}\n"
        )
        assert json.loads(cli(home, "models", "discover", "up", "--json", env=env)) == ["a-model", "z-model"]
        cli(home, "models", "discover", "up", "--write", "up.yaml", env=env)
    (home / "relayhub.yaml").write_text("providers: {up: {type: openai, models_file: up.yaml}}\n")
    code, output = exit_code(home, env, "validate")
    assert (code, output.count("has no price")) == (3, 2), "a price that nobody set is never made up"
    written = (home / "up.yaml").read_text().replace("{}", '{price: {input: "1", output: "2"}}')
    (home / "up.yaml").write_text(written)
    listed = json.loads(cli(home, "models", "list", "--json", env=env))
    assert [(row["model"], row["price"]) for row in listed] == [
        ("a-model", "input 1 + output 2 USD/1M tokens"),
        ("z-model", "input 1 + output 2 USD/1M tokens"),
    ]


def test_a_demo_key_does_not_open_a_hub_that_is_set_up_later(home: Path) -> None:
    with running(home, None) as demo:
        key = next(line.split()[-1] for line in demo.greeting if "API key:" in line)
        assert demo.accepts(key)
    with running(home, CONFIG.replace("store: {path: hub.db}\n", "")) as server:
        assert not server.accepts(key)


def test_a_demo_key_works_until_the_next_start(home: Path) -> None:
    keys = []
    for _ in range(2):
        with running(home, None) as demo:
            keys.append(next(line.split()[-1] for line in demo.greeting if "API key:" in line))
            assert [demo.accepts(key) for key in keys] == [False] * (len(keys) - 1) + [True]


def test_demo_mode_listens_on_loopback_only(home: Path, env: dict[str, str]) -> None:
    code, output = exit_code(home, env, "serve", "--host", "0.0.0.0", "--port", "0")
    assert code == 1
    assert "loopback only" in output


def test_a_port_that_is_taken_is_one_line(home: Path) -> None:
    with running(home, CONFIG) as server:
        code, output = exit_code(home, server.env, "serve", "--port", server.url.rpartition(":")[2])
    assert code == 1
    assert "cannot listen on" in output
    assert "Traceback" not in output


def test_a_database_of_a_newer_relayhub_is_refused_in_one_line(home: Path, env: dict[str, str]) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    cli(home, "keys", "list", env=env)
    with sqlite3.connect(home / "hub.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    code, output = exit_code(home, env, "keys", "list")
    assert code == 1
    assert "newer relayhub" in output
    assert "Traceback" not in output


@pytest.mark.timeout(180)
def test_every_command_speaks_json(home: Path, env: dict[str, str]) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    commands = (
        ["init", "other.yaml"],
        ["validate"],
        ["config", "show"],
        ["config", "schema"],
        ["models", "list"],
        ["accounts", "create", "a"],
        ["accounts", "grant", "a", "5"],
        ["accounts", "list"],
        ["keys", "create", "k", "--account", "a", "--quota", "3"],
        ["keys", "list"],
        ["keys", "revoke", "k"],
        ["usage"],
        ["usage", "--rows"],
        ["ledger", "check"],
        ["plugins", "list"],
    )
    for command in commands:
        assert json.loads(cli(home, *command, "--json", env=env)) is not None, command
