"""Alibaba's own SDK against the stand-in for qwen-tts: what it takes for DashScope is what the plugin is tested with.

The SDK is not among this project's dependencies: ``scripts/vendor-sdks`` puts it beside them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from relayhub.testing import FakeClock, Fault, JobStep
from relayhub_tts.simulated_qwen import QwenSimulator
from relayhub_tts.simulator import sound

pytestmark = [
    pytest.mark.vendor_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODEL = "qwen3-tts-flash"
TEXT = "你好,这是一个测试。"


@pytest.fixture
def upstream() -> Iterator[QwenSimulator]:
    simulator = QwenSimulator(clock=FakeClock())
    with simulator.in_thread():
        yield simulator


@pytest.fixture
def address(upstream: QwenSimulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import dashscope
    from dashscope.api_entities.http_request import close_shared_sync_session

    monkeypatch.setattr(dashscope, "base_http_api_url", f"{upstream.url}/api/v1")
    yield
    close_shared_sync_session()


def synthesized(**more: Any) -> Any:
    from dashscope.audio.qwen_tts import SpeechSynthesizer

    return SpeechSynthesizer.call(**{"model": MODEL, "text": TEXT, "voice": "Cherry", "api_key": "tts-key", **more})


@pytest.mark.usefixtures("address")
def test_a_whole_clip(upstream: QwenSimulator) -> None:
    answer = synthesized()
    assert (answer.status_code, answer.usage.characters) == (200, 18)
    assert answer.output.audio["url"].startswith(upstream.url)
    assert upstream.counters.executions == 1


@pytest.mark.usefixtures("address")
def test_a_stream(upstream: QwenSimulator) -> None:
    parts = list(synthesized(stream=True))
    audio = b"".join(base64.b64decode(part.output.audio["data"]) for part in parts)
    assert audio == sound(TEXT, "pcm")
    assert parts[-1].output.finish_reason == "stop"
    assert upstream.characters == 18


@pytest.mark.usefixtures("address")
def test_the_multimodal_call_names_the_language_too(upstream: QwenSimulator) -> None:
    from dashscope import MultiModalConversation

    answer = MultiModalConversation.call(
        model=MODEL, text=TEXT, voice="Cherry", language_type="Chinese", api_key="tts-key"
    )
    assert answer.status_code == 200
    assert answer.output.audio.url.startswith(upstream.url)
    assert upstream.requests[0].json()["input"] == {"text": TEXT, "voice": "Cherry", "language_type": "Chinese"}


@pytest.mark.usefixtures("address")
def test_refusals_are_the_sdks_own(upstream: QwenSimulator) -> None:
    refused = synthesized(voice="Nobody")
    assert (refused.status_code, refused.code) == (400, "InvalidParameter")
    upstream.inject(Fault(429, step=JobStep.PAY), Fault(500, step=JobStep.PAY))
    assert [(again.status_code, again.code) for again in (synthesized(), synthesized())] == [
        (429, "Throttling.RateQuota"),
        (500, "InternalError"),
    ]
    assert upstream.counters.executions == 0


@pytest.mark.usefixtures("address")
def test_an_error_within_a_stream(upstream: QwenSimulator) -> None:
    upstream.break_off("InternalError")
    parts = list(synthesized(stream=True))
    assert parts[-1].code == "InternalError"
