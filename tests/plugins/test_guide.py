"""Every sample of the plugin guide runs. What needs a running hub is in the end-to-end suite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from relayhub import sdk

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "plugins.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)
PIP_OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
ONLY_PYTEST = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:aiohttp")
"""An author need not have this project's pytest plugins."""

RUN_HERE = ("class TestEcho", "class EchoSimulator", "[project.entry-points.relayhub]", "class EchoWire")
RUN_BY_THE_END_TO_END_SUITE = ("dirs: [plugins]", "def relayhub_order_routes", "class ParrotCodec")


def block(containing: str) -> str:
    return next(text for _, text in BLOCKS if containing in text)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What an author has after following the guide."""
    (tmp_path / "relayhub_echo.py").write_text(block("class EchoWire"))
    (tmp_path / "pyproject.toml").write_text(block("[project.entry-points.relayhub]"))
    return tmp_path


def python(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_sample_is_run_by_a_test() -> None:
    forgotten = [text for _, text in BLOCKS if not any(mark in text for mark in RUN_HERE + RUN_BY_THE_END_TO_END_SUITE)]
    assert forgotten == []


@pytest.mark.parametrize("sample", ["class TestEcho", "class EchoSimulator"])
def test_the_samples_of_tests_pass(package: Path, sample: str) -> None:
    (package / "test_sample.py").write_text(block(sample))
    out = python("-m", "pytest", "-q", *ONLY_PYTEST, "-W", "error", "test_sample.py", folder=package)
    assert " passed" in out


def test_the_published_package_is_found(package: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    site, home = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("home")
    python("-m", "pip", "install", *PIP_OFFLINE, "--target", str(site), str(package), folder=home)
    look = f"""
import sys
sys.path.insert(0, {str(site)!r})
from relayhub.plugins.host import PluginHost
host = PluginHost.load()
print([(plugin.name, plugin.version, plugin.source.value) for plugin in host.plugins][-1], sorted(host.provider_types))
"""
    types = "['claude', 'demo', 'echo', 'gemini', 'happyhorse', 'kling', 'openai', 'seedance', 'tts']"
    assert python("-c", look, folder=home) == f"('echo', '1.0.0', 'entry point') {types}\n"


def test_every_helper_of_the_sdk_is_in_the_guide() -> None:
    helpers = [name for name in sdk.__all__ if name.islower()] + ["LineSplitter", "SseReader", "OpenAIChat"]
    assert [name for name in helpers if f"`{name}" not in GUIDE and f"@{name}`" not in GUIDE] == []
