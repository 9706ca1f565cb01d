"""Every client shape of a video on every provider, through the running server: submitted, asked for, and fetched. Bodies are
those of the fixtures, byte for byte."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from relayhub.testing import Fate, SimulatedState
from tests.support.media_hub import Hub, fixture, media_hub, recent
from tests.support.media_shapes import GENERATIONS, HUB, MAKERS, PLATFORM, REAL, SHAPES, VIDEOS, Begun, begin

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("media")) as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[httpx2.Client]:
    with hub.client() as client:
        yield client


@pytest.fixture(scope="module")
def lives(client: httpx2.Client) -> dict[tuple[str, str], Begun]:
    """All of them go on at the same time."""
    return {
        (name, maker.provider): begin(client, maker, shape, f"A cat runs on grass, {name} {maker.provider}")
        for maker in MAKERS.values()
        for name, shape in SHAPES.items()
    }


every_life = pytest.mark.parametrize("provider", MAKERS)
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
@every_life
def test_a_life(hub: Hub, client: httpx2.Client, lives: Mapping[Any, Begun], shape: str, provider: str) -> None:
    begun = lives[shape, provider]
    check_created(begun)
    row = hub.ended(begun.id)
    assert (row["state"], row["dialect"], row["provider"]) == ("succeeded", begun.shape.dialect, provider)
    link = check_done(hub, client, begun)
    content = client.get(begun.content)
    assert (content.status_code, content.headers["content-type"]) == (200, "video/mp4")
    assert content.content[4:8] == b"ftyp"
    assert hub.open_link(link).content == content.content
    check_money(hub, begun)
    if provider in REAL:
        asked = [json.dumps(job.asked, default=str) for job in hub.upstreams.of(provider).jobs.values()]
        assert sum(begun.prompt in text for text in asked) == 1, "one execution"


def check_created(begun: Begun) -> None:
    body, maker = begun.answer.json(), begun.maker
    known: dict[str, object] = {"jobId": begun.id} if begun.shape is HUB else {"id": begun.id}
    if begun.shape in (VIDEOS, SHAPES["videos form"], GENERATIONS):
        known["task_id"] = begun.id
    if begun.shape not in (HUB, GENERATIONS):
        known |= {"model": maker.model, "created_at": recent(body["created_at"])}
    assert begun.answer.content == fixture(begun.shape.created, **known)
    assert begun.answer.headers["content-type"] == "application/json"
    assert begun.id.startswith("job_" if begun.shape is HUB else "task_")


def check_done(hub: Hub, client: httpx2.Client, begun: Begun) -> str:
    """The link to the result, which each shape has elsewhere."""
    answer = client.get(begun.status)
    body = answer.json()
    ids = {"id": begun.id, "model": begun.maker.model}
    match begun.shape.dialect:
        case "hub.video":
            link = body["data"]["resultUrl"]
            assert answer.content == fixture(begun.shape.done, resultUrl=link)
        case "openai.videos":
            link = body["metadata"]["url"]
            assert answer.content == fixture(begun.shape.done, url=link, task_id=begun.id, **ids)
        case "video.generations":
            link = body["data"]["result_url"]
            assert answer.content == fixture(begun.shape.done, result_url=link)
        case _:
            made = {"created_at": recent(body["created_at"]), **ids}
            assert answer.content == fixture(begun.shape.done, **made)
            detailed = client.get(f"{begun.status}?detail=true")
            link = detailed.json()["detail"]["url"]
            told = {"url": link, "seconds": str(begun.maker.seconds), "provider": begun.maker.provider}
            assert detailed.content == fixture("s004_video_get_detail", **made, **told)
    return str(link)


def check_money(hub: Hub, begun: Begun) -> None:
    usage = hub.usage_of(begun.id)
    told = tuple(usage[name] for name in ("operation", "dialect", "model", "provider", "outcome", "measured"))
    assert told == ("video", begun.shape.dialect, begun.maker.model, begun.maker.provider, "completed", 1)
    assert usage["cost_nano"] == begun.maker.cost_nano
    assert usage["user_identifier"] == ("user_123" if begun.shape is HUB else None)


# --- on the way ---------------------------------------------------------------------------------------------------------

WAY: Mapping[str, tuple[str, ...]] = {
    "queued": ("s000_status_queued", "s003_videos_get_queued", "s003_generations_get_queued"),
    "in_progress": ("s000_status_running", "s003_videos_get_in_progress", "s003_generations_get_in_progress"),
    "failed": ("s000_status_failed", "s003_videos_get_failed", "s003_generations_get_failure"),
    "cancelled": ("s000_status_cancelled", "s003_videos_get_cancelled"),
}
ENDLESS, WAITING = Fate(queue_s=0.1, run_s=math.inf), Fate(queue_s=math.inf)
REFUSED = Fate(queue_s=0.1, run_s=0.1, failure=("InternalError", "It went wrong."))


@pytest.fixture(scope="module")
def under_way(hub: Hub, client: httpx2.Client, lives: object) -> dict[tuple[str, str], str]:
    """Ids of jobs that never end by themselves, wait for ever, and fail."""
    begun = {}
    for provider in REAL:
        for name, fate in (("runs", ENDLESS), ("waits", WAITING), ("fails", REFUSED)):
            hub.upstreams.of(provider).foretell(fate)
            begun[provider, name] = begin(client, MAKERS[provider], VIDEOS, f"{name} at {provider}").id
    return begun


@pytest.mark.parametrize("provider", REAL)
def test_on_the_way_each_shape_has_its_own_words(
    hub: Hub, client: httpx2.Client, under_way: Mapping[Any, str], provider: str
) -> None:
    check_words(client, provider, under_way[provider, "waits"], "queued")
    hub.reached(under_way[provider, "runs"], "in_progress")
    check_words(client, provider, under_way[provider, "runs"], "in_progress")
    hub.reached(under_way[provider, "fails"], "failed")
    check_words(client, provider, under_way[provider, "fails"], "failed")
    usage = hub.usage_of(under_way[provider, "fails"])
    assert (usage["cost_nano"], usage["outcome"]) == (0, "upstream_error")


def check_words(client: httpx2.Client, provider: str, id_: str, state: str) -> None:
    """Any job can be asked for in any shape, whichever it was submitted in."""
    shown = [client.get(shape.status.format(id=id_, platform=provider)) for shape in (HUB, VIDEOS, GENERATIONS)]
    for answer, name in zip(shown, WAY[state], strict=False):
        known: dict[str, object] = {}
        body = answer.json()
        data = body.get("data", body)
        if "id" in body:
            known |= {"id": id_, "task_id": id_, "model": MAKERS[provider].model}
        if state == "in_progress":
            assert 0 < int(str(data["progress"]).rstrip("%")) < 100
            known["progress"] = data["progress"]
        elif data.get("error"):
            assert data["error"].keys() == {"code", "message"}
            known["error"] = data["error"]
        elif "fail_reason" in data:
            known["fail_reason"] = data["fail_reason"]
        if state == "failed":
            known["progress"] = data["progress"]
        assert answer.content == fixture(name, **known)
    platform = client.get(PLATFORM.status.format(id=id_, platform=provider)).json()
    assert (platform["status"], platform["object"]) == (state, "video")


@pytest.mark.parametrize("provider", REAL)
def test_an_open_job_is_cancelled_where_its_upstream_does_that(
    hub: Hub, client: httpx2.Client, under_way: Mapping[Any, str], provider: str
) -> None:
    waits, runs = under_way[provider, "waits"], under_way[provider, "runs"]
    answer = client.delete(f"/v1/videos/{waits}")
    if provider == "kling":
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_not_cancellable")
        assert hub.job(waits)["state"] == "queued", "a refused cancel changes nothing"
        return
    assert (answer.status_code, answer.json()) == (200, {"id": waits, "object": "video.deleted", "deleted": True})
    check_words(client, provider, waits, "cancelled")
    usage = hub.usage_of(waits)
    assert (usage["cost_nano"], usage["error_code"]) == (0, "cancelled")
    refused = client.delete(f"/v1/videos/{runs}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_not_cancellable")
    upstream = hub.upstreams.of(provider)
    assert upstream.state(upstream.jobs[hub.job(runs)["upstream_id"]]) is SimulatedState.RUNNING


# --- content ------------------------------------------------------------------------------------------------------------


@every_life
def test_a_part_of_the_content(hub: Hub, client: httpx2.Client, lives: Mapping[Any, Begun], provider: str) -> None:
    begun = lives["platform", provider]
    hub.ended(begun.id)
    whole = client.get(begun.content).content
    part = client.get(begun.content, headers={"range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole)}"
    assert part.headers["content-type"] == "video/mp4"
    last = client.get(f"/v1/videos/{begun.id}/content", headers={"range": "bytes=-5"})
    assert (last.status_code, last.content) == (206, whole[-5:])
    beyond = client.get(begun.content, headers={"range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416


def test_content_before_the_end_is_a_conflict_that_says_when_to_ask(
    client: httpx2.Client, under_way: Mapping[Any, str]
) -> None:
    for provider in REAL:
        answer = client.get(f"/{provider}/v1/videos/{under_way[provider, 'runs']}/content")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "task_not_ready")
        assert answer.headers["retry-after"] == "5"


def test_deleting_a_finished_video_deletes_its_bytes_and_keeps_its_record(
    hub: Hub, client: httpx2.Client, lives: Mapping[Any, Begun]
) -> None:
    begun = lives["videos", "demo"]
    hub.ended(begun.id)
    link = client.get(begun.status).json()["metadata"]["url"]
    for _ in range(2):
        answer = client.delete(f"/v1/videos/{begun.id}")
        assert answer.json() == {"id": begun.id, "object": "video.deleted", "deleted": True}
    for gone in (client.get(begun.content), hub.open_link(link)):
        assert gone.status_code == 410
        assert "result_expired" in gone.text
    assert client.get(begun.status).json()["status"] == "completed"
    assert hub.usage_of(begun.id)["cost_nano"] == begun.maker.cost_nano


# --- lists --------------------------------------------------------------------------------------------------------------


def test_a_list_is_paged_without_gaps_or_repeats(hub: Hub, client: httpx2.Client, lives: Mapping[Any, Begun]) -> None:
    ids = [row["id"] for row in hub.server.rows("SELECT id FROM jobs WHERE kind = 'video' ORDER BY created_at, id")]
    for order, wanted in (("asc", ids), ("desc", ids[::-1])):
        seen: list[str] = []
        after: dict[str, str] = {}
        more = True
        while more:
            page = client.get("/v1/videos", params={"limit": "7", "order": order, **after}).json()
            seen += [video["id"] for video in page["data"]]
            assert page["object"] == "list"
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            after, more = {"after": page["last_id"]}, page["has_more"]
        assert seen == wanted
    assert len(client.get("/v1/videos").json()["data"]) == 20, "that many unless a client says otherwise"


def test_a_platforms_list_has_its_shape_and_its_jobs(client: httpx2.Client, lives: object) -> None:
    page = client.get("/kling/v1/videos?limit=100").json()
    assert {video["model"] for video in page["data"]} == {"kling-v2-6"}
    assert page["data"][0].keys() == {"id", "object", "model", "status", "created_at"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up"])
def test_a_list_refuses_what_it_does_not_know(client: httpx2.Client, query: str) -> None:
    answer = client.get(f"/v1/videos?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


# --- inputs and remixes -------------------------------------------------------------------------------------------------

WITH_PICTURE = {
    "demo": "demo-video",
    "up": "sora-2",
    "seedance": "doubao-seedance-2-0-260128",
    "happyhorse": "happyhorse-1.0-i2v",
    "kling": "kling-v2-6",
}


@every_life
@pytest.mark.parametrize("name", ["input_reference", "input_reference[]"])
def test_a_file_goes_in(hub: Hub, client: httpx2.Client, provider: str, name: str) -> None:
    prompt = f"It waves, {name} {provider}"
    form: list[tuple[str, Any]] = [
        ("model", (None, WITH_PICTURE[provider])),
        ("prompt", (None, prompt)),
        (name, ("a.png", PNG, "image/png")),
    ]
    answer = client.post(f"/{provider}/v1/videos", files=form)
    assert answer.status_code == 200, answer.text
    assert json.loads(hub.job(answer.json()["id"])["usage"])["input_kind"] == "image"
    if provider in REAL:
        (job,) = (job for job in hub.upstreams.of(provider).jobs.values() if prompt in str(job.asked))
        assert hub.got(job.asked, PNG), "the upstream has the file, or a link to it"


REMIXERS = {**WITH_PICTURE, "happyhorse": "happyhorse-1.0-video-edit", "kling": "kling-v3-omni"}


@pytest.fixture(scope="module")
def remixes(hub: Hub, client: httpx2.Client, lives: Mapping[Any, Begun]) -> dict[str, httpx2.Response]:
    begun = {}
    for provider, model in REMIXERS.items():
        source = lives["platform form", provider]
        hub.ended(source.id)
        body = {"prompt": f"Make it snow, {provider}", "model": model}
        begun[provider] = client.post(f"/{provider}/v1/videos/{source.id}/remix", json=body)
    return begun


@every_life
def test_a_finished_video_is_remixed(
    hub: Hub, lives: Mapping[Any, Begun], remixes: Mapping[str, httpx2.Response], provider: str
) -> None:
    source, answer = lives["platform form", provider].id, remixes[provider]
    assert answer.status_code == 200, answer.text
    told = answer.json()
    known = {"id": told["id"], "model": REMIXERS[provider], "created_at": recent(told["created_at"])}
    assert answer.content == fixture("s004_video_remix", **known, remixed_from_video_id=source)
    row = hub.ended(told["id"])
    assert (row["state"], row["parent_id"], row["provider"]) == ("succeeded", source, provider)


def test_one_that_is_not_finished_is_not_remixed(client: httpx2.Client, under_way: Mapping[Any, str]) -> None:
    answer = client.post(f"/v1/videos/{under_way['up', 'runs']}/remix", json={"prompt": "Make it snow"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "task_not_ready")


# --- live ---------------------------------------------------------------------------------------------------------------

FOLLOWED = ("/api/video/events?jobId={id}", "/v1/videos/{id}/events", "/{p}/v1/videos/{id}/events")
Told = tuple[int, list[tuple[int, dict[str, Any]]]]


def events(client: httpx2.Client, path: str, last: int | None = None) -> Told:
    """The status, and each event's id and data."""
    headers = {"accept": "text/event-stream", **({} if last is None else {"last-event-id": str(last)})}
    answer = client.get(path, headers=headers)
    found = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            found.append((int(lines["id"]), json.loads(lines["data"])))
    return answer.status_code, found


