"""A hub with video jobs that is killed, its upstream, and what must be true of both afterwards."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from relayhub.store.check import violations
from relayhub.store.engine import Engine
from relayhub.testing import Answer, Fate, Hang, JobStep, Recorded, SimulatedJob, SimulatedState
from relayhub.testing.crashing import ORDERS
from relayhub_seedance.simulator import ArkSimulator
from tests.support.server import Server, cli, environment, running

LOST = None
"""What a client knows when its connection broke."""

SECONDS = 5
PRICE_NANO = 10_000_000
COST_NANO = SECONDS * PRICE_NANO
ENDS_WITHIN_S = 40.0

CONFIG = """
server: {{drain_s: 1}}
store: {{path: hub.db}}
jobs: {{lookup_after_s: 1}}
providers:
  ark:
    type: seedance
    base_url: {url}/api/v3
    api_key: ark-key
    timeouts: {{first_byte_s: 5, idle_s: 5}}
    poll: {{first_s: {first_s}, every_s: 1}}
    models:
      film: {{upstream: doubao-seedance-2-0-260128, operations: [video], price: {{video: {{"*": "0.01"}}}}}}
"""

NEVER = Fate(queue_s=0, run_s=math.inf)
"""A job that runs until it is told to end."""
WAITING = Fate(queue_s=math.inf)
AT_ONCE = Fate(queue_s=0, run_s=0)
FAILING = Fate(queue_s=0, run_s=0, failure=("InternalError", "It went wrong."))

Watcher = Callable[[JobStep, str, int], None]
"""Told of each request: its step, ``received`` or ``worked``, and its number among those of its step."""


def nothing(_step: JobStep, _moment: str, _nth: int) -> None:
    return


class Studio(ArkSimulator):
    """Every job ends at its second poll, unless it was foretold otherwise. ``watcher`` is told before and after the work
    of each request; ``stalled``: the next result breaks off half-way and stays so."""

    def __init__(self) -> None:
        super().__init__(fate=NEVER)
        self.watcher: Watcher = nothing
        self.stalled = False
        self._numbers: Counter[tuple[JobStep, str]] = Counter()

    def calm(self) -> None:
        """Nothing of what was planned happens any more."""
        self.watcher, self.stalled = nothing, False
        self._numbers.clear()
        self._faults.clear()
        self._foretold.clear()

    def answer(self, request: Recorded) -> Answer:
        step = JobStep.FETCH if request.path.startswith("/simulated-results/") else self.step(request)
        self._tell(step, "received")
        answer = super().answer(request)
        self._tell(step, "worked")
        if step is JobStep.POLL and (job := self.known(request.path.rpartition("/")[2])) and job.fate is NEVER:
            job.fate = AT_ONCE
        return answer

    def _tell(self, step: JobStep, moment: str) -> None:
        self._numbers[step, moment] += 1
        self.watcher(step, moment, self._numbers[step, moment])

    def result(self, job: SimulatedJob, name: str) -> Answer:
        whole = super().result(job, name)
        assert isinstance(whole.body, bytes)
        if not self.stalled:
            return whole
        self.stalled = False
        return Answer(body=(whole.body[:20], Hang()), headers=whole.headers)

    def made_for(self, prompt: str) -> list[SimulatedJob]:
        return [job for job in list(self.jobs.values()) if prompt_in(job) == prompt]

    def film(self, job: SimulatedJob) -> bytes:
        body = super().result(job, "video.mp4").body
        assert isinstance(body, bytes)
        return body


def prompt_in(job: SimulatedJob) -> str:
    content = job.asked["content"]
    assert isinstance(content, list)
    return str(content[0]["text"])


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class Client:
    """One person with an API key, and what was promised to them: prompt → id of the job."""

    key: str
    promised: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def send(self, server: Server, method: str, path: str, body: bytes | None = None, once: str = "") -> Reply | None:
        """``None`` if the connection broke."""
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        try:
            connection.request(method, path, body, self._headers(once))
            reply = connection.getresponse()
            return Reply(reply.status, reply.read())
        except (http.client.HTTPException, OSError):
            return LOST
        finally:
            connection.close()

    def _headers(self, once: str = "") -> dict[str, str]:
        named = {"idempotency-key": once} if once else {}
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json", **named}

    def submit(self, server: Server, prompt: str) -> Reply | None:
        """The prompt is also the request's name, and what it is counted by."""
        if prompt not in self.asked:
            self.asked.append(prompt)
        reply = self.send(server, "POST", "/v1/videos", film(prompt), once=prompt)
        if reply is not None and "id" in reply.json():
            self.promised[prompt] = str(reply.json()["id"])
        return reply

    def leave(
        self, server: Server, path: str, until: Callable[[], None], body: bytes | None = None, once: str = ""
    ) -> None:
        """Ask, wait for something else than the answer, and hang up."""
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        try:
            connection.request("POST" if body else "GET", path, body, self._headers(once))
            until()
        finally:
            connection.close()

    def leave_submit(self, server: Server, prompt: str, until: Callable[[], None]) -> None:
        self.asked.append(prompt)
        self.leave(server, "/v1/videos", until, film(prompt), once=prompt)


