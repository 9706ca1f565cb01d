"""The plugin guide's own plugin: its suites pass, and the hub serves it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.support.raw_upstream import http
from tests.support.server import environment, running
from tests.support.threaded_upstream import threaded_upstream

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text()


def block(language: str, containing: str) -> str:
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if containing in b)


@pytest.fixture
def plugin(home: Path) -> Path:
    folder = home / "plugins"
    folder.mkdir()
    (folder / "relayhub_echo.py").write_text(block("python", "class EchoWire"))
    return folder


def test_its_suites_pass(plugin: Path, home: Path) -> None:
    (plugin / "test_echo.py").write_text(block("python", "class TestEcho"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_echo.py"],
        cwd=plugin,
        env={**environment(home), "PYTHONPATH": str(plugin), "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_hub_serves_it(plugin: Path, home: Path) -> None:
    config = block("yaml", "echo-1").replace("api_key:", "base_url: ${ECHO_URL}\n    api_key:")
    with threaded_upstream() as upstream:
        upstream.answers["echo-1"] = http(b'{"text": "Hel"}\n{"text": "lo."}\n{"in": 3, "out": 5}\n')
        env = {"ECHO_API_KEY": "k", "ECHO_URL": upstream.url.removesuffix("/v1")}
        with running(home, config + "store: {path: hub.db}\n", env=env) as server:
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.new_key("k")) as client:
                stream = client.chat.completions.create(
                    model="echo-1", messages=[{"role": "user", "content": "Hello."}], stream=True
                )
                assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello."
            listed = server.cli_json("plugins", "list")
    assert isinstance(listed, dict)
    assert "relayhub_echo" in [plugin["name"] for plugin in listed["plugins"]]
