"""A base for simulators of upstreams that answer later: jobs that move on by the clock, results that expire, faults on
demand, and a true count of what was executed, for whom.

A subclass says how its upstream speaks; this class knows the jobs. All of it::

    class AcmeSimulator(JobSimulator):
        def step(self, request: Recorded) -> JobStep: ...     # which step of a job's life is this request?
        def respond(self, request: Recorded) -> Answer: ...   # as strict as the upstream: keys, paths, every field
        def error(self, status: int) -> Answer: ...           # optional: an injected status, in the upstream's shape
        def make_id(self, number: int) -> str: ...            # optional
        def lane(self, job: SimulatedJob) -> str: ...         # optional: jobs of one lane share the ``at_once`` places
        def callback(self, job: SimulatedJob) -> object: ...  # optional: the JSON that is posted to ``callback_url``
        def result(self, job: SimulatedJob, name: str) -> Answer: ...   # optional: the bytes behind a result's link

What ``respond`` calls:

* ``accept(asked, handle=…, kind=…, callback_url=…, expires_s=…) -> SimulatedJob``: the job is made, and counted as one
  execution for ``handle``. ``handle`` is the upstream's idempotency handle, or, where it has none, whatever tells one
  request of a test from another (its prompt, say). A simulator whose upstream refuses a handle that it knows looks with
  ``by_handle`` first.
* ``state(job) -> SimulatedState`` now; ``changed_at(job)``: when that began; ``job.fate.failure``: why it failed.
* ``known(id)``, ``by_handle(handle)``, ``listing() -> list[SimulatedJob]``: newest first; all without the records that are
  older than ``record_s``. ``unfinished(lane)`` counts what is queued or running.
* ``cancel(job)`` and ``forget(job)``: whether they are allowed is the subclass's to say.
* ``link(job, name) -> str``: where a result can be fetched for ``link_s`` from the job's end; served by this class, 403
  afterwards; a credential that is sent there is a complaint.
* ``publish(answer, name) -> str``: the same for what belongs to no job, such as an image that is answered at once.
* ``now()``.

A paid call that is answered at once (an image, say) says so: ``Answer(..., executed=True)``; nothing else counts.

What a test calls:

* ``foretell(Fate(run_s=5), Fate(failure=("code", "text")), …)``: how the next accepted jobs will go; the others go as
  ``fate``. ``run_s=math.inf`` never ends by itself.
* ``inject(Fault(503), Fault(Cut(), executed=True), Fault(Hang(), step=JobStep.POLL), …)``: each is used once, by the next
  request of its step. ``executed``: the upstream does the work first and then fails to say so. (``program`` of the base
  answers *any* next request, and does no work.)
* ``jobs`` (by id, forgotten ones included), ``executions`` (a ``Counter`` by handle), ``steps`` (a ``Counter`` of
  :class:`JobStep`), and the base's ``counters.executions`` (jobs and paid calls).
* ``await call_back(job) -> int``: posts the job, as it is now, to its ``callback_url``; the status of the answer.
* ``exchange(HttpRequest) -> HttpReply`` (of the base): the same without a network.
"""

from __future__ import annotations

import heapq
import math
from abc import abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qs, quote

import aiohttp

from relayhub.sdk import Clock
from relayhub.testing.upstream import Answer, Cut, Hang, Recorded, UpstreamSimulator, Wait

RESULTS = "/simulated-results/"
NOWHERE = "http://simulated.invalid"
"""The address of a simulator that does not serve: see :meth:`UpstreamSimulator.exchange`."""

VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"simulated video"
CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key"})


class SimulatedState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def open(self) -> bool:
        return self in (SimulatedState.QUEUED, SimulatedState.RUNNING)


class JobStep(StrEnum):
    """What a request does in a job's life. ``PAY``: a paid call that is answered at once; ``FETCH``: of a result, told by
    the base itself."""

    SUBMIT = "submit"
    POLL = "poll"
    LIST = "list"
    CANCEL = "cancel"
    PAY = "pay"
    FETCH = "fetch"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Fate:
    """How a job goes: seconds in the queue, seconds of work, and the upstream's code and text if it fails."""

    queue_s: float = 2.0
    run_s: float = 30.0
    failure: tuple[str, str] | None = None


