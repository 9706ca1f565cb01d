"""A plugin that is named as a module, against its own simulator: the hub's books agree with what the upstream counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from relayhub.testing import Answer, Hang
from tests.plugin_packages import test_acme  # puts the package on the path
from tests.support.server import Server, running

from relayhub_acme.simulator import JSON_LINES, AcmeSimulator, json_line, problem  # isort: skip

CONFIG = """
store: {{path: hub.db}}
plugins: {{modules: [relayhub_acme]}}
providers:
  acme:
    base_url: {url}
    api_key: acme-key
    models:
      talker: {{upstream: parrot, price: {{input: "1", output: "1"}}}}
      stranger: {{upstream: nobody, price: {{call: "1"}}}}
      places: {{upstream: compass, price: {{input: "1"}}, operations: [embeddings]}}
"""
HELLO = [{"role": "user", "content": "good day to you"}]


@pytest.fixture(scope="module")
def acme() -> Iterator[AcmeSimulator]:
    acme = AcmeSimulator(forbidden=["sk_live_"])
    with acme.in_thread():
        yield acme


@pytest.fixture(scope="module")
def hub(acme: AcmeSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = str(Path(test_acme.__file__).parent / "acme")
    with running(tmp_path_factory.mktemp("hub"), CONFIG.format(url=acme.url), env={"PYTHONPATH": path}) as server:
        yield server


@pytest.fixture(scope="module")
def client(hub: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.new_key("k"), max_retries=0) as client:
        yield client


def test_the_door_it_came_through_is_listed(hub: Server) -> None:
    listed = hub.cli_json("plugins", "list")
    assert isinstance(listed, dict)
    found = next(plugin for plugin in listed["plugins"] if plugin["name"] == "relayhub_acme")
    assert (found["source"], found["provider_types"]) == ("module", ["acme"])


@pytest.mark.parametrize("stream", [False, True])
def test_chat_is_translated_and_charged_as_the_upstream_counts(
    client: openai.OpenAI, hub: Server, acme: AcmeSimulator, stream: bool
) -> None:
    before = acme.counters.executions
    answer = client.chat.completions.create(model="talker", messages=HELLO, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        assert text == "gooddaytoyou"
    else:
        assert answer.choices[0].message.content == "good day to you"
    assert acme.counters.executions == before + 1
    assert hub.last_usage("talker")["cost_nano"] == 8000


def test_embeddings_are_translated(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="places", input=["four", "to"])
    assert [item.embedding for item in answer.data] == [[0.5, 1.0], [0.25, 1.0]]


def test_a_refused_call_costs_nothing(client: openai.OpenAI, hub: Server, acme: AcmeSimulator) -> None:
    before = acme.counters.executions
    with pytest.raises(openai.APIStatusError, match="no machine called nobody"):
        client.chat.completions.create(model="stranger", messages=HELLO)
    assert acme.counters.executions == before
    assert hub.last_usage("stranger")["cost_nano"] == 0


def test_a_paid_step_is_not_sent_twice_after_a_crash(client: openai.OpenAI, acme: AcmeSimulator) -> None:
    before = acme.counters.requests
    acme.program(problem("the machine fell over", 500))
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="talker", messages=HELLO)
    assert acme.counters.requests == before + 1


def test_a_client_that_leaves_closes_the_upstream(client: openai.OpenAI, hub: Server, acme: AcmeSimulator) -> None:
    before = acme.counters.aborts
    lines = [json_line({"machine": "parrot"}), json_line({"says": "and then"}), Hang()]
    acme.program(Answer(200, lines, JSON_LINES))
    with client.chat.completions.create(model="talker", messages=HELLO, stream=True) as stream:
        assert any(chunk.choices and chunk.choices[0].delta.content for chunk in stream)
    acme.wait_for(lambda counters: counters.aborts == before + 1, within_s=2)
    hub.wait_until(lambda: hub.last_usage("talker")["outcome"] == "client_left", within_s=5)
    assert int(str(hub.last_usage("talker")["cost_nano"])) > 0
