"""The stand-in for Ark rejects what Ark rejects, over real HTTP, and bills what Ark bills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from relayhub.testing import FakeClock, Fate, SimulatedState
from relayhub_seedance.simulator import ArkSimulator

KEY = "ark-key"
MODEL = "doubao-seedance-2-0-260128"
TEXT = {"type": "text", "text": "A fox"}
TASKS = "/api/v3/contents/generations/tasks"


class Ark:
    """The simulator, and a client of it."""

    def __init__(self, session: aiohttp.ClientSession, clock: FakeClock, simulator: ArkSimulator) -> None:
        self._session = session
        self.clock = clock
        self.simulator = simulator

    async def ask(self, method: str, path: str, key: str = KEY, **body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {key}"}
        async with self._session.request(
            method, f"{self.simulator.url}{path}", headers=headers, json=body or None
        ) as reply:
            return reply.status, await reply.json()

    async def create(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        body = {"model": MODEL, "content": [TEXT], **changes}
        return await self.ask("POST", TASKS, **{name: value for name, value in body.items() if value is not None})

    async def created(self, **changes: Any) -> str:
        status, answer = await self.create(**changes)
        assert status == 200, answer
        return str(answer["id"])


@pytest.fixture
async def ark() -> AsyncIterator[Ark]:
    clock = FakeClock()
    simulator = ArkSimulator(clock=clock)
    async with simulator.serving(), aiohttp.ClientSession() as session:
        yield Ark(session, clock, simulator)


IMAGE = {"type": "image_url", "image_url": {"url": "https://x/1.png"}}
REFUSED: dict[str, dict[str, Any]] = {
    "a parameter that does not exist": {"quality": "high"},
    "no content": {"content": []},
    "a resolution that is none": {"resolution": "8k"},
    "a ratio that is none": {"ratio": "2:1"},
    "too short": {"duration": 3},
    "a length as text": {"duration": "5"},
    "frames of an older model": {"frames": 29},
    "a seed": {"seed": 1},
    "a camera": {"camera_fixed": True},
    "a flag as text": {"watermark": "false"},
    "flex": {"service_tier": "flex"},
    "expires too early": {"execution_expires_after": 60},
    "a long identifier": {"safety_identifier": "x" * 65},
    "base64 without its prefix": {"content": [{"type": "image_url", "image_url": {"url": "iVBORw0KGgo="}}]},
    "a video as data": {
        "content": [
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}, "role": "reference_video"}
        ]
    },
    "a last frame alone": {"content": [{**IMAGE, "role": "last_frame"}]},
    "frames and references": {"content": [{**IMAGE, "role": "first_frame"}, {**IMAGE, "role": "reference_image"}]},
    "audio alone": {
        "content": [TEXT, {"type": "audio_url", "audio_url": {"url": "https://x/1.mp3"}, "role": "reference_audio"}]
    },
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_ark_refuses_is_refused(ark: Ark, fault: str) -> None:
    status, answer = await ark.create(**REFUSED[fault])
    assert status == 400
    assert answer["error"]["code"] in ("InvalidParameter", "MissingParameter")
    assert "Request id: " in answer["error"]["message"]
    assert ark.simulator.counters.executions == 0


async def test_keys_models_and_paths_must_exist(ark: Ark) -> None:
    assert (await ark.ask("POST", TASKS, "another-key", model=MODEL, content=[TEXT]))[0] == 401
    assert (await ark.create(model="gpt-4"))[0] == 404
    assert (await ark.ask("GET", "/api/v3/elsewhere"))[0] == 404
    assert (await ark.ask("GET", f"{TASKS}/cgt-unknown"))[0] == 404


async def test_a_task_waits_runs_and_succeeds(ark: Ark) -> None:
    ark.simulator.foretell(Fate(queue_s=5, run_s=20))
    id_ = await ark.created(duration=4, resolution="720p", ratio="16:9", generate_audio=False)
    seen = []
    for _ in range(3):
        seen.append((await ark.ask("GET", f"{TASKS}/{id_}"))[1])
        ark.clock.advance(13)
    assert [task["status"] for task in seen] == ["queued", "running", "succeeded"]
    done = seen[-1]
    assert done["usage"]["completion_tokens"] == 1280 * 720 * 97 // 1024
    assert (done["duration"], done["generate_audio"]) == (4, False)
    assert done["updated_at"] == done["created_at"] + 25


async def test_a_flag_in_a_prompt_overrides_the_bill(ark: Ark) -> None:
    id_ = await ark.created(content=[{"type": "text", "text": "A fox --dur 15"}], duration=4, resolution="720p")
    ark.clock.advance(60)
    assert (await ark.ask("GET", f"{TASKS}/{id_}"))[1]["duration"] == 15


async def test_sound_is_on_unless_it_is_said_to_be_off(ark: Ark) -> None:
    id_ = await ark.created()
    ark.clock.advance(60)
    assert (await ark.ask("GET", f"{TASKS}/{id_}"))[1]["generate_audio"] is True


async def test_a_task_that_takes_too_long_expires(ark: Ark) -> None:
    ark.simulator.foretell(Fate(run_s=float("inf")))
    id_ = await ark.created(execution_expires_after=3600)
    ark.clock.advance(3599)
    assert (await ark.ask("GET", f"{TASKS}/{id_}"))[1]["status"] == "running"
    ark.clock.advance(2)
    assert (await ark.ask("GET", f"{TASKS}/{id_}"))[1]["status"] == "expired"


async def test_only_what_waits_can_be_cancelled_and_what_ended_is_deleted(ark: Ark) -> None:
    first, second = await ark.created(), await ark.created()
    assert await ark.ask("DELETE", f"{TASKS}/{first}") == (200, {})
    assert (await ark.ask("GET", f"{TASKS}/{first}"))[1]["status"] == "cancelled"
    ark.clock.advance(10)
    assert (await ark.ask("DELETE", f"{TASKS}/{second}"))[0] == 409
    ark.clock.advance(60)
    assert (await ark.ask("DELETE", f"{TASKS}/{second}"))[0] == 200
    assert (await ark.ask("GET", f"{TASKS}/{second}"))[0] == 404


async def test_tasks_are_listed_newest_first_in_pages_and_by_filters(ark: Ark) -> None:
    ids = [await ark.created() for _ in range(3)]
    await ark.ask("DELETE", f"{TASKS}/{ids[0]}")
    _, page = await ark.ask("GET", f"{TASKS}?page_num=1&page_size=2")
    assert (page["total"], [item["id"] for item in page["items"]]) == (3, [ids[2], ids[1]])
    _, page = await ark.ask("GET", f"{TASKS}?filter.status=cancelled")
    assert [item["id"] for item in page["items"]] == [ids[0]]
    _, page = await ark.ask("GET", f"{TASKS}?filter.task_ids={ids[0]}&filter.task_ids={ids[2]}")
    assert page["total"] == 2
    assert (await ark.ask("GET", f"{TASKS}?page_size=501"))[0] == 400


async def test_more_than_may_run_at_once_wait(ark: Ark) -> None:
    simulator = ArkSimulator(clock=ark.clock, at_once=1, fate=Fate(queue_s=1, run_s=100))
    async with simulator.serving():
        narrow = Ark(ark._session, ark.clock, simulator)
        for _ in range(2):
            await narrow.created()
        await narrow.created(model="doubao-seedance-1-5-pro-251215")
        ark.clock.advance(50)
        states = [simulator.state(job) for job in simulator.jobs.values()]
    assert states == [SimulatedState.RUNNING, SimulatedState.QUEUED, SimulatedState.RUNNING]


async def test_an_image_is_made_at_once_and_can_be_fetched(ark: Ark) -> None:
    body = {"model": "doubao-seedream-4-5-251128", "prompt": "A fox", "size": "2K"}
    status, answer = await ark.ask("POST", "/api/v3/images/generations", **body)
    assert status == 200
    assert answer["usage"] == {"generated_images": 1, "output_tokens": 16_384, "total_tokens": 16_384}
    async with ark._session.get(answer["data"][0]["url"]) as reply:
        assert (reply.status, reply.content_type) == (200, "image/jpeg")
    assert ark.simulator.counters.executions == 1
    assert (await ark.ask("POST", "/api/v3/images/generations", **{**body, "size": "64x64"}))[0] == 400
