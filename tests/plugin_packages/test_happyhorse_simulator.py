"""The stand-in for DashScope rejects what DashScope rejects, over real HTTP, and bills what DashScope bills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from relayhub.testing import Cut, FakeClock, Fate, Fault, JobStep, SimulatedState
from relayhub_happyhorse.simulator import DashScopeSimulator

KEY = "sk-dashscope"
VIDEOS = "/api/v1/services/aigc/video-generation/video-synthesis"
IMAGE_TASKS = "/api/v1/services/aigc/image-generation/generation"
IMAGES = "/api/v1/services/aigc/multimodal-generation/generation"
TASKS = "/api/v1/tasks"
TEXT, FRAME, REFS, EDIT = (f"happyhorse-1.0-{kind}" for kind in ("t2v", "i2v", "r2v", "video-edit"))
ASYNC = {"x-dashscope-async": "enable"}


class DashScope:
    """The simulator, and a client of it."""

    def __init__(self, session: aiohttp.ClientSession, clock: FakeClock, simulator: DashScopeSimulator) -> None:
        self.session = session
        self.clock = clock
        self.simulator = simulator

    async def ask(
        self, method: str, path: str, body: object = None, key: str = KEY, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        url = f"{self.simulator.url}{path}"
        async with self.session.request(method, url, headers=sent, json=body) as reply:
            return reply.status, await reply.json()

    async def create(
        self, model: str = TEXT, media: list[dict[str, str]] | None = None, prompt: str = "A fox", **parameters: Any
    ) -> tuple[int, dict[str, Any]]:
        given = {"prompt": prompt, **({} if media is None else {"media": media})}
        return await self.ask(
            "POST", VIDEOS, {"model": model, "input": given, "parameters": parameters}, x_dashscope_async="enable"
        )

    async def created(self, model: str = TEXT, media: list[dict[str, str]] | None = None, **more: Any) -> str:
        status, answer = await self.create(model, media, **more)
        assert status == 200, answer
        assert answer["output"]["task_status"] == "PENDING"
        return str(answer["output"]["task_id"])

    async def task(self, id_: str) -> dict[str, Any]:
        return (await self.ask("GET", f"{TASKS}/{id_}"))[1]


@pytest.fixture
async def upstream() -> AsyncIterator[DashScope]:
    clock = FakeClock()
    simulator = DashScopeSimulator(clock=clock, workspaces=("ws-1",))
    async with simulator.serving(), aiohttp.ClientSession() as session:
        yield DashScope(session, clock, simulator)


def item(kind: str, url: str = "https://x.example/1") -> dict[str, str]:
    return {"type": kind, "url": url}


REFUSED: dict[str, dict[str, Any]] = {
    "a parameter that does not exist": {"quality": "high"},
    "no prompt": {"prompt": " "},
    "a small p": {"resolution": "720p"},
    "lines of the newer models": {"resolution": "480P"},
    "a ratio of the newer models": {"ratio": "4:5"},
    "too short": {"duration": 2},
    "too long": {"duration": 16},
    "a length as text": {"duration": "5"},
    "a length with a fraction": {"duration": 5.5},
    "a flag as text": {"watermark": "false"},
    "a seed that is too large": {"seed": 2**31},
    "audio_setting without an edit": {"audio_setting": "auto"},
    "media for text": {"media": [item("first_frame")]},
    "no first frame": {"model": FRAME},
    "two first frames": {"model": FRAME, "media": [item("first_frame")] * 2},
    "the client's word for a first frame": {"model": FRAME, "media": [item("input_image")]},
    "a ratio beside a picture": {"model": FRAME, "media": [item("first_frame")], "ratio": "16:9"},
    "ten references": {"model": REFS, "media": [item("reference_image")] * 10},
    "base64": {"model": FRAME, "media": [item("first_frame", "data:image/png;base64,AAAA")]},
    "a length of an edit": {"model": EDIT, "media": [item("video")], "duration": 5},
    "an edit of nothing": {"model": EDIT, "media": [item("reference_image")]},
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_dashscope_refuses_is_refused(upstream: DashScope, fault: str) -> None:
    status, answer = await upstream.create(**REFUSED[fault])
    assert status == 400
    assert answer["code"] in ("InvalidParameter", "InvalidURL")
    assert answer["request_id"]
    assert upstream.simulator.counters.executions == 0


async def test_keys_workspaces_models_paths_and_bodies_must_be_right(upstream: DashScope) -> None:
    body = {"model": TEXT, "input": {"prompt": "A fox"}}
    ask = upstream.ask
    assert (await ask("POST", VIDEOS, body, "another-key", x_dashscope_async="enable"))[0] == 401
    status, answer = await ask("POST", VIDEOS, body, x_dashscope_async="enable", x_dashscope_workspace="ws-2")
    assert (status, answer["code"]) == (403, "Workspace.AccessDenied")
    assert (await ask("POST", VIDEOS, body, x_dashscope_async="enable", x_dashscope_workspace="ws-1"))[0] == 200
    assert (await upstream.create("gpt-4"))[1]["code"] == "ModelNotFound"
    assert (await ask("GET", "/api/v1/elsewhere"))[0] == 404
    assert (await ask("POST", VIDEOS, {**body, "duration": 3}, x_dashscope_async="enable"))[0] == 400
    assert (await ask("POST", VIDEOS, [body], x_dashscope_async="enable"))[0] == 400


async def test_videos_are_not_made_without_the_header_for_tasks(upstream: DashScope) -> None:
    status, answer = await upstream.ask("POST", VIDEOS, {"model": TEXT, "input": {"prompt": "A fox"}})
    assert (status, answer["code"]) == (403, "AccessDenied")
    assert "synchronous" in answer["message"]
    assert upstream.simulator.counters.executions == 0


async def test_a_task_waits_runs_and_succeeds(upstream: DashScope) -> None:
    upstream.simulator.foretell(Fate(queue_s=5, run_s=20))
    id_ = await upstream.created(duration=4, resolution="720P", ratio="9:16")
    seen = []
    for _ in range(3):
        seen.append(await upstream.task(id_))
        upstream.clock.advance(13)
    assert [task["output"]["task_status"] for task in seen] == ["PENDING", "RUNNING", "SUCCEEDED"]
    done = seen[-1]
    assert done["output"]["orig_prompt"] == "A fox"
    assert done["usage"] == {
        "duration": 4,
        "input_video_duration": 0,
        "output_video_duration": 4,
        "video_count": 1,
        "SR": 720,
        "ratio": "9:16",
    }
    async with upstream.session.get(done["output"]["video_url"]) as reply:
        assert (reply.status, reply.content_type) == (200, "video/mp4")


@pytest.mark.parametrize(("url", "billed"), [("https://x.example/1", 13.24), ("https://x.example/1?seconds=40", 30)])
async def test_an_edit_is_billed_for_what_goes_in_and_what_comes_out(
    upstream: DashScope, url: str, billed: float
) -> None:
    id_ = await upstream.created(EDIT, [item("video", url), item("reference_image")], audio_setting="origin")
    upstream.clock.advance(60)
    usage = (await upstream.task(id_))["usage"]
    assert (usage["duration"], usage["SR"], "ratio" in usage) == (billed, 1080, False)


async def test_a_failure_is_a_200_that_says_so_inside(upstream: DashScope) -> None:
    upstream.simulator.foretell(Fate(failure=("DataInspectionFailed", "It may be inappropriate.")))
    id_ = await upstream.created()
    upstream.clock.advance(60)
    status, answer = await upstream.ask("GET", f"{TASKS}/{id_}")
    assert (status, answer["output"]["task_status"]) == (200, "FAILED")
    assert (answer["output"]["code"], "code" in answer) == ("DataInspectionFailed", False)


async def test_only_what_waits_can_be_cancelled(upstream: DashScope) -> None:
    first, second = await upstream.created(), await upstream.created()
    assert (await upstream.ask("POST", f"{TASKS}/{first}/cancel"))[0] == 200
    assert (await upstream.task(first))["output"]["task_status"] == "CANCELED"
    upstream.clock.advance(10)
    for id_ in (first, second, "unknown"):
        status, answer = await upstream.ask("POST", f"{TASKS}/{id_}/cancel")
        assert (status, answer["code"]) == (400, "UnsupportedOperation")
    assert (await upstream.task(second))["output"]["task_status"] == "RUNNING"


async def test_task_and_link_live_for_a_day(upstream: DashScope) -> None:
    id_ = await upstream.created()
    upstream.clock.advance(60)
    link = (await upstream.task(id_))["output"]["video_url"]
    upstream.clock.advance(86_300)
    async with upstream.session.get(link) as reply:
        assert reply.status == 200
    upstream.clock.advance(86_400)
    async with upstream.session.get(link) as reply:
        assert reply.status == 403
    assert (await upstream.task(id_))["output"] == {"task_id": id_, "task_status": "UNKNOWN"}
    assert (await upstream.ask("GET", f"{TASKS}/"))[1]["total"] == 0


async def test_tasks_are_listed_newest_first_in_pages_and_by_filters(upstream: DashScope) -> None:
    ids = []
    for _ in range(3):
        ids.append(await upstream.created())
        upstream.clock.advance(1)
    await upstream.ask("POST", f"{TASKS}/{ids[2]}/cancel")
    _, page = await upstream.ask("GET", f"{TASKS}/?page_no=1&page_size=2")
    assert (page["total"], page["total_page"], [one["task_id"] for one in page["data"]]) == (3, 2, [ids[2], ids[1]])
    assert page["data"][0]["gmt_create"] == (upstream.clock.now() - 1) * 1000
    assert "orig_prompt" not in page["data"][0]
    _, page = await upstream.ask("GET", f"{TASKS}?status=CANCELED&model_name={TEXT}")
    assert [one["task_id"] for one in page["data"]] == [ids[2]]
    # In Beijing's time: 1790000000 is 2026-09-21 22:13:20 there.
    _, page = await upstream.ask("GET", f"{TASKS}?start_time=20260921221321&end_time=20260921221321")
    assert [one["task_id"] for one in page["data"]] == [ids[1]]
    assert (await upstream.ask("GET", f"{TASKS}?page_size=101"))[0] == 400
    assert (await upstream.ask("GET", f"{TASKS}?start_time=1790000000000"))[0] == 400


async def test_faults_come_when_they_are_asked_for_and_executions_are_counted(upstream: DashScope) -> None:
    upstream.simulator.inject(
        Fault(429), Fault(500, executed=True), Fault(Cut(), executed=True), Fault(503, step=JobStep.POLL)
    )
    assert (await upstream.create(prompt="one"))[1]["code"] == "Throttling.RateQuota"
    assert (await upstream.create(prompt="two"))[0] == 500
    with pytest.raises(aiohttp.ClientError):
        await upstream.create(prompt="three")
    assert (await upstream.ask("GET", f"{TASKS}/1"))[0] == 503
    assert upstream.simulator.executions == {"two": 1, "three": 1}


async def test_more_than_may_run_at_once_wait(upstream: DashScope) -> None:
    simulator = DashScopeSimulator(clock=upstream.clock, at_once=1, fate=Fate(queue_s=1, run_s=100))
    async with simulator.serving():
        narrow = DashScope(upstream.session, upstream.clock, simulator)
        for model in (TEXT, TEXT, "happyhorse-1.1-t2v"):
            await narrow.created(model)
        upstream.clock.advance(50)
        states = [simulator.state(job) for job in simulator.jobs.values()]
    assert states == [SimulatedState.RUNNING, SimulatedState.QUEUED, SimulatedState.RUNNING]


# --- images -----------------------------------------------------------------------------------------------------------


def picture(model: str, *content: dict[str, str], **parameters: Any) -> dict[str, Any]:
    message = {"role": "user", "content": [*content, {"text": "A fox"}]}
    return {"model": model, "input": {"messages": [message]}, "parameters": parameters}


async def test_an_image_is_made_at_once_and_can_be_fetched(upstream: DashScope) -> None:
    status, answer = await upstream.ask("POST", IMAGES, picture("qwen-image-2.0", n=2, size="1024*1024"))
    assert (status, answer["usage"]) == (200, {"image_count": 2, "size": "1024*1024"})
    async with upstream.session.get(answer["output"]["choices"][1]["message"]["content"][0]["image"]) as reply:
        assert (reply.status, reply.content_type) == (200, "image/png")
    assert upstream.simulator.counters.executions == 1
    assert not upstream.simulator.jobs


async def test_an_image_is_made_by_a_task(upstream: DashScope) -> None:
    asked = picture("wan2.7-image", size="2K", n=4)
    _, answer = await upstream.ask("POST", IMAGE_TASKS, asked, x_dashscope_async="enable")
    upstream.clock.advance(60)
    done = await upstream.task(answer["output"]["task_id"])
    assert (len(done["output"]["choices"]), done["usage"]["image_count"]) == (4, 4)


IMAGE = {"image": "https://x.example/1.png"}
REFUSED_IMAGES: dict[str, dict[str, Any]] = {
    "a size with an x": picture("qwen-image-2.0", size="1024x1024"),
    "a size that is too small": picture("qwen-image-2.0", size="64*64"),
    "a size that is not one of the five": picture("qwen-image", size="1024*1024"),
    "too many": picture("qwen-image-2.0", n=7),
    "an edit of nothing": picture("qwen-image-edit"),
    "a size of an edit": picture("qwen-image-edit", IMAGE, size="1024*1024"),
    "four pictures": picture("qwen-image-2.0", *[IMAGE] * 4),
    "bare base64": picture("qwen-image-2.0", {"image": "iVBORw0KGgo="}),
    "4K of an edit": picture("wan2.7-image-pro", IMAGE, size="4K"),
    "a name of a larger model": picture("wan2.7-image", size="4K"),
    "a parameter that does not exist": picture("qwen-image-2.0", quality="high"),
}


@pytest.mark.parametrize("fault", REFUSED_IMAGES)
async def test_what_dashscope_refuses_of_images_is_refused(upstream: DashScope, fault: str) -> None:
    status, answer = await upstream.ask("POST", IMAGES, REFUSED_IMAGES[fault])
    assert (status, answer["code"]) == (400, "InvalidParameter")
    assert upstream.simulator.counters.executions == 0


async def test_each_way_to_an_image_has_its_path_and_its_header(upstream: DashScope) -> None:
    asked = picture("wan2.7-image")
    assert (await upstream.ask("POST", IMAGES, asked, x_dashscope_async="enable"))[0] == 403
    assert (await upstream.ask("POST", IMAGE_TASKS, asked))[0] == 403
    qwen = picture("qwen-image-2.0")
    assert (await upstream.ask("POST", IMAGE_TASKS, qwen, x_dashscope_async="enable"))[0] == 403