def film(prompt: str) -> bytes:
    return json.dumps({"model": "film", "prompt": prompt, "seconds": str(SECONDS)}).encode()


@dataclass
class Stage:
    """A working folder, its upstream and its client. The hub comes and goes."""

    home: Path
    studio: Studio
    config: str
    client: Client

    @property
    def orders(self) -> Path:
        return self.home / "orders"

    def order(self, what: str) -> None:
        """See :mod:`relayhub.testing.crashing`."""
        written = self.home / "orders.new"
        written.write_text(what)
        written.rename(self.orders)

    @contextmanager
    def hub(self) -> Iterator[Server]:
        self.orders.unlink(missing_ok=True)
        env = {ORDERS: str(self.orders)}
        with running(self.home, self.config, env=env, module="relayhub.testing.crashing") as server:
            yield server

    def left_open(self, server: Server) -> int:
        return int(str(server.rows("SELECT count(*) AS n FROM jobs WHERE finished_at IS NULL")[0]["n"]))

    def all_ended(self, server: Server) -> None:
        """Raises ``AssertionError`` if some job does not end."""
        server.wait_until(lambda: self.left_open(server) == 0, within_s=ENDS_WITHIN_S, every_s=0.1)

    # --- what must be true ------------------------------------------------------------------------------------------

    def problems(self, server: Server, prompts: list[str] | None = None) -> list[str]:
        """What is wrong now that every job has ended; of these requests, else of all."""
        wanted = self.client.asked if prompts is None else prompts
        return [*self._money(server), *(found for prompt in wanted for found in self._request(server, prompt))]

    def _money(self, server: Server) -> Iterator[str]:
        if server.rows("SELECT hold_id FROM holds"):
            yield "a hold is still open"
        yield from map(str, asyncio.run(check(self.home)))
        charged = server.rows("SELECT sum(used_nano) AS used FROM accounts")[0]["used"]
        succeeded = len(server.rows("SELECT id FROM jobs WHERE state = 'succeeded'"))
        if charged != succeeded * COST_NANO:
            yield f"{charged} nano were charged for {succeeded} films"

    def _request(self, server: Server, prompt: str) -> Iterator[str]:
        made = self.studio.made_for(prompt)
        if len(made) > 1:
            yield f"{prompt}: executed {len(made)} times"
        for job in made:
            yield from self._executed(server, prompt, job)
        if prompt in self.client.promised:
            yield from self._promised(server, prompt, self.client.promised[prompt])

    def _executed(self, server: Server, prompt: str, job: SimulatedJob) -> Iterator[str]:
        """What the upstream has done is known, and shown as it ended there."""
        rows = server.rows("SELECT id, state FROM jobs WHERE upstream_id = ?", job.id)
        ended = self.studio.state(job).value
        if [row["state"] for row in rows] != [ended]:
            yield f"{prompt}: the upstream's job {job.id} {ended}, ours are {rows}"
        elif ended == SimulatedState.SUCCEEDED:
            shown = self.client.send(server, "GET", f"/v1/videos/{rows[0]['id']}/content")
            if shown is None or shown.status != 200 or shown.body != self.studio.film(job):
                yield f"{prompt}: its content is {shown}"

    def _promised(self, server: Server, prompt: str, ident: str) -> Iterator[str]:
        """A client that was given an id finds its job, also by asking for the same again."""
        status = self.client.send(server, "GET", f"/v1/videos/{ident}")
        if status is None or status.json().get("status") not in ("completed", "failed", "cancelled"):
            yield f"{prompt}: {ident} is shown as {status}"
        again = self.client.send(server, "POST", "/v1/videos", film(prompt), once=prompt)
        if again is None or again.json().get("id", ident) != ident:
            yield f"{prompt}: asked for again it became {again} instead of {ident}"


def check_books(server: Server) -> None:
    """Raises ``AssertionError``."""
    assert asyncio.run(check(server.home)) == []
    assert server.rows("SELECT hold_id FROM holds") == []


async def check(home: Path) -> list[object]:
    """``relayhub ledger check`` without the cost of starting the program."""
    engine = Engine(home / "hub.db")
    try:
        async with engine.reading() as connection:
            return list(await violations(connection))
    finally:
        await engine.close()


def template(home: Path) -> str:
    """Make a hub's folder that others can be copied from; returns an API key."""
    home.mkdir(parents=True)
    (home / "relayhub.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9", first_s=1))
    made = json.loads(cli(home, "keys", "create", "k", "--json", env=environment(home)))
    return str(made["key"])


def wait_stopped(server: Server) -> None:
    """Until the server has stopped itself."""
    stat = Path(f"/proc/{server.process.pid}/stat")
    server.wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", within_s=20)


def go_on(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGCONT)
