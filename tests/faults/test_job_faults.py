"""A video's upstream that loses its job, changes its mind or never ends, and servers that die or share the work: the job
ends once, is charged once, and is never made twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayhub.testing.faults import Fault, FaultUpstream, answers, framing, pace, refusals
from tests.faults.asking import ask, connected, request_bytes
from tests.faults.bench import config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances
from tests.support.openai_wire import error
from tests.support.server import Server, running

pytestmark = pytest.mark.timeout(180)

CLOCK = """
import pathlib, time
from relayhub.sdk import hookimpl

_now = time.time
_file = pathlib.Path("clock-offset")
time.time = lambda: _now() + float(_file.read_text() or 0)

@hookimpl
def relayhub_register_providers():
    return []
"""
"""Looks at a job have pauses between them that no test can wait for."""

SUBMIT = "/v1/videos"
FILM = b"\0\0\0\x18ftypmp42" + b"film" * 100
SECONDS, COST_NANO = 4, 40_000_000
GIVES_UP_S = 60.0
MANY_S = 3600.0
LONGEST_PAUSE_S = 70.0
WITHIN_S = 15.0


def video(number: str, status: str, **fields: object) -> bytes:
    value = {"id": number, "object": "video", "status": status, "model": "film", "seconds": str(SECONDS), **fields}
    return answers.whole(json.dumps(value).encode())


@dataclass
class Stage:
    """``number``: the upstream's name of the job. Its polls are requests for ``poll``."""

    hub: Server
    key: str
    upstream: FaultUpstream
    number: str
    offset_s: float = 0.0

    @property
    def poll(self) -> str:
        return f"{SUBMIT}/{self.number}"

    @property
    def submits(self) -> int:
        return self.upstream.counters(SUBMIT).executions

    @property
    def polls(self) -> int:
        return self.upstream.counters(self.poll).requests

    def completed(self) -> bytes:
        return video(self.number, "completed", url=f"{self.upstream.url}/film-{self.number}.mp4")

    def will(self, *polls: Fault | bytes, submit: Fault | bytes | None = None) -> None:
        self.upstream.program(SUBMIT, submit or video(self.number, "queued"))
        self.upstream.program(self.poll, *polls)
        film = answers.whole(FILM, headers=(("content-type", "video/mp4"),))
        self.upstream.program(f"/film-{self.number}.mp4", film)

    def submit(self) -> str:
        answer = ask(self.hub.url, "POST", SUBMIT, self.body(), self.headers())
        assert answer.status == 200, answer
        return str(json.loads(answer.body)["id"])

    def body(self) -> bytes:
        return json.dumps({"model": "film", "prompt": self.number, "seconds": str(SECONDS)}).encode()

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}

    def job(self) -> dict[str, object]:
        return self.hub.rows("SELECT * FROM jobs ORDER BY created_at DESC LIMIT 1")[0]

    def later(self, seconds: float) -> None:
        """The wall clock goes on by so much."""
        self.offset_s += seconds
        (self.hub.home / "clock-offset").write_text(str(self.offset_s))

    def until_polled(self, times: int) -> None:
        """The pauses between looks are skipped."""
        while self.polls < times:
            polled = self.polls
            self.hub.wait_until(lambda: self.job()["lease_until"] == 0, within_s=WITHIN_S)  # the last look is over
            self.later(LONGEST_PAUSE_S)
            assert self.upstream.wait_for(lambda polled=polled: self.polls > polled, WITHIN_S)  # type: ignore[misc]

    def until(self, state: str) -> dict[str, object]:
        self.hub.wait_until(lambda: self.job()["state"] == state, within_s=WITHIN_S)
        return self.job()

    def shown(self, id_: str) -> dict[str, object]:
        value = json.loads(ask(self.hub.url, "GET", f"{SUBMIT}/{id_}", headers=self.headers()).body)
        assert isinstance(value, dict)
        return value

    def charged(self) -> list[int]:
        """Of each usage row."""
        return [int(str(row["cost_nano"])) for row in self.hub.rows("SELECT cost_nano FROM usage")]

    def check_books(self) -> None:
        check_balances(self.hub)
        assert self.hub.cli_json("ledger", "check") == {"exact": True, "violations": []}


def hub_text(upstream: FaultUpstream, gives_up_s: float = GIVES_UP_S) -> str:
    videos = {"first_s": 1, "every_s": 1, "gives_up_s": gives_up_s}
    models = {"film": {"operations": ["video"], "price": {"video": {"*": "0.01"}}}}
    up = {**provider(upstream.url), "videos": videos, "models": models}
    return config({"up": up}, plugins={"dirs": ["plugins"]})


