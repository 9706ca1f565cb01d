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

from tests.support.media_hub import Hub, media_hub
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
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("media")) as hub:
        yield hub


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


# --- media --------------------------------------------------------------------------------------------------------------

DESCRIBED = {"<图片描述>": "A fox", "<视频描述>": "A fox runs", "<视频编辑提示词>": "Make it snow"}
LINK = "https://example.com/a.png"
VIDEO_MODELS = {"demo": "demo-video", "kling": "kling-v3-omni"}
IMAGE_MODELS = {"demo": "demo-image", "kling": "kling-v2-1"}

every_platform = pytest.mark.parametrize("platform", ["demo", "kling"])


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, str]:
    """The files that the samples send."""
    for number in (1, 2):
        (tmp_path / f"example{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes([number]) * 64)
    return {"/path/to": str(tmp_path)}


@pytest.fixture(scope="module")
def finished(media: Hub) -> dict[str, str]:
    """A finished video of each platform."""
    with media.client() as client:
        answers = {
            platform: client.post(f"/{platform}/v1/videos", json={"model": model, "prompt": "A fox"})
            for platform, model in VIDEO_MODELS.items()
        }
    ids = {platform: str(answer.json()["id"]) for platform, answer in answers.items()}
    assert {media.ended(id_)["state"] for id_ in ids.values()} == {"succeeded"}
    return ids


def ask(media: Hub, name: str, **placeholders: str) -> Any:
    return curl(name, media.server, media.key, **placeholders)


def of_platform(media: Hub, name: str, platform: str, model: str, **placeholders: str) -> Any:
    given = {"{platform}": platform, "<平台模型>": model, **DESCRIBED, **placeholders}
    return ask(media, name, **given)


@pytest.mark.curl
def test_a_video_is_submitted_asked_for_and_had(media: Hub) -> None:
    submitted = ask(media, "000_curl_submit.sh")
    assert submitted.keys() == {"success", "data"}
    job_id = submitted["data"]["jobId"]
    assert media.ended(job_id)["user_identifier"] == "u1"
    told = ask(media, "000_curl_status.sh", job_abc123=job_id)
    assert (told["success"], told["data"]["status"], told["data"]["progress"]) == (True, "succeeded", 100)
    assert media.open_link(told["data"]["resultUrl"]).headers["content-type"] == "video/mp4"


@pytest.mark.curl
def test_an_image_by_a_retired_name(media: Hub) -> None:
    (image,) = ask(media, "000_curl_image.sh")["data"]
    assert media.open_link(image["url"]).headers["content-type"] == "image/png"


@pytest.mark.curl
@pytest.mark.parametrize("kind", ["t2v", "i2v", "r2v", "edit"])
def test_a_happyhorse_video(media: Hub, kind: str) -> None:
    created = ask(media, f"003_curl_video_{kind}.sh")
    assert (created["status"], created["id"]) == ("queued", created["task_id"])
    assert media.ended(created["id"])["state"] == "succeeded"
    told = ask(media, "003_curl_video_get.sh", **{"<task_id>": created["id"]})
    assert (told["status"], told["progress"], told["error"]) == ("completed", 100, None)
    assert media.open_link(told["metadata"]["url"]).headers["content-type"] == "video/mp4"


@pytest.mark.curl
def test_a_seedance_video(media: Hub) -> None:
    created = ask(media, "003_curl_generation.sh")
    assert created == {"id": created["id"], "task_id": created["id"], "status": "queued"}
    assert media.ended(created["id"])["state"] == "succeeded"
    told = ask(media, "003_curl_generation_get.sh", **{"<task_id>": created["id"]})["data"]
    assert (told["status"], told["progress"]) == ("SUCCESS", "100%")
    assert media.open_link(told["result_url"]).headers["content-type"] == "video/mp4"


@pytest.mark.curl
def test_speech_is_saved_as_a_file(media: Hub, tmp_path: Path) -> None:
    run("sh", "-c", sample("003_curl_speech.sh", media.server, media.key), cwd=tmp_path)
    assert (tmp_path / "speech.wav").read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize(
    ("name", "file", "head"), [("speech", "speech.wav", b"RIFF"), ("image", "output.png", b"\x89PNG")]
)
def test_python_samples_of_media(media: Hub, tmp_path: Path, name: str, file: str, head: bytes) -> None:
    run(sys.executable, "-c", sample(f"003_{name}.py", media.server, media.key), cwd=tmp_path)
    assert (tmp_path / file).read_bytes().startswith(head)


@pytest.mark.curl
@every_platform
@pytest.mark.parametrize("name", ["images_1", "images_2", "edits_1", "edits_2"])
def test_platform_images(media: Hub, pictures: dict[str, str], platform: str, name: str) -> None:
    given = {"<图片URL或者base64>": PNG, **pictures}
    answer = of_platform(media, f"004_curl_{name}.sh", platform, IMAGE_MODELS[platform], **given)
    assert answer["data"][0]["b64_json"].startswith("data:image/png;base64,")


@pytest.mark.curl
@every_platform
@pytest.mark.parametrize("name", ["images_3", "edits_3"])
def test_platform_images_that_come_later(media: Hub, platform: str, name: str) -> None:
    given = {"<图片URL或者base64>": PNG}
    answer = of_platform(media, f"004_curl_{name}.sh", platform, IMAGE_MODELS[platform], **given)
    assert (answer["object"], answer["status"]) == ("image", "queued")
    assert media.ended(answer["id"])["state"] == "succeeded"


@pytest.mark.curl
@every_platform
@pytest.mark.parametrize("name", ["videos_1", "videos_2"])
@pytest.mark.parametrize("reference", [LINK, PNG])
def test_platform_videos(media: Hub, pictures: dict[str, str], platform: str, name: str, reference: str) -> None:
    given = {"<输入参考的URL或者base64>": reference, **pictures}
    answer = of_platform(media, f"004_curl_{name}.sh", platform, VIDEO_MODELS[platform], **given)
    assert (answer["object"], answer["status"], answer["model"]) == ("video", "queued", VIDEO_MODELS[platform])


@pytest.mark.curl
@every_platform
def test_a_platform_video_is_remixed(
    media: Hub, finished: dict[str, str], pictures: dict[str, str], platform: str
) -> None:
    given = {"{task_id}": finished[platform], **pictures}
    answer = of_platform(media, "004_curl_remix_2.sh", platform, VIDEO_MODELS[platform], **given)
    assert (answer["object"], answer["remixed_from_video_id"]) == ("video", finished[platform])


@pytest.mark.curl
@every_platform
def test_the_remix_line_that_lacks_a_comma_is_told_so(media: Hub, finished: dict[str, str], platform: str) -> None:
    given = {"{task_id}": finished[platform], "<输入参考的URL或者base64>": LINK}
    answer = of_platform(media, "004_curl_remix_1.sh", platform, VIDEO_MODELS[platform], **given)
    assert (answer["error"]["type"], answer["error"]["code"]) == ("invalid_request_error", "invalid_json")
