"""Jobs by the management side and by the command: found, shown, cancelled, looked at, told of again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from relayhub.web.admin.endpoint import PATH
from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db, durability: process}
media: {private_hosts: [127.0.0.1]}
providers:
  demo:
    video_queue_s: 0.1
    video_run_s: 0.3
    models:
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
  slow:
    type: demo
    video_queue_s: 3600
    models:
      slow-video: {upstream: demo-video, operations: [video], price: {video: {"*": "0.01"}}}
"""
JOBS = f"{PATH}/jobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("jobs"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def program(server: Server) -> Api:
    return admin_key(server, "operator")


@pytest.fixture(scope="module")
def client(server: Server) -> Api:
    return Api(server.url, server.new_key("client"))


def submit(client: Api, provider: str, **fields: object) -> str:
    body = {"prompt": "a cat", "provider": provider, "seconds": 4, **fields}
    return "task_" + str(client.post("/api/video/submit", body).data["jobId"]).removeprefix("job_")


def shown(program: Api, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = program.get(f"{JOBS}/{job_id}").data
    return found


def ended(server: Server, program: Api, job_id: str) -> dict[str, Any]:
    server.wait_until(lambda: shown(program, job_id)["finished_at"] is not None, within_s=20)
    return shown(program, job_id)


def test_a_job_is_shown_with_its_times_results_and_money(server: Server, program: Api, client: Api) -> None:
    job = ended(server, program, submit(client, "demo", user_identifier="u 1"))
    assert (job["state"], job["kind"], job["provider"], job["attempts"]) == ("succeeded", "video", "demo", 1)
    assert job["created_at"] <= job["submitted_at"] <= job["finished_at"]
    assert job["upstream_id"]
    assert job["next_look_at"] is None
    assert job["user_identifier"] == "u 1"
    assert [(one["media_type"], one["kept"]) for one in job["results"]] == [("video/mp4", True)]
    assert [(one["kind"], one["amount_nano"]) for one in job["ledger"]] == [
        ("hold", 40_000_000),
        ("settlement", 40_000_000),
    ]
    assert job["webhook"] is None
    by_client_name = program.get(f"{JOBS}/{job['id'].replace('task_', 'job_')}").data
    assert by_client_name["id"] == job["id"]


def test_jobs_are_found_by_what_they_are(server: Server, program: Api, client: Api) -> None:
    done = ended(server, program, submit(client, "demo", user_identifier="finder"))
    waiting = shown(program, submit(client, "slow", user_identifier="finder"))

    def ids(query: str) -> list[str]:
        return [one["id"] for one in program.get(f"{JOBS}?user=finder&{query}").data["items"]]

    both = [waiting["id"], done["id"]]
    assert ids("") == both
    assert ids("open=true") == both[:1]
    assert ids("state=succeeded") == both[1:]
    assert ids("provider=slow") == ids("model=slow-video") == both[:1]
    assert ids("kind=image") == ids("account_id=acct_none") == ids("key_id=key_none") == []
    assert ids(f"key_id={done['key_id']}&account_id={done['account_id']}") == both
    assert ids(f"since={waiting['created_at']}") == both[:1]
    assert ids(f"until={waiting['created_at']}") == both[1:]

    first = program.get(f"{JOBS}?user=finder&limit=1").data
    assert [one["id"] for one in first["items"]] == both[:1]
    assert ids(f"limit=1&after={first['next']}") == both[1:]
    assert program.get(f"{JOBS}?after=task_none").refused == (400, "invalid_cursor")

    options = ("--user", "finder", "--key", "client", "--kind", "video", "--after", both[0])
    listed = server.cli_json("jobs", "list", *options)
    assert isinstance(listed, list)
    assert [one["id"] for one in listed] == both[1:]


def test_a_waiting_job_is_cancelled_and_its_money_given_back(server: Server, program: Api, client: Api) -> None:
    for cancel in (by_api, by_command):
        job_id = submit(client, "slow")
        server.wait_until(lambda job=job_id: shown(program, job)["upstream_id"] is not None, within_s=20)  # type: ignore[misc]
        cancel(server, program, job_id)
        job = shown(program, job_id)
        assert job["state"] == "cancelled"
        assert [one["kind"] for one in job["ledger"]] == ["hold", "release"]
        assert program.post(f"{JOBS}/{job_id}/cancel").refused == (409, "job_ended")
        (row,) = server.rows("SELECT * FROM audit WHERE action = 'job.cancel' AND subject = ?", job_id)
        assert "cancelled" in str(row["after"])
    assert program.post(f"{JOBS}/task_none/cancel").refused == (404, "job_not_found")
    assert "There is no job" in server.cli("jobs", "cancel", "task_none", check=False)


def by_api(server: Server, program: Api, job_id: str) -> None:
    assert program.post(f"{JOBS}/{job_id}/cancel").data["state"] == "cancelled"


def by_command(server: Server, program: Api, job_id: str) -> None:
    done = server.cli_json("jobs", "cancel", job_id)
    assert isinstance(done, dict)
    assert done["state"] == "cancelled"


def test_a_job_is_looked_at_before_it_is_due(server: Server, program: Api, client: Api) -> None:
    job_id = submit(client, "slow")
    server.wait_until(lambda: shown(program, job_id)["upstream_id"] is not None, within_s=20)
    looked = program.post(f"{JOBS}/{job_id}/look").data
    assert looked["next_look_at"] is not None
    server.cli("jobs", "look", job_id)
    assert len(server.rows("SELECT id FROM audit WHERE action = 'job.look' AND subject = ?", job_id)) == 2
    program.post(f"{JOBS}/{job_id}/cancel")
    assert program.post(f"{JOBS}/{job_id}/look").refused == (409, "job_ended")


def test_a_client_is_told_again_of_a_job_that_has_ended(server: Server, program: Api, client: Api) -> None:
    """Nobody listens there; what counts is that it is tried."""
    job_id = submit(client, "demo", callback_url="http://127.0.0.1:9/hook")
    server.wait_until(lambda: (shown(program, job_id)["webhook"] or {}).get("last_error") is not None, within_s=20)
    before = server.rows("SELECT next_at FROM webhooks WHERE job_id = ?", job_id)[0]["next_at"]
    assert program.post(f"{JOBS}/{job_id}/notify").data["webhook"]["last_error"] is None
    server.wait_until(lambda: shown(program, job_id)["webhook"]["last_error"] is not None, within_s=20)
    after = server.rows("SELECT attempts, next_at FROM webhooks WHERE job_id = ?", job_id)[0]
    assert after["attempts"] == 1
    assert after["next_at"] != before
    server.cli("jobs", "notify", job_id)
    assert len(server.rows("SELECT id FROM audit WHERE action = 'job.notify' AND subject = ?", job_id)) == 2
    assert program.post(f"{JOBS}/{submit(client, 'slow')}/notify").refused == (409, "job_open")
    silent = ended(server, program, submit(client, "demo"))["id"]
    assert program.post(f"{JOBS}/{silent}/notify").refused == (409, "no_webhook")
