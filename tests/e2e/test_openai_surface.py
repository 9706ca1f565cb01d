"""Text completions, moderations, rankings and transcriptions through the running server, with the official SDK."""

from __future__ import annotations

import contextlib
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from relayhub.testing.upstream import Answer, Recorded, UpstreamSimulator
from tests.support.server import Server, running

UPSTREAM_KEY = "test-upstream-key"

CONFIG = """
store: {{path: hub.db}}
logging: {{format: json}}
server: {{upload_limit: 4MiB}}
providers:
  up:
    type: openai
    base_url: {url}/v1
    api_key: {key}
    models:
      instruct: {{upstream: up-instruct, operations: [completions], price: {{input: "1", output: "2"}}}}
      guard: {{upstream: up-guard, operations: [moderations], price: {{call: "0.001"}}}}
      ranker: {{upstream: up-ranker, operations: [rerank], price: {{input: "1"}}}}
      ears: {{upstream: up-ears, operations: [transcription, translation], price: {{input: "1", output: "2"}}}}
  demo:
    models:
      demo-chat: {{price: {{input: "0.10", output: "0.40"}}}}
"""

COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1790000000,
    "model": "up-instruct",
    "choices": [{"text": " world", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
}
MODERATION = {
    "id": "modr-1",
    "model": "up-guard",
    "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}],
}
RANKING = {
    "model": "up-ranker",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "usage": {"total_tokens": 30},
}
SAID = {
    "text": "good morning",
    "usage": {"type": "tokens", "input_tokens": 40, "output_tokens": 3, "total_tokens": 43},
}
SPOKEN_EVENTS = (
    {"type": "transcript.text.delta", "delta": "good "},
    {"type": "transcript.text.delta", "delta": "morning"},
    {"type": "transcript.text.done", **SAID},
)


class Upstream(UpstreamSimulator):
    """As strict as the real one about paths, keys, models and forms."""

    def answer(self, request: Recorded) -> Answer:
        assert request.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
        match request.path:
            case "/v1/completions":
                return self._completion(request)
            case "/v1/moderations":
                assert request.json()["model"] == "up-guard"
                return Answer.json(MODERATION)
            case "/v1/rerank":
                assert request.json()["model"] == "up-ranker"
                return Answer.json(RANKING)
            case "/v1/audio/transcriptions" | "/v1/audio/translations":
                return self._heard(request)
        return Answer.json({"error": {"message": "no such path", "type": "invalid_request_error"}}, 404)

    def _completion(self, request: Recorded) -> Answer:
        asked = request.json()
        assert asked["model"] == "up-instruct"
        if not asked.get("stream"):
            return Answer.json(COMPLETION)
        assert asked["stream_options"] == {"include_usage": True}, "the hub needs the usage"
        piece = {**COMPLETION, "usage": None}
        last = {**COMPLETION, "choices": []}
        return sse(json.dumps(piece), json.dumps(last), "[DONE]")

    def _heard(self, request: Recorded) -> Answer:
        assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert b"up-ears" in request.body
        assert b"\r\n\r\nears\r\n" not in request.body, "the public name stays here"
        assert recording() in request.body
        if b'name="stream"' in request.body:
            return sse(*map(json.dumps, SPOKEN_EVENTS))
        if b"\r\n\r\nsrt\r\n" in request.body:
            return Answer(200, b"1\n00:00:00,000 --> 00:00:01,000\ngood morning\n", {"content-type": "text/plain"})
        return Answer.json(SAID)


def sse(*data: str) -> Answer:
    chunks = [f"data: {text}\n\n".encode() for text in data]
    return Answer(200, chunks, {"content-type": "text/event-stream"})


def recording() -> bytes:
    """A second of silence."""
    out = io.BytesIO()
    with contextlib.closing(wave.open(out, "wb")) as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(32000))
    return out.getvalue()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream(forbidden=["sk_live_"])
    with upstream.in_thread():
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("surface"), CONFIG.format(url=upstream.url, key=UPSTREAM_KEY)) as server:
        yield server


@pytest.fixture(scope="module")
def api_key(server: Server) -> str:
    return server.new_key("surface")


@pytest.fixture
def sdk(server: Server, api_key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=api_key, max_retries=0) as client:
        yield client


def charged(server: Server, model: str) -> tuple[object, ...]:
    row = server.last_usage(model)
    return row["operation"], row["input_tokens"], row["output_tokens"], row["cost_nano"], row["measured"]


