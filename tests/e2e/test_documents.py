"""What the documents show works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import cli, environment, running

ROOT = Path(__file__).parent.parent.parent
READMES = ("README.md", "README.zh-CN.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("name", READMES)
def test_the_readme_opens_with_the_two_commands(name: str) -> None:
    first = blocks(name, "sh")[0].splitlines()
    assert [line.split()[0] for line in first] == ["scripts/serve", "scripts/test"]
    for line in first:
        assert os.access(ROOT / line.split()[0], os.X_OK)
    assert (ROOT / name).read_text().startswith("# relayhub\n\n```sh\nscripts/serve")


@pytest.mark.curl
@pytest.mark.parametrize("name", READMES)
def test_the_demo_samples_of_the_readme_run(name: str, home: Path) -> None:
    with running(home, None) as server:
        key = next(line.split()[-1] for line in server.greeting if "API key:" in line)
        shell = {**server.env, "RELAYHUB_KEY": key}
        curls = [block for block in blocks(name, "sh") if block.startswith("curl")]
        commands = [
            *(["sh", "-c", curl] for curl in curls),
            *([sys.executable, "-c", python] for python in blocks(name, "python")),
        ]
        for command in commands:
            command[-1] = command[-1].replace("http://127.0.0.1:8080", server.url)
            done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=60, check=True)
            wanted = ('"status":"queued"',) if "/v1/videos" in command[-1] else ("demo model", "演示模型")
            assert any(words in done.stdout for words in wanted), done.stdout


@pytest.mark.curl
def test_the_curl_line_that_demo_mode_prints_runs_as_it_is(home: Path) -> None:
    with running(home, None) as server:
        text = "\n".join(server.greeting)
        line = text[text.index("  curl ") : text.index("Your own providers")]
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert "This is the demo model" in done.stdout


@pytest.mark.parametrize("name", READMES)
def test_the_provider_of_the_readme_is_valid(name: str, home: Path) -> None:
    (home / "relayhub.yaml").write_text(blocks(name, "yaml")[0])
    assert "ok" in cli(home, "validate", env=environment(home, {"DEEPSEEK_API_KEY": "sk-test"}))


@pytest.mark.parametrize("name", READMES)
def test_the_steps_of_the_readme_work_in_order(name: str, home: Path) -> None:
    steps = next(block for block in blocks(name, "sh") if "relayhub init" in block)
    commands = [line.partition("#")[0].split() for line in steps.splitlines()]
    env = environment(home, {f"{vendor}_API_KEY": "sk-test" for vendor in ("OPENAI", "DEEPSEEK", "MOONSHOT", "ZHIPU")})
    env |= dict.fromkeys(re.findall(r"\$\{([A-Z_]+)", (ROOT / "config.example.yaml").read_text()), "sk-test")
    for command in commands:
        if command[:1] == ["relayhub"] and command[1] != "serve":
            cli(home, *command[1:], env=env)
    with running(home, (home / "relayhub.yaml").read_text(), env=env) as server:
        assert server.greeting
