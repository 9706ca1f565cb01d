"""The client hangs up at every step of its job: the job goes on, is executed and paid once, and can be had."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.store.steps import STEPS
from relayhub.testing import Fault, JobStep, Wait
from tests.support.job_crashes import CONFIG, Client, Stage, Studio, go_on, template, wait_stopped
from tests.support.server import Server

pytestmark = pytest.mark.timeout(120)

WRITTEN = [f"{step}:{transaction}" for transaction in (1, 2) for step in STEPS]
"""Every step of the two transactions that a submit waits for."""
SLOW_ANSWER = Fault(Wait(0.5), executed=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gone") / "home"


@pytest.fixture(scope="module")
def stage(home: Path) -> Iterator[Stage]:
    studio = Studio()
    key = template(home)
    with studio.in_thread() as url:
        yield Stage(home, studio, CONFIG.format(url=url, first_s=1), Client(key))


@pytest.fixture(scope="module")
def server(stage: Stage) -> Iterator[Server]:
    with stage.hub() as server:
        yield server


@pytest.fixture(scope="module")
def left(stage: Stage, server: Server) -> Mapping[str, list[str]]:
    """What is wrong once all have left, each at its step, and all jobs have ended."""
    for point in WRITTEN:
        stage.order(f"SIGSTOP {point}")
        stage.client.leave_submit(server, point, partial(wait_stopped, server))
        go_on(server)
    stage.all_ended(server)
    return {point: stage.problems(server, [point]) for point in WRITTEN}


@pytest.mark.parametrize("point", WRITTEN)
def test_a_submit_whose_client_leaves_is_carried_out_once(
    point: str, stage: Stage, left: Mapping[str, list[str]]
) -> None:
    assert left[point] == []
    assert len(stage.studio.made_for(point)) == 1


def test_a_client_leaves_while_the_upstream_has_the_request_and_has_not_answered(stage: Stage, server: Server) -> None:
    studio = stage.studio
    studio.inject(SLOW_ANSWER)
    taken = partial(server.wait_until, lambda: bool(studio.made_for("taken")), within_s=20)
    stage.client.leave_submit(server, "taken", taken)
    stage.all_ended(server)
    assert stage.problems(server, ["taken"]) == []
    assert len(studio.made_for("taken")) == 1
    assert studio.steps[JobStep.LIST] == 0, "the answer came, and was not waited for"


def test_a_client_leaves_in_the_middle_of_its_request(stage: Stage, server: Server) -> None:
    before = server.rows("SELECT count(*) AS n FROM jobs")
    address = urlsplit(server.url)
    lines = [
        "POST /v1/videos HTTP/1.1",
        "host: hub",
        f"authorization: Bearer {stage.client.key}",
        "content-length: 100",
    ]
    with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", "{"]).encode())
    assert server.accepts(stage.client.key), "it goes on serving"
    assert server.rows("SELECT count(*) AS n FROM jobs") == before


@pytest.mark.parametrize("transaction", ["running", "finished"])
@pytest.mark.parametrize("path", ["/v1/videos/{id}", "/v1/videos/{id}/events"])
def test_a_client_that_follows_its_job_leaves_as_it_changes(
    transaction: str, path: str, stage: Stage, server: Server
) -> None:
    prompt = f"{transaction} {path}"
    stage.client.submit(server, prompt)
    stage.order(f"SIGSTOP before_commit:{1 if transaction == 'running' else 2}")
    wait_stopped(server)
    stage.client.leave(server, path.format(id=stage.client.promised[prompt]), lambda: None)
    go_on(server)
    stage.all_ended(server)
    assert stage.problems(server, [prompt]) == []


def test_the_books_are_exact_in_the_end(stage: Stage, server: Server) -> None:
    stage.all_ended(server)
    assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}
    assert stage.problems(server) == []
