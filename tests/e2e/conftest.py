"""One running hub for the tests that only read from it; those that break things start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support.server import Server, running

CONFIG = """
server:
  head_wait_s: 5
logging: {level: info, format: json}
providers:
  demo:
    models:
      demo-chat: {price: {input: "0.10", output: "0.40"}, aliases: [gpt-4]}
      demo-embedding: {price: {input: "0.02"}, operations: [embeddings], aliases: [text-embedding-3-small]}
      renamed: {upstream: demo-chat, price: {input: "0.10", output: "0.40"}}
      demo-fail-429: {price: {call: "0.01"}}
      demo-fail-503: {price: {call: "0.01"}}
      demo-cut-stream: {price: {input: "0.10", output: "0.40"}}
      hidden: {upstream: demo-chat, price: {input: "0.10"}, public: false}
"""


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hub"), "store: {path: hub.db}\n" + CONFIG) as server:
        yield server


@pytest.fixture(scope="session")
def key(hub: Server) -> str:
    return hub.new_key("suite")


@pytest.fixture
def client(hub: Server, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A working folder for a server of the test's own."""
    return tmp_path
