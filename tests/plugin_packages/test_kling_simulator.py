"""The stand-in for Kling rejects what Kling rejects, over real HTTP, and counts slots as Kling counts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web

from relayhub.testing import FakeClock, Fate, Fault, JobStep
from relayhub_kling.simulator import KlingSimulator

ACCESS, SECRET = "access-key-1", "secret-key-0123456789abcdef0123456789abcdef"
KEY = "api-key-kling-1"
TEXT = "/v1/videos/text2video"
IMAGE = "/v1/videos/image2video"
OMNI = "/v1/videos/omni-video"
IMAGES = "/v1/images/generations"
URL = "https://x.example/1.png"


class Kling:
    """The simulator, and a client of it."""

    def __init__(self, session: aiohttp.ClientSession, clock: FakeClock, simulator: KlingSimulator) -> None:
        self._session = session
        self.clock = clock
        self.simulator = simulator

    def token(self, *, secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
        now = int(self.clock.now())
        claims: dict[str, Any] = {"iss": ACCESS, "exp": now + 1800, "nbf": now - 5, **changes}
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)

    async def ask(self, method: str, path: str, key: str = KEY, **body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        url = f"{self.simulator.url}{path}"
        async with self._session.request(method, url, headers=headers, json=body or None) as reply:
            return reply.status, await reply.json()

    async def create(self, path: str = TEXT, **changes: Any) -> tuple[int, dict[str, Any]]:
        body = {"model_name": "kling-v2-6", "prompt": "A fox", **changes}
        return await self.ask("POST", path, **{name: value for name, value in body.items() if value is not None})

    async def created(self, path: str = TEXT, **changes: Any) -> str:
        status, answer = await self.create(path, **changes)
        assert status == 200, answer
        return str(answer["data"]["task_id"])

    async def second(self, path: str = "/text-to-video/kling-3.0", **body: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", path, **(body or {"prompt": "A fox"}))


@pytest.fixture
async def kling() -> AsyncIterator[Kling]:
    clock = FakeClock()
    simulator = KlingSimulator(clock=clock, accounts={ACCESS: SECRET}, keys=(KEY,))
    async with simulator.serving(), aiohttp.ClientSession() as session:
        yield Kling(session, clock, simulator)


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a field that does not exist": (TEXT, {"quality": "high"}),
    "a ratio beside an image": (IMAGE, {"image": URL, "aspect_ratio": "16:9"}),
    "no prompt": (TEXT, {"prompt": None}),
    "a long prompt": (TEXT, {"prompt": "x" * 2501}),
    "a length as a number": (TEXT, {"duration": 5}),
    "a length that it does not make": (TEXT, {"duration": "7"}),
    "a mode that is none": (TEXT, {"mode": "turbo"}),
    "4k": (TEXT, {"mode": "4k"}),
    "a ratio that is none": (TEXT, {"aspect_ratio": "4:3"}),
    "sound in std": (TEXT, {"sound": "on"}),
    "cfg_scale of an older model": (TEXT, {"cfg_scale": 0.5}),
    "a camera": (TEXT, {"camera_control": {"type": "down_back"}}),
    "a camera for ten seconds": (
        TEXT,
        {"model_name": "kling-v1", "duration": "10", "camera_control": {"type": "down_back"}},
    ),
    "two moves": (
        TEXT,
        {"model_name": "kling-v1", "camera_control": {"type": "simple", "config": {"pan": 1, "tilt": 1}}},
    ),
    "shots": (TEXT, {"multi_shot": True, "shot_type": "intelligence"}),
    "shots that are too long": (
        TEXT,
        {
            "model_name": "kling-v3",
            "multi_shot": True,
            "shot_type": "customize",
            "multi_prompt": [{"index": 1, "prompt": "x", "duration": "9"}],
        },
    ),
    "no image": (IMAGE, {}),
    "base64 with a prefix": (IMAGE, {"image": "data:image/png;base64,iVBORw0KGgo="}),
    "a last frame in std": (IMAGE, {"image": URL, "image_tail": URL}),
    "five references": (
        "/v1/videos/multi-image2video",
        {"model_name": "kling-v1-6", "image_list": [{"image": URL}] * 5},
    ),
    "omni without a ratio": (OMNI, {"model_name": "kling-v3-omni"}),
    "an end without a beginning": (
        OMNI,
        {"model_name": "kling-v3-omni", "image_list": [{"image_url": URL, "type": "end_frame"}]},
    ),
    "an edit with frames": (
        OMNI,
        {
            "model_name": "kling-v3-omni",
            "image_list": [{"image_url": URL, "type": "first_frame"}],
            "video_list": [{"video_url": URL, "refer_type": "base"}],
        },
    ),
    "an edit with a length": (
        OMNI,
        {
            "model_name": "kling-v3-omni",
            "duration": "5",
            "video_list": [{"video_url": URL, "refer_type": "base"}],
        },
    ),
    "a video as data": (
        OMNI,
        {"model_name": "kling-v3-omni", "video_list": [{"video_url": "AAAA", "refer_type": "base"}]},
    ),
    "sound beside a clip": (
        OMNI,
        {
            "model_name": "kling-v3-omni",
            "sound": "on",
            "video_list": [{"video_url": URL, "refer_type": "base"}],
        },
    ),
    "ten images": (IMAGES, {"model_name": "kling-v2-1", "n": 10}),
    "a negative prompt beside an image": (
        IMAGES,
        {"model_name": "kling-v2-1", "image": URL, "negative_prompt": "x"},
    ),
    "an image size that is none": (IMAGES, {"model_name": "kling-v2-1", "resolution": "8k"}),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_kling_refuses_is_refused(kling: Kling, fault: str) -> None:
    path, changes = REFUSED[fault]
    status, answer = await kling.create(path, **changes)
    assert (status, answer["code"]) == (400, 1201), answer
    assert kling.simulator.counters.executions == 0


SECOND_REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a classic field": ("/text-to-video/kling-3.0", {"prompt": "x", "model_name": "kling-3.0"}),
    "contents for a text": ("/text-to-video/kling-3.0", {"contents": [{"type": "prompt", "text": "x"}]}),
    "a length as text": ("/text-to-video/kling-3.0", {"prompt": "x", "settings": {"duration": "5"}}),
    "too long": ("/text-to-video/kling-3.0", {"prompt": "x", "settings": {"duration": 16}}),
    "4k of turbo": ("/text-to-video/kling-3.0-turbo", {"prompt": "x", "settings": {"resolution": "4k"}}),
    "a mode": ("/text-to-video/kling-3.0", {"prompt": "x", "settings": {"mode": "pro"}}),
    "sound that is on": ("/text-to-video/kling-3.0", {"prompt": "x", "settings": {"audio": "on"}}),
    "an option that is none": ("/text-to-video/kling-3.0", {"prompt": "x", "options": {"seed": 1}}),
    "no frame": ("/image-to-video/kling-3.0", {"contents": [{"type": "prompt", "text": "x"}]}),
    "a last frame alone": ("/image-to-video/kling-3.0", {"contents": [{"type": "last_frame", "url": URL}]}),
    "a ratio beside a frame": (
        "/image-to-video/kling-3.0",
        {"contents": [{"type": "first_frame", "url": URL}], "settings": {"aspect_ratio": "1:1"}},
    ),
    "a reference without a name": ("/omni-video/kling-3.0-omni", {"contents": [{"type": "refer_image", "url": URL}]}),
}


@pytest.mark.parametrize("fault", SECOND_REFUSED)
async def test_what_the_second_generation_refuses_is_refused(kling: Kling, fault: str) -> None:
    path, body = SECOND_REFUSED[fault]
    status, answer = await kling.second(path, **body)
    assert (status, answer["code"]) == (400, 1201), answer
    assert kling.simulator.counters.executions == 0


async def test_models_and_paths_must_exist_and_fit(kling: Kling) -> None:
    for path, model in ((TEXT, "gpt-4"), (TEXT, "kling-v3-omni"), (TEXT, "kling-v2-1"), (OMNI, "kling-v2-6")):
        status, answer = await kling.create(path, model_name=model, aspect_ratio="16:9")
        assert (status, answer["code"]) == (404, 1203)
    assert (await kling.second("/text-to-video/kling-v3-turbo"))[1]["code"] == 1203
    assert (await kling.second("/text-to-video/kling-3.0-omni"))[1]["code"] == 1203
    assert (await kling.ask("GET", "/v1/elsewhere"))[1]["code"] == 1202
    assert (await kling.ask("DELETE", f"{TEXT}/1"))[1]["code"] == 1202
    assert (await kling.ask("GET", f"{TEXT}/1"))[1]["code"] == 1203


async def test_tokens_are_verified(kling: Kling) -> None:
    now = int(kling.clock.now())
    expected = {
        kling.token(): 1203,
        KEY: 1203,
        "": 1001,
        "nonsense": 1002,
        kling.token(iss="another"): 1002,
        kling.token(iss=None): 1002,
        kling.token(exp=float(now + 1800)): 1002,
        kling.token(secret="another-secret-0123456789abcdef01234"): 1000,
        kling.token(algorithm="HS384", secret=SECRET + SECRET): 1000,
        kling.token(nbf=None): 1000,
        kling.token(nbf=now + 1): 1003,
        kling.token(exp=now): 1004,
    }
    for token, code in expected.items():
        status, answer = await kling.ask("GET", f"{TEXT}/1", token)
        assert answer["code"] == code, token
        assert status == (404 if code == 1203 else 401)


async def test_a_token_grows_old(kling: Kling) -> None:
    token = kling.token()
    kling.clock.advance(1799)
    assert (await kling.ask("GET", f"{TEXT}/1", token))[0] == 404
    kling.clock.advance(1)
    assert (await kling.ask("GET", f"{TEXT}/1", token))[1]["code"] == 1004


async def test_a_task_waits_runs_and_succeeds(kling: Kling) -> None:
    kling.simulator.foretell(Fate(queue_s=5, run_s=20))
    id_ = await kling.created(external_task_id="ours")
    seen = []
    for _ in range(3):
        seen.append((await kling.ask("GET", f"{TEXT}/{id_}"))[1]["data"])
        kling.clock.advance(13)
    assert [task["task_status"] for task in seen] == ["submitted", "processing", "succeed"]
    assert seen[2]["updated_at"] == seen[2]["created_at"] + 25_000
    assert seen[2]["task_result"]["videos"][0]["duration"] == "5.041"
    assert (await kling.ask("GET", f"{TEXT}/ours"))[1]["data"]["task_id"] == id_
    assert (await kling.ask("GET", f"{IMAGE}/{id_}"))[1]["code"] == 1203


async def test_the_second_generation_answers_lists_in_its_own_words(kling: Kling) -> None:
    _, answer = await kling.second(prompt="A fox", options={"external_task_id": "ours"})
    id_ = answer["data"]["id"]
    kling.clock.advance(60)
    for query in (f"task_ids={id_}", f"task_ids=other,{id_}", "external_task_ids=ours"):
        tasks = (await kling.ask("GET", f"/tasks?{query}"))[1]["data"]
        assert [(task["id"], task["status"]) for task in tasks] == [(id_, "succeeded")]
    assert tasks[0]["outputs"][0]["type"] == "video"
    assert (await kling.ask("GET", "/tasks?task_ids=other"))[1]["data"] == []


async def test_a_window_lists_what_was_made_in_it_page_by_page(kling: Kling) -> None:
    start = round(kling.clock.now() * 1000)
    for number in range(3):
        await kling.second(prompt=f"{number}")
        kling.clock.advance(10)
    window: dict[str, Any] = {"start_time": start, "end_time": start + 15_000, "limit": 1}
    first = (await kling.ask("POST", "/tasks", **window))[1]["data"]
    assert (len(first["result"]), first["has_more"]) == (1, True)
    rest = (await kling.ask("POST", "/tasks", **window, cursor=first["next_cursor"]))[1]["data"]
    assert (len(rest["result"]), rest["has_more"]) == (1, False)
    none = (await kling.ask("POST", "/tasks", start_time=0, end_time=1, limit=1))[1]["data"]
    assert "result" not in none
    assert kling.simulator.counters.executions == 3


async def test_tasks_of_a_path_are_listed_newest_first(kling: Kling) -> None:
    ids = [await kling.created() for _ in range(3)]
    await kling.created(IMAGE, image=URL)
    page = (await kling.ask("GET", f"{TEXT}?pageNum=1&pageSize=2"))[1]["data"]
    assert [task["task_id"] for task in page] == [ids[2], ids[1]]
    assert (await kling.ask("GET", f"{TEXT}?pageNum=3&pageSize=2"))[1]["data"] == []
    for query in ("pageSize=501", "pageNum=0", "pageNum=1001"):
        assert (await kling.ask("GET", f"{TEXT}?{query}"))[1]["code"] == 1201


async def test_a_reference_is_used_once(kling: Kling) -> None:
    await kling.created(external_task_id="ours")
    status, answer = await kling.create(external_task_id="ours")
    assert (status, answer["code"]) == (400, 1201)
    assert (await kling.second(prompt="x", options={"external_task_id": "ours"}))[1]["code"] == 1201
    assert kling.simulator.executions == {"ours": 1}


async def test_slots_are_free_only_when_a_task_ends_and_each_image_takes_one(kling: Kling) -> None:
    narrow = KlingSimulator(clock=kling.clock, keys=(KEY,), slots=5, fate=Fate(queue_s=1, run_s=100))
    async with narrow.serving():
        client = Kling(kling._session, kling.clock, narrow)
        await client.created(IMAGES, model_name="kling-v2-1", n=4)
        await client.created()
        assert (await client.create())[1]["code"] == 1303
        assert (await client.ask("GET", TEXT))[0] == 200
        client.clock.advance(102)
        await client.created()
    assert narrow.counters.executions == 3


async def test_images_come_as_many_as_were_asked_for_and_links_expire(kling: Kling) -> None:
    id_ = await kling.created(IMAGES, model_name="kling-v2-1", n=3)
    kling.clock.advance(60)
    images = (await kling.ask("GET", f"{IMAGES}/{id_}"))[1]["data"]["task_result"]["images"]
    assert [image["index"] for image in images] == [0, 1, 2]
    async with kling._session.get(images[2]["url"]) as reply:
        assert (reply.status, reply.content_type) == (200, "image/png")
    kling.clock.advance(30 * 86_400)
    async with kling._session.get(images[2]["url"]) as reply:
        assert reply.status == 403
    assert (await kling.ask("GET", f"{IMAGES}/{id_}"))[1]["code"] == 1203


async def test_a_failed_task_is_no_failed_request(kling: Kling) -> None:
    kling.simulator.foretell(Fate(failure=("1301", "Failure to pass the risk control system")))
    id_ = await kling.created()
    kling.clock.advance(60)
    status, answer = await kling.ask("GET", f"{TEXT}/{id_}")
    assert (status, answer["code"], answer["data"]["task_status"]) == (200, 0, "failed")
    assert "risk control" in answer["data"]["task_status_msg"]


async def test_faults_are_told_in_klings_words(kling: Kling) -> None:
    kling.simulator.inject(Fault(429), Fault(503), Fault(500, executed=True), Fault(504, step=JobStep.POLL))
    assert [(await kling.create())[1]["code"] for _ in range(3)] == [1302, 5001, 5000]
    assert (await kling.ask("GET", f"{TEXT}/1"))[1]["code"] == 5002
    assert kling.simulator.counters.executions == 1


async def test_changes_are_posted_to_the_callback(kling: Kling) -> None:
    posted: list[dict[str, Any]] = []

    async def hook(request: web.BaseRequest) -> web.Response:
        posted.append(await request.json())
        return web.Response()

    runner = web.ServerRunner(web.Server(hook))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        first = await kling.created(callback_url=url)
        await kling.second(prompt="x", options={"callback_url": url})
        kling.clock.advance(60)
        for job in kling.simulator.jobs.values():
            assert await kling.simulator.call_back(job) == 200
    finally:
        await runner.cleanup()
    assert (posted[0]["task_id"], posted[0]["task_status"], posted[1]["status"]) == (first, "succeed", "succeeded")
