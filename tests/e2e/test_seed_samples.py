"""The relay samples of the published API document run as they stand there: only host, key and model names are ours, the
model names by configuration (aliases)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import Server

SAMPLES = Path(__file__).parent.parent / "fixtures" / "seeds"
NODE = Path(__file__).parent / "node"


def sample(name: str, hub: Server, key: str) -> str:
    text = (SAMPLES / name).read_text().replace("https://your-hub.com", hub.url)
    for placeholder in ("sk_live_xxxxxxxxxxxx", "sk_live_xxxxxx", "sk_live_xxx"):
        text = text.replace(placeholder, key)
    return text


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.curl
@pytest.mark.parametrize(
    ("name", "kind"),
    [("curl_models.sh", "list"), ("curl_chat.sh", "chat.completion"), ("curl_embeddings.sh", "list")],
)
def test_curl_lines(hub: Server, key: str, name: str, kind: str) -> None:
    answer = json.loads(run("sh", "-c", sample(name, hub, key)))
    assert answer["object"] == kind
    assert answer.get("data") or answer["choices"][0]["message"]["content"]


@pytest.mark.curl
def test_the_health_line_needs_no_key(hub: Server) -> None:
    answer = json.loads(run("sh", "-c", sample("curl_health.sh", hub, "")))
    assert answer == {"status": "ok", "checks": {"db": "ok", "redis": "disabled"}}


@pytest.mark.parametrize("name", ["chat_sample.py", "stream_sample.py"])
def test_python_samples(hub: Server, key: str, name: str) -> None:
    assert run(sys.executable, "-c", sample(name, hub, key)).strip()


@pytest.mark.node
def test_the_node_sample(hub: Server, key: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    script = tmp_path / "sample.mjs"
    script.write_text(sample("chat_sample.mjs", hub, key))
    node = shutil.which("node")
    assert node is not None
    assert run(node, str(script), cwd=tmp_path).strip()
