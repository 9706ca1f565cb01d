"""One running hub before stand-ins of every kind of upstream, and a client of every SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache

import pytest

from tests.matrix.clients import CLIENTS, Client
from tests.matrix.endpoints import EMBEDDERS, EMBEDDERS_BEHIND
from tests.matrix.upstreams import BEHIND, PLAIN, THINKERS, Kind
from tests.support.server import Server, running
from tests.support.standins import AnthropicStandIn, GeminiStandIn, OpenAIStandIn
from tests.support.standins.base import KEY, StandIn

CONFIG = """
store: {{path: hub.db}}
server: {{head_wait_s: 5}}
logging: {{level: info, format: json}}
media: {{private_hosts: [127.0.0.1]}}
providers:
  compatible: {{type: openai, base_url: "{openai_url}/v1", api_key: {key}, models: {{{compatible}}}}}
  with-responses:
    {{type: openai, base_url: "{openai_url}/v1", translate_to: responses, api_key: {key}, models: {{{responses}}}}}
  claude: {{type: claude, base_url: "{anthropic_url}", api_key: {key}, models: {{{claude}}}}}
  gemini: {{type: gemini, base_url: "{gemini_url}", api_key: {key}, models: {{{gemini}}}}}
"""
PRICE = '{input: "1", output: "2", cached_input: "0.5", cache_write: "1.5"}'


@pytest.fixture(scope="session")
def standins() -> Iterator[Mapping[Kind, StandIn]]:
    with ExitStack() as stack:
        openai, anthropic, gemini = OpenAIStandIn(), AnthropicStandIn(), GeminiStandIn()
        for standin in (openai, anthropic, gemini):
            stack.enter_context(standin.in_thread())
        yield {Kind.COMPATIBLE: openai, Kind.RESPONSES: openai, Kind.CLAUDE: anthropic, Kind.GEMINI: gemini}


@pytest.fixture(scope="session")
def hub(standins: Mapping[Kind, StandIn], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = CONFIG.format(
        key=KEY,
        openai_url=standins[Kind.COMPATIBLE].url,
        anthropic_url=standins[Kind.CLAUDE].url,
        gemini_url=standins[Kind.GEMINI].url,
        **{kind.name.lower(): ", ".join(_entries(kind)) for kind in Kind},
    )
    with running(tmp_path_factory.mktemp("matrix"), config) as server:
        yield server


def _entries(kind: Kind) -> Iterator[str]:
    for name in dict.fromkeys((PLAIN[kind], *THINKERS[kind])):
        yield f"{name}: {{upstream: {BEHIND[name]}, price: {PRICE}}}"
    if kind in EMBEDDERS:
        yield f"{EMBEDDERS[kind]}: {{upstream: {EMBEDDERS_BEHIND[kind]}, operations: [embeddings], price: {PRICE}}}"


@pytest.fixture(scope="session")
def hub_key(hub: Server, standins: Mapping[Kind, StandIn]) -> str:
    return _new_key(hub, standins, "matrix")


@pytest.fixture(scope="session")
def strangers_key(hub: Server, standins: Mapping[Kind, StandIn]) -> str:
    """Of another account, which sees nothing that is kept for the first."""
    hub.cli("accounts", "create", "stranger", "--unlimited")
    return _new_key(hub, standins, "stranger", "--account", "stranger")


def _new_key(hub: Server, standins: Mapping[Kind, StandIn], name: str, *options: str) -> str:
    """No upstream may ever see it."""
    key = hub.new_key(name, *options)
    for standin in standins.values():
        standin.forbid(key)
    return key


@pytest.fixture(scope="session")
def client_of(hub: Server, hub_key: str) -> Iterator[Callable[[str], Client]]:
    """The client of a name, made once."""
    with _clients(hub, hub_key) as client:
        yield client


@pytest.fixture(scope="session")
def stranger_of(hub: Server, strangers_key: str) -> Iterator[Callable[[str], Client]]:
    """The same with another key."""
    with _clients(hub, strangers_key) as client:
        yield client


@contextmanager
def _clients(hub: Server, key: str) -> Iterator[Callable[[str], Client]]:
    with ExitStack() as stack:

        @cache
        def client(name: str) -> Client:
            made = CLIENTS[name](hub.url, key)
            stack.callback(made.close)
            return made

        yield client
