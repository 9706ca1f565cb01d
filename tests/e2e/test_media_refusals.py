"""What media requests are refused, in each client shape: always by name, and never for money."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from relayhub.testing import Answer, Cut, Fate, Fault
from tests.support.media_hub import PER_SECOND_NANO, Hub, media_hub

VIDEO_PATHS = ("/api/video/submit", "/v1/videos", "/v1/video/generations", "/demo/v1/videos", "/api/relay/v1/videos")
STATUS_PATHS = (
    "/api/video/status?jobId={id}",
    "/api/video/events?jobId={id}",
    "/v1/videos/{id}",
    "/v1/videos/{id}/content",
    "/v1/videos/{id}/events",
    "/v1/video/generations/{id}",
    "/demo/v1/videos/{id}",
    "/demo/v1/videos/{id}/content",
)
NOBODYS = "task_01M7YKQNJNH4H300HFFE4QEBC340e288"
MODELS = {
    "demo": "demo-video",
    "up": "sora-2",
    "seedance": "doubao-seedance-2-0-260128",
    "happyhorse": "happyhorse-1.0-t2v",
    "kling": "kling-v2-6",
}

every_path = pytest.mark.parametrize("path", VIDEO_PATHS)
every_provider = pytest.mark.parametrize("provider", MODELS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("refusals")) as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[httpx2.Client]:
    with hub.client() as client:
        yield client


@pytest.fixture(scope="module")
def stranger(hub: Hub) -> Iterator[httpx2.Client]:
    """Of an account with nothing in it."""
    with hub.client(hub.strangers_key()) as client:
        yield client


@pytest.fixture(scope="module")
def finished(hub: Hub, client: httpx2.Client) -> str:
    id_ = str(client.post("/v1/videos", json={"model": "demo-video", "prompt": "A cat"}).json()["id"])
    assert hub.ended(id_)["state"] == "succeeded"
    return id_


@pytest.fixture
def submitted(hub: Hub) -> Iterator[None]:
    """Of what is refused nothing remains: no job, and no hold."""
    before = hub.server.rows("SELECT count(*) AS n FROM jobs")
    held = hub.server.rows("SELECT hold_id FROM holds")
    yield
    assert hub.server.rows("SELECT count(*) AS n FROM jobs") == before
    assert [hold for hold in hub.server.rows("SELECT hold_id FROM holds") if hold not in held] == []


def said(answer: httpx2.Response) -> tuple[int, object, object]:
    """Status, code and parameter, in either shape of errors."""
    body = answer.json()
    if "error" in body:
        assert body["error"]["message"]
        return answer.status_code, body["error"]["code"], body["error"].get("param")
    assert body["success"] is False
    assert body["message"]
    return answer.status_code, body["code"], body.get("param")


# --- who may ------------------------------------------------------------------------------------------------------------


@every_path
@pytest.mark.parametrize("key", [None, "sk_live_wrong"])
@pytest.mark.usefixtures("submitted")
def test_a_key_is_needed(hub: Hub, path: str, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = httpx2.post(hub.url + path, json={"model": "demo-video", "prompt": "A cat"}, headers=headers)
    assert answer.status_code == 401


@every_path
@pytest.mark.usefixtures("submitted")
def test_over_quota_is_what_each_shape_calls_it(stranger: httpx2.Client, path: str) -> None:
    answer = stranger.post(path, json={"model": "demo-video", "prompt": "A cat"})
    status, code, _ = said(answer)
    assert (status, code) == (402 if path.startswith(("/v1", "/demo")) else 403, "insufficient_quota")


@pytest.mark.parametrize("path", STATUS_PATHS)
def test_anothers_job_and_one_that_does_not_exist_are_the_same(
    stranger: httpx2.Client, finished: str, path: str
) -> None:
    answers = [stranger.get(path.format(id=id_)) for id_ in (finished, NOBODYS)]
    assert [said(answer)[:2] for answer in answers] == [(404, "job_not_found")] * 2
    foreign, unknown = (stripped(answer, id_) for answer, id_ in zip(answers, (finished, NOBODYS), strict=True))
    assert foreign == unknown


def test_anothers_jobs_are_not_listed(stranger: httpx2.Client, finished: str) -> None:
    listed = stranger.get("/v1/videos").json()
    assert (listed["data"], listed["has_more"]) == ([], False)
    assert said(stranger.get(f"/v1/videos?after={finished}"))[:2] == (404, "job_not_found")


def stripped(answer: httpx2.Response, id_: str) -> str:
    body = answer.json()
    body.pop("request_id", None)
    body.get("error", {}).pop("request_id", None)
    return json.dumps(body).replace(id_, "ID")


@pytest.mark.parametrize("path", ["/v1/videos/{id}", "/demo/v1/videos/{id}", "/v1/video/generations/{id}"])
def test_anothers_job_is_neither_deleted_nor_remixed(
    hub: Hub, stranger: httpx2.Client, finished: str, path: str
) -> None:
    assert said(stranger.delete(path.format(id=finished)))[:2] == (404, "job_not_found")
    assert said(stranger.post(f"/v1/videos/{finished}/remix", json={"prompt": "x"}))[:2] == (404, "job_not_found")
    with hub.client() as owner:
        assert owner.get(f"/v1/videos/{finished}/content").status_code == 200


@pytest.mark.parametrize("id_", ["", "x", "task_", "job_%00", "a" * 500, "..%2f..%2fetc"])
def test_an_id_that_is_none_is_not_found(client: httpx2.Client, id_: str) -> None:
    if id_:
        assert client.get(f"/v1/videos/{id_}").status_code == 404
    expected = (404, "job_not_found", "id") if id_ else (400, "missing_required_parameter", "jobId")
    assert said(client.get(f"/api/video/status?jobId={id_}")) == expected


def test_a_job_is_not_found_under_another_platform(client: httpx2.Client, finished: str) -> None:
    assert said(client.get(f"/kling/v1/videos/{finished}"))[:2] == (404, "job_not_found")
    assert said(client.get(f"/nowhere/v1/videos/{finished}"))[:2] == (404, "unknown_platform")


# --- what may be asked --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("submitted")
def test_an_unknown_provider_is_a_wrong_parameter(client: httpx2.Client) -> None:
    answer = client.post("/api/video/submit", json={"provider": "nobody", "prompt": "A cat"})
    assert said(answer) == (400, "unknown_platform", "provider")


def test_without_a_model_there_is_a_usual_one(hub: Hub, client: httpx2.Client) -> None:
    for provider, model in ((None, "demo-video"), ("seedance", MODELS["seedance"]), ("kling", "kling-v2-6")):
        body = {"prompt": "A cat", **({"provider": provider} if provider else {})}
        answer = client.post("/api/video/submit", json=body)
        assert hub.job(answer.json()["data"]["jobId"])["model"] == model


def test_a_provider_may_be_named_by_its_type(hub: Hub, client: httpx2.Client) -> None:
    answer = client.post("/api/video/submit", json={"provider": "openai", "model": "sora-2", "prompt": "A cat"})
    assert hub.job(answer.json()["data"]["jobId"])["provider"] == "up"


@every_path
@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"duration": "long"}, "duration"),
        ({"duration": -3}, "duration"),
        ({"duration": 99}, "duration"),
        ({"n": 2}, "n"),
        ({"image": 5}, "image"),
        ({"image": "file:///etc/passwd"}, "image"),
        ({"callback_url": "ftp://example.com"}, "callback_url"),
        ({"resolution": "9000p"}, "resolution"),
        ({"sparkle": 1}, "sparkle"),
        ({"parameters": {"sparkle": 1}}, "sparkle"),
        ({"parameters": 5}, "parameters"),
    ],
)
@pytest.mark.usefixtures("submitted")
def test_what_is_wrong_is_named(client: httpx2.Client, path: str, more: Mapping[str, object], param: str) -> None:
    answer = client.post(path, json={"model": "demo-video", "prompt": "A cat", **more})
    status, _, named = said(answer)
    assert (status, named) == (400, param)


@every_provider
@pytest.mark.parametrize("param", ["sparkle", "frames_per_second"])
@pytest.mark.usefixtures("submitted")
def test_what_a_provider_cannot_honour_is_named(client: httpx2.Client, provider: str, param: str) -> None:
    for path in ("/v1/videos", f"/{provider}/v1/videos", "/v1/video/generations", "/api/video/submit"):
        answer = client.post(path, json={"model": MODELS[provider], "prompt": "A cat", param: 3})
        assert said(answer)[::2] == (400, param), answer.text


@pytest.mark.usefixtures("submitted")
def test_a_model_that_is_not_there_or_makes_no_videos(client: httpx2.Client) -> None:
    for model in ("nothing", "demo-image", "demo-chat"):
        status, _, param = said(client.post("/v1/videos", json={"model": model, "prompt": "A cat"}))
        assert (status, param) == (404, "model")


@every_path
@pytest.mark.usefixtures("submitted")
def test_a_body_that_is_none(client: httpx2.Client, path: str) -> None:
    assert said(client.post(path, content=b"{", headers={"content-type": "application/json"}))[0] == 400
    assert said(client.post(path, content=b"[]", headers={"content-type": "application/json"}))[0] == 400
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert said(client.post(path, content=b"--y\r\n", headers=broken))[0] == 400


# --- too early, and too late --------------------------------------------------------------------------------------------


def test_content_is_a_conflict_before_and_gone_after(hub: Hub, client: httpx2.Client) -> None:
    slow = client.post("/v1/videos", json={"model": "slow-video", "prompt": "A cat"}).json()["id"]
    early = client.get(f"/v1/videos/{slow}/content")
    assert said(early)[:2] == (409, "task_not_ready")
    assert int(early.headers["retry-after"]) > 0
    assert client.delete(f"/v1/videos/{slow}").status_code == 200
    assert said(client.get(f"/v1/videos/{slow}/content"))[:2] == (409, "task_failed")
    done = client.post("/v1/videos", json={"model": "demo-video", "prompt": "A cat"}).json()["id"]
    hub.ended(done)
    link = client.get(f"/v1/videos/{done}").json()["metadata"]["url"]
    client.delete(f"/v1/videos/{done}")
    assert said(client.get(f"/v1/videos/{done}/content"))[:2] == (410, "result_expired")
    assert said(hub.open_link(link))[:2] == (410, "result_expired")
    assert said(client.post(f"/v1/videos/{done}/remix", json={"prompt": "x"}))[:2] == (409, "task_not_ready")


def test_a_link_works_as_it_was_given_and_no_other_way(hub: Hub, client: httpx2.Client, finished: str) -> None:
    link = client.get(f"/v1/videos/{finished}").json()["metadata"]["url"]
    assert hub.open_link(link).status_code == 200
    name, _, query = link.partition("/files/")[2].partition("?")
    sign = query.rpartition("sign=")[2]
    wrong = (
        f"{name}?{query[:-1]}{'0' if query[-1] != '0' else '1'}",
        f"{name}?expires={int(time.time()) + 10**6}&sign={sign}",
        f"{name}?expires=1&sign={sign}",
        name,
        f"..%2fhub.db?{query}",
        f"another?{query}",
    )
    for path in wrong:
        answer = httpx2.get(f"{hub.url}/files/{path}")
        assert said(answer)[:2] == (403, "link_not_valid"), path


# --- once ---------------------------------------------------------------------------------------------------------------


@every_path
def test_a_named_request_is_served_once(hub: Hub, client: httpx2.Client, path: str) -> None:
    body = {"model": "demo-video", "prompt": f"Once, {path}", "duration": 2}
    named = {"idempotency-key": f"one, {path}"}
    first = client.post(path, json=body, headers=named)
    assert first.status_code == 200
    id_ = first.json().get("data", {}).get("jobId") or first.json()["id"]
    hub.ended(id_)
    again = client.post(path, json=body, headers=named)
    assert (again.status_code, again.content) == (200, first.content), "the same answer, though it has ended by now"
    other = client.post(path, json={**body, "duration": 3}, headers=named)
    assert said(other)[:2] == (422, "idempotency_key_reused")
    new = client.post(path, json=body, headers={"idempotency-key": f"another, {path}"})
    assert new.status_code == 200
    assert new.content != first.content
    made = hub.server.rows("SELECT count(*) AS n FROM jobs WHERE call_id = ?", first.headers["x-request-id"])
    assert made[0]["n"] == 1
    assert hub.usage_of(id_)["cost_nano"] == 2 * PER_SECOND_NANO


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_that_is_none_is_refused(client: httpx2.Client, name: str) -> None:
    answer = client.post("/v1/videos", json={"model": "demo-video", "prompt": "x"}, headers={"idempotency-key": name})
    assert said(answer)[:2] == (400, "invalid_idempotency_key")


def test_a_form_is_named_too(client: httpx2.Client) -> None:
    """Its boundary is another one each time."""
    fields: list[tuple[str, Any]] = [
        ("model", (None, "demo-image")),
        ("prompt", (None, "A fox")),
        ("image[]", ("a.png", b"\x89PNG\r\n\x1a\n1")),
    ]
    named = {"idempotency-key": "a form"}
    answers = [client.post("/v1/images/edits?async=true", files=fields, headers=named) for _ in range(2)]
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].json()["id"] == answers[1].json()["id"]
    fields[2] = ("image[]", ("a.png", b"\x89PNG\r\n\x1a\n2"))
    assert said(client.post("/v1/images/edits?async=true", files=fields, headers=named))[0] == 422


# --- upstreams that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["up", "seedance", "happyhorse", "kling"])
def test_an_upstreams_refusal_is_told_and_costs_nothing(hub: Hub, client: httpx2.Client, provider: str) -> None:
    upstream = hub.upstreams.of(provider)
    for status, told in ((429, 429), (503, 503), (401, 502)):
        upstream.inject(Fault(status))
        before = upstream.counters.executions
        answer = client.post("/v1/videos", json={"model": MODELS[provider], "prompt": "A cat"})
        assert answer.status_code in (told, 502, 503), answer.text
        assert answer.status_code not in (401, 403), "a client would doubt its own key"
        assert upstream.counters.executions == before
        assert hub.usage_by(answer)["cost_nano"] == 0


@pytest.mark.parametrize("provider", ["up", "seedance", "happyhorse", "kling"])
def test_a_submit_without_an_answer_is_never_sent_twice(hub: Hub, client: httpx2.Client, provider: str) -> None:
    upstream = hub.upstreams.of(provider)
    upstream.foretell(Fate(queue_s=0.1, run_s=math.inf))
    upstream.inject(Fault(Cut(), executed=True))
    before = upstream.counters.executions
    answer = client.post("/v1/videos", json={"model": MODELS[provider], "prompt": f"Lost at {provider}"})
    assert answer.status_code == 200, answer.text
    id_ = answer.json()["id"]
    assert hub.job(id_)["state"] == "submit_unknown"
    assert client.get(f"/v1/videos/{id_}").json()["status"] == "in_progress"
    assert client.get(f"/api/video/status?jobId={id_}").json()["data"]["status"] == "running"
    assert upstream.counters.executions == before + 1


def test_an_answer_that_cannot_be_read_says_not_to_ask_again(hub: Hub, client: httpx2.Client) -> None:
    hub.upstreams.openai.inject(Fault(Answer(200, b"<html>fine</html>", {"content-type": "text/html"})))
    answer = client.post("/v1/videos", json={"model": "sora-2", "prompt": "Unreadable"})
    assert said(answer)[:2] == (502, "submit_unknown")
    assert answer.headers["x-should-retry"] == "false"
    row = hub.server.rows("SELECT id, state FROM jobs WHERE call_id = ?", answer.headers["x-request-id"])[0]
    assert row["state"] == "submit_unknown"
    assert str(row["id"]) in answer.json()["error"]["message"]
