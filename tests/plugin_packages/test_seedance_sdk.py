"""Volcengine's own SDK against the stand-in for Ark: what it takes for Ark is what the plugin is tested with.

The SDK is not among this project's dependencies: ``scripts/vendor-sdks`` puts it beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from relayhub.testing import FakeClock, Fate, Fault, JobStep
from relayhub_seedance.simulator import ArkSimulator

pytestmark = [
    pytest.mark.vendor_sdks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

VIDEO = "doubao-seedance-2-0-260128"
IMAGE = "doubao-seedream-4-5-251128"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def upstream(clock: FakeClock) -> Iterator[ArkSimulator]:
    simulator = ArkSimulator(clock=clock)
    with simulator.in_thread():
        yield simulator


@pytest.fixture
def sdk(upstream: ArkSimulator) -> Iterator[Any]:
    from volcenginesdkarkruntime import Ark

    with Ark(base_url=f"{upstream.url}/api/v3", api_key="ark-key", max_retries=0) as client:
        yield client


def create(sdk: Any, **more: Any) -> Any:
    content = [{"type": "text", "text": "A fox"}]
    asked = {"resolution": "720p", "ratio": "16:9", "duration": 4, "generate_audio": False, "safety_identifier": "me"}
    return sdk.content_generation.tasks.create(model=VIDEO, content=content, **{**asked, **more})


def test_a_task_from_its_creation_to_its_result(sdk: Any, upstream: ArkSimulator, clock: FakeClock) -> None:
    created = create(sdk)
    assert created.safety_identifier == "me"
    states = []
    for _ in range(3):
        task = sdk.content_generation.tasks.get(task_id=created.id)
        states.append(task.status)
        clock.advance(20)
    assert states == ["queued", "running", "succeeded"]
    assert (task.duration, task.resolution, task.usage.completion_tokens) == (4, "720p", 1280 * 720 * 97 // 1024)
    assert task.content.video_url.startswith(upstream.url)
    assert upstream.counters.executions == 1


def test_listing_and_deleting(sdk: Any) -> None:
    first, second = create(sdk), create(sdk)
    listed = sdk.content_generation.tasks.list(page_num=1, page_size=10, task_ids=[first.id])
    assert (listed.total, listed.items[0].id) == (1, first.id)
    sdk.content_generation.tasks.delete(task_id=second.id)
    assert sdk.content_generation.tasks.get(task_id=second.id).status == "cancelled"


def test_a_failed_task(sdk: Any, upstream: ArkSimulator, clock: FakeClock) -> None:
    upstream.foretell(Fate(failure=("OutputVideoSensitiveContentDetected", "It may be sensitive.")))
    created = create(sdk)
    clock.advance(60)
    task = sdk.content_generation.tasks.get(task_id=created.id)
    assert (task.status, task.error.code) == ("failed", "OutputVideoSensitiveContentDetected")


def test_refusals_are_the_sdks_own_errors(sdk: Any, upstream: ArkSimulator) -> None:
    from volcenginesdkarkruntime import _exceptions as errors

    with pytest.raises(errors.ArkBadRequestError) as refused:
        create(sdk, duration=99)
    assert refused.value.code == "InvalidParameter"
    upstream.inject(Fault(429), Fault(500), Fault(500, step=JobStep.POLL))
    with pytest.raises(errors.ArkRateLimitError):
        create(sdk)
    with pytest.raises(errors.ArkInternalServerError):
        create(sdk)
    with pytest.raises(errors.ArkInternalServerError):
        sdk.content_generation.tasks.get(task_id="cgt-1")
    assert upstream.counters.executions == 0


def test_images(sdk: Any, upstream: ArkSimulator) -> None:
    answer = sdk.images.generate(model=IMAGE, prompt="A fox", size="2K", response_format="url", watermark=False)
    assert (len(answer.data), answer.usage.generated_images) == (1, 1)
    assert answer.data[0].url.startswith(upstream.url)