def test_a_text_completion(server: Server, sdk: openai.OpenAI) -> None:
    answer = sdk.completions.create(model="instruct", prompt="hello", max_tokens=9)
    assert (answer.choices[0].text, answer.model) == (" world", "instruct")
    assert charged(server, "instruct") == ("completions", 5, 7, 5 * 1000 + 7 * 2000, 1)


def test_a_streamed_text_completion_hides_the_usage_that_the_hub_needs(server: Server, sdk: openai.OpenAI) -> None:
    chunks = list(sdk.completions.create(model="instruct", prompt="hello", stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == [" world"]
    assert {chunk.model for chunk in chunks} == {"instruct"}
    assert charged(server, "instruct") == ("completions", 5, 7, 19000, 1)


def test_a_moderation(server: Server, sdk: openai.OpenAI) -> None:
    answer = sdk.moderations.create(model="guard", input="some text")
    assert (answer.results[0].flagged, answer.model) == (True, "guard")
    assert server.last_usage("guard")["cost_nano"] == 1_000_000


def test_a_ranking(server: Server, api_key: str) -> None:
    body = {"model": "ranker", "query": "tea", "documents": ["coffee", "green tea"]}
    answer = httpx2.post(f"{server.url}/v1/rerank", json=body, headers={"authorization": f"Bearer {api_key}"})
    assert answer.status_code == 200
    assert answer.json() == {**RANKING, "model": "ranker"}
    assert charged(server, "ranker") == ("rerank", 30, 0, 30_000, 1)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's word for translations
@pytest.mark.parametrize("operation", ["transcriptions", "translations"])
def test_a_recording_is_heard(server: Server, sdk: openai.OpenAI, operation: str) -> None:
    asked = getattr(sdk.audio, operation)
    answer = asked.create(model="ears", file=("speech.wav", recording()))
    assert answer.text == "good morning"
    assert charged(server, "ears") == (operation.removesuffix("s"), 40, 3, 46_000, 1)


def test_a_transcription_as_subtitles(sdk: openai.OpenAI) -> None:
    said = sdk.audio.transcriptions.create(model="ears", file=("speech.wav", recording()), response_format="srt")
    assert "00:00:00,000 --> 00:00:01,000" in said


def test_a_streamed_transcription(server: Server, sdk: openai.OpenAI) -> None:
    events = list(sdk.audio.transcriptions.create(model="ears", file=("speech.wav", recording()), stream=True))
    assert [event.type for event in events] == [event["type"] for event in SPOKEN_EVENTS]
    assert charged(server, "ears")[1:] == (40, 3, 46_000, 1)


def test_a_recording_over_the_limit_is_refused(sdk: openai.OpenAI, upstream: Upstream) -> None:
    before = upstream.counters.requests
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.audio.transcriptions.create(model="ears", file=("speech.wav", bytes(5 << 20)))
    assert refused.value.status_code == 413
    assert upstream.counters.requests == before


def test_a_model_that_does_not_serve_the_endpoint_is_a_404_that_says_so(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="demo-chat"):
        sdk.completions.create(model="demo-chat", prompt="hello")
    with pytest.raises(openai.NotFoundError, match="instruct"):
        sdk.audio.transcriptions.create(model="instruct", file=("speech.wav", recording()))


def test_the_upstreams_failure_is_told_and_costs_nothing(
    server: Server, sdk: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.program(Answer.json({"error": {"message": "out of order"}}, 500))
    with pytest.raises(openai.APIStatusError) as failed:
        sdk.moderations.create(model="guard", input="some text")
    assert failed.value.status_code == 502
    row = server.last_usage("guard")
    assert (row["outcome"], row["cost_nano"]) == ("upstream_error", 0)


@pytest.mark.parametrize("mount", ["/api/relay/v1", "/up/v1"])
def test_every_mount_has_it(server: Server, api_key: str, mount: str) -> None:
    with openai.OpenAI(base_url=f"{server.url}{mount}", api_key=api_key, max_retries=0) as client:
        assert client.completions.create(model="instruct", prompt="hello").choices[0].text == " world"


def test_the_upload_folder_is_left_empty(tmp_path: Path, upstream: Upstream) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    config = CONFIG.format(url=upstream.url, key=UPSTREAM_KEY).replace(
        "upload_limit: 4MiB", "upload_limit: 4MiB, upload_dir: uploads"
    )
    with running(tmp_path, config) as server:
        key = server.new_key("uploads")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
            client.audio.transcriptions.create(model="ears", file=("speech.wav", recording()))
        assert list(folder.iterdir()) == []
