"""Alibaba's own SDK against the stand-in for DashScope: what it takes for DashScope is what the plugin is tested with.

The SDK is not among this project's dependencies: ``scripts/vendor-sdks`` puts it beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest

from relayhub.testing import FakeClock, Fate, Fault, JobStep
from relayhub_happyhorse.simulator import DashScopeSimulator

pytestmark = [
    pytest.mark.vendor_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

KEY = "sk-dashscope"
TEXT, FRAME, REFS, EDIT = (f"happyhorse-1.0-{kind}" for kind in ("t2v", "i2v", "r2v", "video-edit"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def upstream(clock: FakeClock) -> Iterator[DashScopeSimulator]:
    simulator = DashScopeSimulator(clock=clock, workspaces=("ws-1",))
    with simulator.in_thread():
        yield simulator


@pytest.fixture
def sdk(upstream: DashScopeSimulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    import dashscope

    monkeypatch.setattr(dashscope, "base_http_api_url", f"{upstream.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", KEY)
    return dashscope


def media(*types: str) -> list[dict[str, str]]:
    return [{"type": kind, "url": f"https://media.example.com/in/{number}"} for number, kind in enumerate(types)]


SEEDED = {"resolution": "720P", "watermark": False}
VIDEOS: dict[str, tuple[dict[str, Any], float]] = {
    TEXT: ({"ratio": "16:9", "duration": 5, **SEEDED}, 5),
    FRAME: ({"media": media("first_frame"), "duration": 5, **SEEDED}, 5),
    REFS: ({"media": media("reference_image", "reference_image"), "duration": 3, **SEEDED}, 3),
    EDIT: ({"media": media("video"), "audio_setting": "origin", **SEEDED}, 13.24),
}


@pytest.mark.parametrize("model", VIDEOS)
def test_a_video_from_its_creation_to_its_result(
    sdk: Any, upstream: DashScopeSimulator, clock: FakeClock, model: str
) -> None:
    asked, billed = VIDEOS[model]
    created = sdk.VideoSynthesis.async_call(model=model, prompt="A fox", **asked)
    assert created.status_code == HTTPStatus.OK, created.message
    states = []
    for _ in range(3):
        task = sdk.VideoSynthesis.fetch(created)
        states.append(task.output.task_status)
        clock.advance(20)
    assert states == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert task.output.video_url.startswith(upstream.url)
    assert task.usage["duration"] == billed
    assert upstream.counters.executions == 1


def test_waiting_ends_with_the_task(sdk: Any, upstream: DashScopeSimulator, clock: FakeClock) -> None:
    upstream.foretell(Fate(failure=("DataInspectionFailed", "It may be inappropriate.")))
    created = sdk.VideoSynthesis.async_call(model=TEXT, prompt="A fox")
    clock.advance(60)
    task = sdk.VideoSynthesis.wait(created)
    assert (task.output.task_status, task.output.code) == ("FAILED", "DataInspectionFailed")
    assert sdk.VideoSynthesis.wait("no-such-task").output.task_status == "UNKNOWN"


def test_listing_and_cancelling(sdk: Any, clock: FakeClock) -> None:
    first = sdk.VideoSynthesis.async_call(model=TEXT, prompt="A fox")
    second = sdk.VideoSynthesis.async_call(model=FRAME, prompt="A fox", media=media("first_frame"))
    listed = sdk.VideoSynthesis.list(model_name=FRAME)
    assert [task["task_id"] for task in listed.output["data"]] == [second.output.task_id]
    assert sdk.VideoSynthesis.cancel(first).status_code == HTTPStatus.OK
    assert sdk.VideoSynthesis.fetch(first).output.task_status == "CANCELED"
    clock.advance(10)
    refused = sdk.VideoSynthesis.cancel(second)
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "UnsupportedOperation")


def test_refusals_are_read_by_the_sdk(sdk: Any, upstream: DashScopeSimulator) -> None:
    upstream.inject(Fault(429), Fault(500), Fault(503, step=JobStep.POLL))
    codes = [sdk.VideoSynthesis.async_call(model=TEXT, prompt="A fox").code for _ in range(2)]
    assert codes == ["Throttling.RateQuota", "InternalError"]
    assert sdk.VideoSynthesis.fetch("0b7f").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    refused = sdk.VideoSynthesis.async_call(model=TEXT, prompt="A fox", duration=99)
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "InvalidParameter")
    refused = sdk.VideoSynthesis.async_call(model=TEXT, prompt="A fox", api_key="sk-another")
    assert (refused.status_code, refused.code) == (HTTPStatus.UNAUTHORIZED, "InvalidApiKey")
    assert upstream.counters.executions == 0


def test_a_workspace_is_named_in_a_header(sdk: Any) -> None:
    asked = {"model": TEXT, "prompt": "A fox"}
    assert sdk.VideoSynthesis.async_call(workspace="ws-1", **asked).status_code == HTTPStatus.OK
    assert sdk.VideoSynthesis.async_call(workspace="ws-2", **asked).code == "Workspace.AccessDenied"


def test_images_at_once_and_by_a_task(sdk: Any, upstream: DashScopeSimulator, clock: FakeClock) -> None:
    from dashscope.aigc.image_generation import ImageGeneration

    message = {"role": "user", "content": [{"text": "A fox"}]}
    answer = ImageGeneration.call(model="qwen-image-2.0", messages=[message], n=1, size="1024*1024")
    assert answer.status_code == HTTPStatus.OK, answer.message
    assert answer.output.choices[0].message.content[0]["image"].startswith(upstream.url)
    created = ImageGeneration.async_call(model="wan2.7-image", messages=[message], n=2, size="2K", watermark=False)
    clock.advance(60)
    done = ImageGeneration.wait(created)
    assert done.output.task_status == "SUCCEEDED"
    assert (len(done.output.choices), done.usage["image_count"]) == (2, 2)
