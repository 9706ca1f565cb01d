"""Speech of every provider under every mount, whole and as events, through the running server."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from relayhub.testing import Answer, Wait
from relayhub.types.sniffing import media_type_of
from relayhub_tts.simulator import sound
from tests.support.media_hub import FIXTURES, PER_CHARACTER_NANO, Hub, media_hub

MOUNTS = ("/v1", "/api/relay/v1", "/{platform}/v1")
SHORT_S, PAUSE_S = 0.2, 0.8
TEXT = "Good morning, this is a test."
PROVIDERS = {
    "demo-speech": "demo",
    "gpt-4o-mini-tts": "up",
    "tts-1": "up",
    "qwen3-tts-flash": "qwen-tts",
    "MiniMax/speech-2.8-turbo": "minimax",
    "MiniMax/speech-2.8-hd": "minimax",
}
VOICES = {"qwen-tts": "Cherry", "minimax": "male-qn-qingse"}
USUAL = {"demo": "audio/wav", "up": "audio/mpeg", "qwen-tts": "audio/wav", "minimax": "audio/mpeg"}

every_model = pytest.mark.parametrize("model", PROVIDERS)
every_mount = pytest.mark.parametrize("mount", MOUNTS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("speech")) as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[httpx2.Client]:
    with hub.client() as client:
        yield client


def say(client: httpx2.Client, model: str, mount: str = "/v1", **more: object) -> httpx2.Response:
    provider = PROVIDERS[model]
    body = {"model": model, "input": TEXT, "voice": VOICES.get(provider, "alloy"), **more}
    return client.post(f"{mount.format(platform=provider)}/audio/speech", json=body)


def check_money(hub: Hub, answer: httpx2.Response, model: str) -> None:
    usage = hub.usage_by(answer)
    assert (usage["operation"], usage["model"], usage["provider"]) == ("speech", model, PROVIDERS[model])
    tokens = usage["input_tokens"] * 600 + usage["output_tokens"] * 12_000
    assert usage["cost_nano"] == (tokens if model == "gpt-4o-mini-tts" else len(TEXT) * PER_CHARACTER_NANO) > 0


@every_mount
@every_model
def test_speech(hub: Hub, client: httpx2.Client, mount: str, model: str) -> None:
    answer = say(client, model, mount)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == USUAL[PROVIDERS[model]]
    assert media_type_of(answer.content[:64]) == answer.headers["content-type"], "it is what it is said to be"
    check_money(hub, answer, model)


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line.startswith("data: ")]


@every_mount
@every_model
def test_speech_as_events(hub: Hub, client: httpx2.Client, mount: str, model: str) -> None:
    whole = say(client, model, mount)
    answer = say(client, model, mount, stream_format="sse")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *pieces, last = events(answer)
    assert {piece["type"] for piece in pieces} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(piece["audio"]) for piece in pieces) == whole.content
    assert last["type"] == "speech.audio.done"
    assert ("usage" in last) is (model == "gpt-4o-mini-tts"), "tokens where the upstream counts them"
    check_money(hub, answer, model)


@every_model
def test_bare_samples(client: httpx2.Client, model: str) -> None:
    answer = say(client, model, response_format="pcm")
    assert answer.headers["content-type"].startswith("audio/")
    assert media_type_of(answer.content[:64]) is None


@every_mount
def test_it_is_heard_while_the_upstream_still_speaks(hub: Hub, client: httpx2.Client, mount: str) -> None:
    begins = b"\xff\xfb\x90\x64" + bytes(4096)
    spoken: list[bytes | Wait] = [begins, Wait(SHORT_S), b"goes on", Wait(PAUSE_S), b"the end"]
    hub.upstreams.openai.program(Answer(200, spoken, {"content-type": "audio/mpeg"}))
    body = {"model": "tts-1", "input": TEXT, "voice": "alloy"}
    with client.stream("POST", f"{mount.format(platform='up')}/audio/speech", json=body) as answer:
        pieces = answer.iter_raw()
        heard = next(pieces)
        began_at = time.monotonic()
        heard += b"".join(pieces)
    assert time.monotonic() - began_at > PAUSE_S / 2, "the first of it came before the long pause"
    assert heard == begins + b"goes on" + b"the end"
    check_money(hub, answer, "tts-1")


def test_the_sample_of_the_documents(hub: Hub, client: httpx2.Client) -> None:
    exchange = json.loads((FIXTURES / "s003_speech.json").read_text())
    body = exchange["request"]["body"]
    answer = client.post(exchange["request"]["path"], json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.content == sound(body["input"], "wav")
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in body["input"])
    assert hub.usage_by(answer)["cost_nano"] == (len(body["input"]) + chinese) * PER_CHARACTER_NANO


@pytest.mark.parametrize("model", ["demo-speech", "tts-1", "MiniMax/speech-2.8-hd"])
def test_speed_reaches_the_upstream(hub: Hub, client: httpx2.Client, model: str) -> None:
    answer = say(client, model, speed=1.5)
    assert answer.status_code == 200, answer.text
    if model == "demo-speech":
        assert len(answer.content) < len(say(client, model).content)
    else:
        assert b'"speed":1.5' in hub.upstreams.of(PROVIDERS[model]).requests[-1].body


@pytest.mark.parametrize(
    ("model", "more", "param"),
    [
        ("qwen3-tts-flash", {"speed": 1.5}, "speed"),
        ("qwen3-tts-flash", {"response_format": "mp3"}, "response_format"),
        ("demo-speech", {"response_format": "mp3"}, "response_format"),
        ("demo-speech", {"response_format": "mid"}, "response_format"),
        ("demo-speech", {"speed": 9}, "speed"),
        ("demo-speech", {"stream_format": "smoke"}, "stream_format"),
        ("demo-speech", {"voice": None}, "voice"),
        ("demo-speech", {"input": ""}, "input"),
        *((model, {"sparkle": 1}, "sparkle") for model in PROVIDERS),
    ],
)
def test_what_cannot_be_honoured_is_named(
    hub: Hub, client: httpx2.Client, model: str, more: dict[str, object], param: str
) -> None:
    answer = say(client, model, "/v1", **more)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert hub.server.rows("SELECT * FROM holds") == []


def test_a_model_that_does_not_speak_says_so(client: httpx2.Client) -> None:
    answer = client.post("/v1/audio/speech", json={"model": "demo-video", "input": TEXT, "voice": "alloy"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