@pytest.fixture(scope="module")
def followed(client: httpx2.Client) -> dict[tuple[str, str], tuple[str, Told]]:
    """All at the same time: where each job was followed, and what was told until its end."""

    def follow(provider: str, path: str) -> tuple[str, Told]:
        begun = begin(client, MAKERS[provider], VIDEOS, f"Follow me, {provider} {path}")
        where = path.format(id=begun.id, p=provider)
        return where, events(client, where)

    wanted = [(provider, path) for provider in MAKERS for path in FOLLOWED]
    with ThreadPoolExecutor(len(wanted)) as pool:
        return dict(zip(wanted, pool.map(lambda one: follow(*one), wanted), strict=True))


@every_life
@pytest.mark.parametrize("path", FOLLOWED)
def test_a_job_is_followed_to_its_end(
    client: httpx2.Client, followed: Mapping[Any, tuple[str, Told]], provider: str, path: str
) -> None:
    where, (status, told) = followed[provider, path]
    assert status == 200
    revisions = [revision for revision, _ in told]
    assert len(revisions) > 1, "a beginning and an end"
    assert revisions == sorted(set(revisions))
    last = told[-1]
    assert last[1].get("data", last[1])["status"] in ("succeeded", "completed")
    assert events(client, where, revisions[0]) == (200, [last]), "whoever lost the connection is told what is new"
    assert events(client, where, revisions[-1]) == (204, []), "nothing more will come"
    assert events(client, where) == (200, [last]), "whoever comes late is told the end"