@contextmanager
def staged(home: Path, upstream: FaultUpstream, number: str, gives_up_s: float = GIVES_UP_S) -> Iterator[Stage]:
    (home / "plugins").mkdir(exist_ok=True)
    (home / "plugins" / "clock.py").write_text(CLOCK)
    (home / "clock-offset").write_text("0")
    upstream.program(SUBMIT, video(number, "queued"))
    with running(home, hub_text(upstream, gives_up_s)) as hub, watched_health(hub):
        stage = Stage(hub, hub.new_key("jobs"), upstream, number)
        yield stage
        stage.check_books()


@pytest.fixture
def upstream() -> Iterator[FaultUpstream]:
    upstream = FaultUpstream()
    with upstream.in_thread():
        yield upstream
    assert not upstream.unknown, upstream.unknown


NOT_FOUND = refusals.refusal("404 Not Found", error("no such video", type_="invalid_request_error"))


@pytest.mark.fault("U40", "polls are answered 404, 500, with garbage, or not at all")
def test_a_job_outlives_the_troubles_of_its_upstream(tmp_path: Path, upstream: FaultUpstream) -> None:
    """The job lives on, and its result is delivered and charged once."""
    with staged(tmp_path, upstream, "troubled", gives_up_s=MANY_S) as stage:
        stage.will(
            NOT_FOUND,
            NOT_FOUND,
            refusals.refusal("500 Oops", error("it broke", type_="server_error")),
            answers.whole(b"<html>"),
            framing.reset_at(b"", 0),
            pace.silence(),
            NOT_FOUND,
            NOT_FOUND,
            video("troubled", "in_progress"),
            stage.completed(),
        )
        id_ = stage.submit()
        stage.until_polled(10)
        stage.until("succeeded")
        assert stage.shown(id_)["status"] == "completed"
        content = ask(stage.hub.url, "GET", f"{SUBMIT}/{id_}/content", headers=stage.headers())
        assert content.body == FILM
        assert stage.charged() == [COST_NANO]
        assert stage.submits == 1


@pytest.mark.fault("U40", "three polls in a row are answered 404")
def test_a_job_that_its_upstream_does_not_know_any_more_ends(tmp_path: Path, upstream: FaultUpstream) -> None:
    """It failed, and nothing is charged; nobody asks again."""
    with staged(tmp_path, upstream, "lost", gives_up_s=MANY_S) as stage:
        stage.will(NOT_FOUND)
        stage.submit()
        stage.until_polled(3)
        assert stage.until("failed")["error_code"] == "upstream_lost"
        stage.later(MANY_S)
        assert not upstream.wait_for(lambda: stage.polls > 3, 1.5)
        assert stage.charged() == [0]
        assert stage.submits == 1


@pytest.mark.fault("U41", "a job is late, but within its upstream's own limit")
def test_a_late_success_within_the_limit_is_delivered(tmp_path: Path, upstream: FaultUpstream) -> None:
    """It is delivered and charged once."""
    with staged(tmp_path, upstream, "late") as stage:
        stage.will(video("late", "in_progress"), stage.completed())
        stage.submit()
        assert upstream.wait_for(lambda: stage.polls >= 1, WITHIN_S)
        stage.later(GIVES_UP_S - 20)
        stage.until("succeeded")
        assert stage.charged() == [COST_NANO]


@pytest.mark.fault("U41", "a job never ends, and succeeds after its upstream's own limit")
def test_a_success_after_the_limit_is_not_charged(tmp_path: Path, upstream: FaultUpstream) -> None:
    """It failed with `timeout`, and nothing is charged; what the upstream says later changes nothing."""
    with staged(tmp_path, upstream, "endless") as stage:
        stage.will(video("endless", "in_progress"))
        id_ = stage.submit()
        assert upstream.wait_for(lambda: stage.polls >= 1, WITHIN_S)
        stage.later(GIVES_UP_S + 20)
        assert stage.until("failed")["error_code"] == "timeout"
        polls = stage.polls
        upstream.program(stage.poll, stage.completed())
        stage.later(MANY_S)
        assert not upstream.wait_for(lambda: stage.polls > polls, 1.5)
        assert stage.shown(id_)["status"] == "failed"
        assert stage.charged() == [0]


