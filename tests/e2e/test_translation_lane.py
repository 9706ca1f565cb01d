"""A third party's package, built and installed with pip, serves the OpenAI SDK through the translation lane; a file that
was dropped into a folder is found as well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support.raw_upstream import http
from tests.support.server import Server, cli, environment, running
from tests.support.threaded_upstream import ThreadedUpstream, threaded_upstream

ACME = Path(__file__).parent.parent / "plugin_packages" / "acme"
PIP_OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
HELLO = [{"role": "user", "content": "Hello!"}]

CONFIG = """
store: {{path: hub.db}}
logging: {{format: json}}
plugins: {{dirs: [plugins]}}
providers:
  acme:
    base_url: {url}
    api_key: acme-key
    models:
      talker: {{upstream: parrot, price: {{input: "1", output: "1"}}}}
      cut: {{upstream: cut, price: {{input: "1", output: "1"}}}}
      places: {{upstream: compass, price: {{input: "1"}}, operations: [embeddings]}}
"""

DROP_IN = '''
"""A plugin in one file."""
import click
from pydantic import BaseModel, ConfigDict
from relayhub.sdk import ProviderType, hookimpl


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")


@hookimpl
def relayhub_register_providers():
    return [ProviderType(name="pocket", settings=Settings, build=lambda settings, context: object(), summary="Small.")]


@hookimpl
def relayhub_register_commands(cli):
    @cli.command("pocket-hello")
    def hello():
        """Say hello."""
        click.echo("hello from the pocket")
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip put the package."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *PIP_OFFLINE, "--target", str(target), str(ACME)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target


@pytest.fixture(scope="module")
def upstream() -> Iterator[ThreadedUpstream]:
    with threaded_upstream("machine") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def hub(site: Path, upstream: ThreadedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("acme")
    (home / "plugins").mkdir()
    (home / "plugins" / "pocket.py").write_text(DROP_IN)
    config = CONFIG.format(url=upstream.url.removesuffix("/v1"))
    with running(home, config, env={"PYTHONPATH": str(site)}) as server:
        yield server


@pytest.fixture(scope="module")
def client(hub: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.new_key("k"), max_retries=0) as client:
        yield client


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def test_both_doors_are_listed(hub: Server) -> None:
    listed = hub.cli_json("plugins", "list")
    assert isinstance(listed, dict)
    found = {plugin["name"]: plugin for plugin in listed["plugins"]}
    assert (found["acme"]["source"], found["acme"]["version"]) == ("entry point", "1.2.3")
    assert (found["pocket"]["source"], found["pocket"]["provider_types"]) == ("drop-in", ["pocket"])
    assert listed["quarantined"] == []


def test_a_plugins_command_lives_under_x(hub: Server) -> None:
    assert hub.cli("x", "pocket-hello") == "hello from the pocket\n"
    assert "pocket-hello" in hub.cli("x", "--help")


def test_a_whole_answer_is_translated(client: openai.OpenAI, hub: Server, upstream: ThreadedUpstream) -> None:
    upstream.answers["parrot"] = http(b'{"machine": "parrot", "says": "Hello, you.", "heard": 4, "spoken": 3}')
    answer = client.chat.completions.create(model="talker", messages=HELLO, user="u-1")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello, you.", "stop")
    assert (answer.model, answer.usage and answer.usage.total_tokens) == ("talker", 7)
    assert upstream.requests[-1]["lines"] == [{"who": "user", "says": "Hello!"}]
    row = hub.last_usage("talker")
    assert (row["cost_nano"], row["user_identifier"], row["measured"]) == (7000, "u-1", 1)


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream_is_translated(client: openai.OpenAI, upstream: ThreadedUpstream, include_usage: bool) -> None:
    body = lines({"machine": "parrot"}, {"says": "Hel"}, {"says": "lo."}, {"over": True, "heard": 4, "spoken": 2})
    upstream.answers["parrot"] = http(body, headers="content-type: application/x-ndjson")
    options = {"include_usage": True} if include_usage else openai.omit
    chunks = list(client.chat.completions.create(model="talker", messages=HELLO, stream=True, stream_options=options))
    spoken = [chunk for chunk in chunks if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in spoken) == "Hello."
    assert {chunk.model for chunk in chunks} == {"talker"}
    assert spoken[-1].choices[0].finish_reason == "stop"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([6] if include_usage else [])


def test_a_translated_stream_that_breaks_off_is_an_error(
    client: openai.OpenAI, hub: Server, upstream: ThreadedUpstream
) -> None:
    upstream.answers["cut"] = http(lines({"machine": "cut"}, {"says": "Hel"}), headers="content-type: text/plain")
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="cut", messages=HELLO, stream=True))
    assert hub.last_usage("cut")["outcome"] == "upstream_error"


def test_embeddings_are_translated(client: openai.OpenAI, upstream: ThreadedUpstream) -> None:
    upstream.answers["compass"] = http(b'{"machine": "compass", "places": [[0.5, -0.25], [1, 0]], "heard": 2}')
    answer = client.embeddings.create(model="places", input=["a", "b"])
    assert [item.embedding for item in answer.data] == [[0.5, -0.25], [1.0, 0.0]]


def test_an_error_of_the_translated_upstream_is_openais(client: openai.OpenAI, upstream: ThreadedUpstream) -> None:
    upstream.answers["parrot"] = http(b'{"problem": "say please"}', status="400 No")
    with pytest.raises(openai.BadRequestError, match="say please"):
        client.chat.completions.create(model="talker", messages=HELLO)


def test_a_broken_plugin_is_quarantined_and_named_when_it_is_needed(home: Path) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "broken.py").write_text("raise SystemExit('no licence')")
    (home / "relayhub.yaml").write_text(
        "plugins: {dirs: [plugins]}\nproviders: {broken: {models: {m: {free: true}}}}\n"
    )
    listed = json.loads(cli(home, "plugins", "list", "--json", env=environment(home)))
    assert [(item["name"], item["reason"]) for item in listed["quarantined"]] == [("broken", "SystemExit: no licence")]
    assert "no licence" in cli(home, "validate", env=environment(home), check=False)
