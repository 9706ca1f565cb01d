"""The samples of the published API documents run as they stand there: only host, key and what is marked as a placeholder are
ours (and the line breaks that one document has lost); the models are there by configuration (aliases)."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, running

SAMPLES = Path(__file__).parent.parent / "fixtures" / "seeds"
NODE = Path(__file__).parent / "node"

CONFIG = """
store: {path: hub.db}
providers:
  demo:
    models:
      demo-chat:
        free: true
        aliases: [gpt-4, gpt-5.4, deepseek-chat, claude-sonnet-4-6, gemini-3.5-flash]
      demo-embedding: {free: true, operations: [embeddings], aliases: [text-embedding-3-small]}
"""
KEYS = ("sk_live_xxxxxxxxxxxx", "sk_live_xxxxxx", "sk_live_xxx", "sk-relay-your-key", "<YOUR_API_KEY>", "<你的许可证>")
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()
PDF = base64.b64encode(b"%PDF-1.7\nsample").decode()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("seeds"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def seed_key(seeds: Server) -> str:
    return seeds.new_key("seeds")


def sample(name: str, hub: Server, key: str, **placeholders: str) -> str:
    text = (SAMPLES / name).read_text()
    for host in ("https://your-hub.com", "https://api.example.com", "http://localhost"):
        text = text.replace(host, hub.url)
    for relative in ('base_url="', "baseURL: '", "curl "):
        text = text.replace(f"{relative}/v1", f"{relative}{hub.url}/v1")
    for placeholder in KEYS:
        text = text.replace(placeholder, key)
    for placeholder, value in {"{platform}": "demo", "<平台模型>": "demo-chat", **placeholders}.items():
        text = text.replace(placeholder, value)
    return text


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(name: str, hub: Server, key: str, **placeholders: str) -> Any:
    return json.loads(run("sh", "-c", sample(name, hub, key, **placeholders)))


@pytest.mark.curl
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("001_curl_models.sh", "list"),
        ("001_curl_chat.sh", "chat.completion"),
        ("001_curl_embeddings.sh", "list"),
        ("002_curl_chat.sh", "chat.completion"),
        ("003_curl_chat.sh", "chat.completion"),
        ("004_curl_chat_1.sh", "chat.completion"),
        ("004_curl_chat_5.sh", "chat.completion"),
    ],
)
def test_curl_lines(seeds: Server, seed_key: str, name: str, kind: str) -> None:
    answer = curl(name, seeds, seed_key)
    assert answer["object"] == kind
    assert answer.get("data") or answer["choices"][0]["message"]["content"]


@pytest.mark.curl
def test_the_health_line_needs_no_key(seeds: Server) -> None:
    answer = curl("001_curl_health.sh", seeds, "")
    assert answer == {"status": "ok", "checks": {"db": "ok", "redis": "disabled"}}


@pytest.mark.curl
def test_the_connectivity_line_says_success(seeds: Server, seed_key: str) -> None:
    answer = curl("003_curl_models.sh", seeds, seed_key)
    assert answer["success"] is True
    assert [model["id"] for model in answer["data"]]


@pytest.mark.curl
def test_the_claude_line_is_answered_in_its_own_shape(seeds: Server, seed_key: str) -> None:
    answer = curl("003_curl_messages.sh", seeds, seed_key)
    assert (answer["type"], answer["model"]) == ("message", "demo-chat"), "an alias stands for the public name"
    assert answer["content"][0]["text"]


@pytest.mark.curl
def test_the_gemini_line_is_answered_in_its_own_shape(seeds: Server, seed_key: str) -> None:
    answer = curl("003_curl_generate.sh", seeds, seed_key)
    assert answer["candidates"][0]["content"]["parts"][0]["text"]


@pytest.mark.curl
@pytest.mark.parametrize("image", ["https://example.com/a.png", f"data:image/png;base64,{PNG}", PNG])
def test_the_platform_line_with_an_image(seeds: Server, seed_key: str, image: str) -> None:
    assert curl("004_curl_chat_2.sh", seeds, seed_key, 图片的URL或者base64=image)["choices"]


@pytest.mark.curl
@pytest.mark.parametrize("file", ["https://example.com/a.pdf", f"data:application/pdf;base64,{PDF}", PDF])
def test_the_platform_line_with_a_file(seeds: Server, seed_key: str, file: str) -> None:
    assert curl("004_curl_chat_3.sh", seeds, seed_key, 文件的URL或者base64=file)["choices"]


@pytest.mark.curl
def test_the_platform_line_that_streams(seeds: Server, seed_key: str) -> None:
    assert run("sh", "-c", sample("004_curl_chat_4.sh", seeds, seed_key)).endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    "name",
    [
        "001_chat_sample.py",
        "001_stream_sample.py",
        "002_chat.py",
        "002_stream.py",
        "003_chat.py",
        "003_messages.py",
        "003_generate.py",
    ],
)
def test_python_samples(seeds: Server, seed_key: str, name: str) -> None:
    assert run(sys.executable, "-c", sample(name, seeds, seed_key)).strip()


@pytest.mark.node
@pytest.mark.parametrize("name", ["001_chat_sample.mjs", "002_chat.mjs"])
def test_node_samples(seeds: Server, seed_key: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    script = tmp_path / "sample.mjs"
    script.write_text(sample(name, seeds, seed_key))
    node = shutil.which("node")
    assert node is not None
    assert run(node, str(script), cwd=tmp_path).strip()