What: TypeAlias = int | Answer | Cut | Hang | Wait


@dataclass(frozen=True, slots=True)
class Fault:
    """``what``: a status, an answer, a break, a silence, or a ``Wait`` that the true answer comes after."""

    what: What
    step: JobStep = JobStep.SUBMIT
    executed: bool = False


@dataclass(slots=True)
class SimulatedJob:
    """``asked``: what the submit said. ``number``: from 1, in the order of acceptance."""

    id: str
    number: int
    asked: Mapping[str, object]
    handle: str
    kind: str
    created_at: float
    fate: Fate
    callback_url: str | None = None
    expires_s: float = math.inf
    cancelled_at: float | None = None
    forgotten: bool = False


class JobSimulator(UpstreamSimulator):
    """See the module. ``fate``: of jobs that nothing was foretold for; ``link_s``, ``record_s``: how long results and
    records live; ``at_once``: how many jobs of a lane run at a time, the others wait in the queue."""

    result_type: ClassVar[str] = "video/mp4"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        forbidden: Sequence[str] = (),
        fate: Fate | None = None,
        link_s: float = 86_400.0,
        record_s: float = 7 * 86_400.0,
        at_once: int | None = None,
    ) -> None:
        super().__init__(forbidden=forbidden, clock=clock)
        self.jobs: dict[str, SimulatedJob] = {}
        self.executions: Counter[str] = Counter()
        self.steps: Counter[JobStep] = Counter()
        self._fate = fate or Fate()
        self._link_s = link_s
        self._record_s = record_s
        self._most_at_once = at_once
        self._foretold: deque[Fate] = deque()
        self._faults: list[Fault] = []
        self._published: dict[str, Answer] = {}

    # --- for subclasses to say ----------------------------------------------------------------------------------------

    @abstractmethod
    def step(self, request: Recorded) -> JobStep: ...

    @abstractmethod
    def respond(self, request: Recorded) -> Answer: ...

    def error(self, status: int) -> Answer:
        return Answer.json({"error": {"code": "injected", "message": f"Injected {status}."}}, status)

    def make_id(self, number: int) -> str:
        return f"job-{number:06d}"

    def lane(self, _job: SimulatedJob) -> str:
        return ""

    def callback(self, job: SimulatedJob) -> object:
        return {"id": job.id, "status": self.state(job).value}

    def result(self, job: SimulatedJob, name: str) -> Answer:
        return Answer(body=VIDEO + f" {job.id} {name}".encode(), headers={"content-type": self.result_type})

    # --- for tests ----------------------------------------------------------------------------------------------------

    def foretell(self, *fates: Fate) -> None:
        self._foretold.extend(fates)

    def inject(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    async def call_back(self, job: SimulatedJob) -> int:
        """Raises ``AssertionError`` if the job was submitted without an address."""
        assert job.callback_url is not None, f"{job.id} was submitted without a callback URL"
        async with (
            aiohttp.ClientSession() as session,
            session.post(job.callback_url, json=self.callback(job)) as reply,
        ):
            return reply.status

    # --- for respond() ------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._clock.now()

    def accept(
        self,
        asked: Mapping[str, object],
        *,
        handle: str,
        kind: str = "video",
        callback_url: str | None = None,
        expires_s: float = math.inf,
    ) -> SimulatedJob:
        number = len(self.jobs) + 1
        fate = self._foretold.popleft() if self._foretold else self._fate
        job = SimulatedJob(self.make_id(number), number, asked, handle, kind, self.now(), fate, callback_url, expires_s)
        self.jobs[job.id] = job
        self.executions[handle] += 1
        return job

    def known(self, id_: str) -> SimulatedJob | None:
        job = self.jobs.get(id_)
        return job if job is not None and self._on_record(job) else None

    def by_handle(self, handle: str) -> SimulatedJob | None:
        return next((job for job in self.listing() if job.handle == handle), None)

    def listing(self) -> list[SimulatedJob]:
        return [job for job in reversed(self.jobs.values()) if self._on_record(job)]

    def unfinished(self, lane: str = "") -> int:
        return sum(self.lane(job) == lane and self.state(job).open for job in self.jobs.values())

    def cancel(self, job: SimulatedJob) -> None:
        job.cancelled_at = self.now()

    def forget(self, job: SimulatedJob) -> None:
        job.forgotten = True

    def state(self, job: SimulatedJob) -> SimulatedState:
        return self._history(job)[0]

    def changed_at(self, job: SimulatedJob) -> float:
        return self._history(job)[1]

    def link(self, job: SimulatedJob, name: str = "video.mp4") -> str:
        return self._linked(f"{job.id}/{quote(name)}", self.changed_at(job))

    def publish(self, answer: Answer, name: str) -> str:
        path = f"published/{len(self._published)}-{quote(name)}"
        self._published[path] = answer
        return self._linked(path, self.now())

    def _linked(self, path: str, since: float) -> str:
        return f"{self.url or NOWHERE}{RESULTS}{path}?expires={since + self._link_s:.0f}&signature=simulated"

    # --- inside -------------------------------------------------------------------------------------------------------

    def answer(self, request: Recorded) -> Answer:
        step = JobStep.FETCH if request.path.startswith(RESULTS) else self.step(request)
        self.steps[step] += 1
        fault = self._fault(step)
        if fault is not None and not fault.executed and not isinstance(fault.what, Wait):
            return self._faulty(fault.what, None, executed=False)
        before = len(self.jobs)
        done = self._result(request) if step is JobStep.FETCH else self.respond(request)
        executed = len(self.jobs) > before or done.executed is True
        return self._faulty(fault.what, done, executed) if fault else replace(done, executed=executed)

    def _fault(self, step: JobStep) -> Fault | None:
        index = next((index for index, fault in enumerate(self._faults) if fault.step is step), None)
        return self._faults.pop(index) if index is not None else None

    def _faulty(self, what: What, done: Answer | None, executed: bool) -> Answer:
        match what:
            case int():
                return replace(self.error(what), executed=executed)
            case Answer():
                return replace(what, executed=executed)
            case _:
                return replace(done or self.error(503), before=(what,), executed=executed)

    def _result(self, request: Recorded) -> Answer:
        if CREDENTIALS & request.headers.keys():
            self.complaints.append(f"{request.path}: a credential is sent to the link of a result")
        path = request.path.removeprefix(RESULTS)
        id_, _, name = path.partition("/")
        until = float(parse_qs(request.query).get("expires", ["0"])[0])
        job, published = self.jobs.get(id_), self._published.get(path)
        if self.now() < until and published is not None:
            return published
        if self.now() < until and job is not None:
            return self.result(job, name)
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", {"content-type": "application/xml"})

    def _on_record(self, job: SimulatedJob) -> bool:
        return not job.forgotten and self.now() < job.created_at + self._record_s

    def _history(self, job: SimulatedJob) -> tuple[SimulatedState, float]:
        """The state now, and when it began."""
        if job.cancelled_at is not None:
            return SimulatedState.CANCELLED, job.cancelled_at
        now, begins = self.now(), self._begins(job)
        ends, expires = begins + job.fate.run_s, job.created_at + job.expires_s
        if now >= expires and ends > expires:
            return SimulatedState.EXPIRED, expires
        if now >= ends:
            return SimulatedState.FAILED if job.fate.failure else SimulatedState.SUCCEEDED, ends
        return (SimulatedState.RUNNING, begins) if now >= begins else (SimulatedState.QUEUED, job.created_at)

    def _begins(self, job: SimulatedJob) -> float:
        if self._most_at_once is None:
            return job.created_at + job.fate.queue_s
        busy: dict[str, list[float]] = defaultdict(list)
        for other in self.jobs.values():
            ends = busy[self.lane(other)]
            begins = other.created_at + other.fate.queue_s
            if len(ends) >= self._most_at_once:
                begins = max(begins, ends[0])
            if other is job:
                return begins
            if other.cancelled_at is None:
                if len(ends) >= self._most_at_once:
                    heapq.heappop(ends)
                heapq.heappush(ends, min(begins + other.fate.run_s, other.created_at + other.expires_s))
        raise AssertionError(f"{job.id} is not of this simulator")
