"""kill -9 at every step between the submit of a video and its settlement: afterwards it was executed at most once, the hub
knows whatever was executed, everybody who was given an id finds the job ended, no hold is open and the books are exact.

The points are spread over a few hubs that run side by side; each start of a hub looks after what the last kill left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayhub.store.steps import STEPS
from relayhub.testing import Fault, Hang, JobStep
from tests.support.job_crashes import CONFIG, FAILING, WAITING, Client, Stage, Studio, template
from tests.support.server import Server

pytestmark = pytest.mark.timeout(900)

SIDE_BY_SIDE = 8
LIFE = ("opened", "accepted", "running", "finished")
"""The transactions of a job that succeeds, in their order."""
DECISIVE = ("before_commit", "after_commit")
"""All other steps of a transaction are on one side or the other of these two."""


def as_usual(_studio: Studio) -> None:
    return


def faulty(*faults: Fault) -> Callable[[Studio], None]:
    return lambda studio: studio.inject(*faults)


def stalled(studio: Studio) -> None:
    studio.stalled = True


@dataclass(frozen=True)
class Point:
    """Where the hub is killed: at a ledger step (``order``: its name, and of which transaction), at a moment of the
    upstream (``at``), or once a result is half there (``half``)."""

    name: str
    order: str = ""
    at: tuple[JobStep, str, int] | None = None
    half: bool = False
    prepare: Callable[[Studio], None] = as_usual
    cancels: bool = False


def decisive(name: str, transaction: int, prepare: Callable[[Studio], None], *, cancels: bool = False) -> list[Point]:
    return [Point(f"{name}-{step}", f"{step}:{transaction}", prepare=prepare, cancels=cancels) for step in DECISIVE]


UNANSWERED = faulty(Fault(502, executed=True))
"""The upstream takes the job and fails to say so."""

POINTS = [
    *(
        Point(f"{transaction}-{step}", f"{step}:{number}")
        for number, transaction in enumerate(LIFE, 1)
        for step in STEPS
    ),
    *decisive("unknown", 2, UNANSWERED),
    *decisive("found", 3, UNANSWERED),
    *decisive("not_found", 3, faulty(Fault(502))),
    *decisive("refused", 2, faulty(Fault(400))),
    *decisive("failed", 3, lambda studio: studio.foretell(FAILING)),
    *decisive("cancelled", 3, lambda studio: studio.foretell(WAITING), cancels=True),
    Point("submit-received-not-taken", at=(JobStep.SUBMIT, "received", 1), prepare=faulty(Fault(Hang()))),
    Point("submit-taken-not-answered", at=(JobStep.SUBMIT, "worked", 1)),
    Point("first-poll-received", at=(JobStep.POLL, "received", 1)),
    Point("first-poll-worked", at=(JobStep.POLL, "worked", 1)),
    Point("last-poll-received", at=(JobStep.POLL, "received", 2)),
    Point("last-poll-worked", at=(JobStep.POLL, "worked", 2)),
    Point("lookup-received", at=(JobStep.LIST, "received", 1), prepare=UNANSWERED),
    Point("lookup-worked", at=(JobStep.LIST, "worked", 1), prepare=UNANSWERED),
    Point("fetch-received", at=(JobStep.FETCH, "received", 1)),
    Point("fetch-half-done", half=True, prepare=stalled),
    Point(
        "cancel-received",
        at=(JobStep.CANCEL, "received", 1),
        prepare=lambda studio: studio.foretell(WAITING),
        cancels=True,
    ),
]
"""``finished-before_begin`` is where the result file has been written and nothing says so yet."""


def killer(server: Server, at: tuple[JobStep, str, int]) -> Callable[[JobStep, str, int], None]:
    def watch(*now: object) -> None:
        if now == at:
            os.kill(server.process.pid, signal.SIGKILL)

    return watch


def killed(stage: Stage, server: Server, point: Point) -> list[str]:
    """Submit, and have the hub die on the way; what is wrong with that."""
    stage.studio.calm()
    point.prepare(stage.studio)
    if point.at is not None:
        stage.studio.watcher = killer(server, point.at)
    elif point.order:
        stage.order(f"SIGKILL {point.order}")
    stage.client.submit(server, point.name)
    if point.cancels:
        stage.client.send(server, "DELETE", f"/v1/videos/{stage.client.promised.get(point.name)}")
    if point.half:
        server.wait_until(lambda: half_there(stage.home), within_s=20)
        server.kill()
    try:
        return [] if server.wait() == -signal.SIGKILL else [f"it ended by itself: {server.process.returncode}"]
    except subprocess.TimeoutExpired:
        return ["it was never reached"]


def half_there(home: Path) -> bool:
    return any(path.stat().st_size for path in (home / "artifacts").glob("??/*.part"))


def recovered(stage: Stage, server: Server, point: Point) -> list[str]:
    """What is wrong after the restart. A client that was told nothing asks again at once, and once more when it was told
    to wait."""
    stage.studio.calm()
    try:
        for _ in range(2):
            if point.name not in stage.client.promised:
                stage.client.submit(server, point.name)
            stage.all_ended(server)
    except AssertionError as error:
        return [str(error), str(server.rows("SELECT * FROM jobs WHERE finished_at IS NULL"))]
    return stage.problems(server, [point.name])


def run_chain(stage: Stage, points: Sequence[Point], *, ask_program: bool) -> dict[str, list[str]]:
    """``ask_program``: also have ``relayhub ledger check`` say it in the end; it says what is checked after every kill."""
    wrong: dict[str, list[str]] = {}
    last: Point | None = None
    for point in (*points, None):
        with stage.hub() as server:
            if last is not None:
                wrong[last.name] += recovered(stage, server, last)
            if point is not None:
                wrong[point.name] = killed(stage, server, point)
            elif ask_program and server.cli_json("ledger", "check") != {"exact": True, "violations": []}:
                wrong[points[-1].name].append("relayhub ledger check finds violations")
        last = point
    return wrong


def run_all(folder: Path, points: Sequence[Point]) -> dict[str, list[str]]:
    key = template(folder / "template")

    def chain(number: int) -> dict[str, list[str]]:
        home = folder / str(number)
        shutil.copytree(folder / "template", home)
        studio = Studio()
        with studio.in_thread() as url:
            stage = Stage(home, studio, CONFIG.format(url=url, first_s=1), Client(key))
            return run_chain(stage, points[number::SIDE_BY_SIDE], ask_program=number == 0)

    used = range(min(SIDE_BY_SIDE, len(points)))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return {name: wrong for outcome in pool.map(chain, used) for name, wrong in outcome.items()}


@pytest.fixture(scope="module")
def wrong(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """What is wrong after the kill at each point that is to be tested."""
    chosen = [item.callspec.params.get("point") for item in request.session.items if hasattr(item, "callspec")]
    points = [point for point in chosen if isinstance(point, Point)]
    return run_all(tmp_path_factory.mktemp("crashes"), points)


@pytest.mark.parametrize("point", POINTS, ids=[point.name for point in POINTS])
def test_no_job_is_lost_or_paid_twice_after_a_kill_at(point: Point, wrong: Mapping[str, list[str]]) -> None:
    assert wrong[point.name] == []