@pytest.mark.fault("U42", "an upstream says completed, failed and completed of one job")
@pytest.mark.parametrize("first", ["completed", "failed"])
def test_the_first_end_of_a_job_stays(tmp_path: Path, upstream: FaultUpstream, first: str) -> None:
    """One settlement: whatever is said later changes neither the state nor the charge."""
    with staged(tmp_path, upstream, "fickle") as stage:
        failed = video("fickle", "failed", error={"code": "internal_error", "message": "It went wrong."})
        said = [stage.completed(), failed] if first == "completed" else [failed, stage.completed()]
        stage.will(*said, said[0])
        id_ = stage.submit()
        stage.until("succeeded" if first == "completed" else "failed")
        polls = stage.polls
        for _ in range(3):
            stage.later(MANY_S)
            assert stage.shown(id_)["status"] == first
        assert not upstream.wait_for(lambda: stage.polls > polls, 1.5)
        assert stage.charged() == [COST_NANO if first == "completed" else 0]
        assert stage.submits == 1


@pytest.mark.fault("U43", "the result of a job is said to lie at an address inside, with another server or a file")
@pytest.mark.parametrize(
    "where", ["spy", "http://169.254.169.254/latest/meta-data", "http://[::1]:1/x", "file:///etc/passwd"]
)
def test_a_result_inside_is_never_fetched(tmp_path: Path, upstream: FaultUpstream, where: str) -> None:
    """Nobody connects there; the job is never delivered, and in the end it failed, free of charge."""
    spy = FaultUpstream()
    with spy.in_thread(), staged(tmp_path, upstream, "inside") as stage:
        stage.will(video("inside", "completed", url=f"{spy.url}/secret.mp4" if where == "spy" else where))
        upstream.program(f"{stage.poll}/content", NOT_FOUND)
        id_ = stage.submit()
        stage.until_polled(2)
        assert stage.shown(id_)["status"] != "completed"
        stage.later(3 * 86400)
        stage.until("failed")
        assert spy.total.connections == 0
        assert stage.charged() == [0]


@pytest.mark.fault("P03", "kill -9 after the upstream took a job, before anybody could note that")
def test_a_submit_without_an_answer_is_never_sent_again(tmp_path: Path, upstream: FaultUpstream) -> None:
    """After the start it is known as sent and unanswered; it is not sent again, ends as `submit_unknown`, and is free."""
    with staged_and_killed(tmp_path, upstream, "killed") as stage:
        stage.hub.wait_until(lambda: stage.job()["state"] == "failed", within_s=WITHIN_S)
        assert stage.job()["error_code"] == "submit_unknown"
        stage.later(MANY_S)
        assert not upstream.wait_for(lambda: stage.submits > 1, 1.5)
        assert stage.submits == 1
        assert stage.charged() == [0]
        stage.check_books()


@contextmanager
def staged_and_killed(home: Path, upstream: FaultUpstream, number: str) -> Iterator[Stage]:
    """A server that was killed while its upstream had the job and had not answered, and has been started again."""
    (home / "plugins").mkdir()
    (home / "plugins" / "clock.py").write_text(CLOCK)
    (home / "clock-offset").write_text("0")
    upstream.program(SUBMIT, pace.silence())
    with running(home, hub_text(upstream)) as hub:
        stage = Stage(hub, hub.new_key("jobs"), upstream, number)
        with connected(hub.url) as raw:
            raw.sendall(request_bytes(SUBMIT, stage.body(), stage.key, "content-type: application/json"))
            assert upstream.wait_for(lambda: stage.submits == 1, WITHIN_S)
            hub.kill()
    upstream.program(SUBMIT, video(number, "queued"))
    with running(home, hub_text(upstream)) as hub, watched_health(hub):
        stage.hub = hub
        yield stage


@pytest.mark.fault("R07", "two servers share the database, and look after the same job")
def test_two_servers_settle_a_job_once(tmp_path: Path, upstream: FaultUpstream) -> None:
    """Whoever sees its end first settles it; one usage row, one charge, the same answer from both."""
    jobs = 6
    with staged(tmp_path, upstream, "shared") as stage, running(tmp_path, hub_text(upstream)) as other:
        others = Stage(other, stage.key, upstream, "shared")
        ids = []
        for number in range(jobs):
            name = f"shared-{number}"
            asked = Stage(stage.hub if number % 2 else other, stage.key, upstream, name)
            asked.will(video(name, "in_progress"), video(name, "in_progress"), asked.completed())
            ids.append(asked.submit())
        over = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'"
        stage.hub.wait_until(lambda: stage.hub.rows(over) == [{"n": jobs}], within_s=30)
        assert {one.shown(id_)["status"] for one in (stage, others) for id_ in ids} == {"completed"}
        assert stage.charged() == [COST_NANO] * jobs
        assert upstream.counters(SUBMIT).executions == jobs
