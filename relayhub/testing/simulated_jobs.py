"""Rules for job wires that are held against a simulator of their upstream: whole lives of jobs, money and faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar
from unittest import SkipTest

from relayhub.sdk import (
    CancellingWire,
    Effect,
    FindingWire,
    Found,
    HttpRequest,
    JobState,
    JobUpdate,
    JobWire,
    ProviderContext,
    UpstreamError,
    UpstreamJob,
)
from relayhub.testing.clock import FakeClock
from relayhub.testing.job_simulator import Fate, Fault, JobSimulator, SimulatedState
from relayhub.testing.registration import ProviderCase
from relayhub.testing.steps import beyond, drive
from relayhub.testing.upstream import Cut, Hang

if TYPE_CHECKING:
    from relayhub.testing.jobs import JobSample

ORDER = (JobState.QUEUED, JobState.IN_PROGRESS, JobState.SUCCEEDED)
REFERENCES = tuple(f"task_simulated00000000000000000{number}" for number in range(10))
LONG = Fate(queue_s=60, run_s=600)


class SimulatedJobRules(ProviderCase):
    """Part of :class:`JobWireSuite`; each rule is skipped where ``simulator`` is not overridden."""

    samples: ClassVar[Sequence[JobSample]]
    _clock: FakeClock | None = None

    def job_wire(self) -> JobWire:
        raise AssertionError("mix this into JobWireSuite")

    def simulator(self, clock: FakeClock) -> JobSimulator:
        """A new simulator that takes the suite's settings; ``clock`` is its time."""
        raise SkipTest("override simulator(clock) to hold the wire against a simulator of its upstream")

    def build(self) -> object:
        context = ProviderContext("under-test", self._clock or FakeClock(), "relayhub/test")
        return self.provider_type.build(self.parsed(), context)

    def simulated(self) -> tuple[FakeClock, JobSimulator]:
        """A new one, whose time is the test's, and that of the providers that are built from now on."""
        self._clock = clock = FakeClock()
        return clock, self.simulator(clock)

    def simulated_submit(self, upstream: JobSimulator, reference: str = REFERENCES[0], sample: int = 0) -> UpstreamJob:
        asked = self.samples[sample]
        return drive(self.job_wire().submit(asked.model, asked.request, reference), upstream.exchange).result

    def simulated_poll(self, upstream: JobSimulator, job: UpstreamJob) -> JobUpdate:
        return drive(self.job_wire().poll(job), upstream.exchange).result

    # --- whole lives --------------------------------------------------------------------------------------------------

    def test_simulated_every_sample_is_accepted_once_and_succeeds(self) -> None:
        for index in range(len(self.samples)):
            clock, upstream = self.simulated()
            upstream.foretell(Fate(queue_s=5, run_s=20))
            job = self.simulated_submit(upstream, sample=index)
            states: list[JobState | None] = []
            for _ in range(4):
                states.append(self.simulated_poll(upstream, job).state)
                clock.advance(10)
            assert upstream.counters.executions == 1, "one submit must be one execution"
            seen = [state for state in ORDER if state in states]
            assert seen == list(ORDER), f"the states that were seen are {states}"
            assert not upstream.complaints, f"the upstream complains: {upstream.complaints}"

    def test_simulated_no_more_is_billed_than_was_measured(self) -> None:
        for index, sample in enumerate(self.samples):
            clock, upstream = self.simulated()
            measured = self.job_wire().measure(sample.model, sample.request)
            job = self.simulated_submit(upstream, sample=index)
            clock.advance(3600)
            billed = self.simulated_poll(upstream, job).usage
            if billed is None:
                continue
            more = beyond(billed, measured)
            assert not more, f"for {sample.request}, {billed} was billed and {measured} was measured: too low in {more}"
            same = (billed.resolution, billed.audio, billed.input_kind)
            wanted = (measured.resolution, measured.audio, measured.input_kind)
            assert same == wanted, f"billed by {same}, measured by {wanted}: they choose the price and must be the same"

    def test_simulated_results_can_be_fetched_without_the_credential(self) -> None:
        clock, upstream = self.simulated()
        job = self.simulated_submit(upstream)
        clock.advance(3600)
        update = self.simulated_poll(upstream, job)
        links = {artifact.url: artifact.headers for artifact in update.artifacts if artifact.url is not None}
        for link, headers in links.items():
            reply = upstream.exchange(HttpRequest("GET", link, headers, effect=Effect.NONE))
            assert reply.status == 200 and reply.body, f"the artifact's link answers {reply.status}"
        assert links or any(artifact.data for artifact in update.artifacts), "a success without a result"

    def test_simulated_a_failure_is_a_failure(self) -> None:
        clock, upstream = self.simulated()
        upstream.foretell(Fate(failure=("InternalError", "It went wrong.")))
        job = self.simulated_submit(upstream)
        clock.advance(3600)
        update = self.simulated_poll(upstream, job)
        assert update.state is JobState.FAILED and update.failure is not None, f"a failed job became {update}"

    def test_simulated_a_job_is_polled_by_another_process(self) -> None:
        clock, upstream = self.simulated()
        job = self.simulated_submit(upstream)
        clock.advance(3600)
        stored = UpstreamJob(job.id, dict(job.handle))
        assert self.simulated_poll(upstream, stored) == self.simulated_poll(upstream, job), "a poll must need no memory"

    # --- faults -------------------------------------------------------------------------------------------------------

    def test_simulated_faults_of_a_submit_are_told_truthfully(self) -> None:
        for status in (429, 503):
            error, upstream = self._faulty_submit(Fault(status))
            assert not error.delivered and upstream.counters.executions == 0, f"a {status} was not executed"
        for executed in (False, True):
            error, upstream = self._faulty_submit(Fault(502, executed=executed))
            assert error.delivered, "after a 502 nobody knows whether it was executed: delivered=True"
            assert upstream.counters.executions == executed, "submit() must not try again by itself"

    def _faulty_submit(self, fault: Fault) -> tuple[UpstreamError, JobSimulator]:
        _, upstream = self.simulated()
        upstream.inject(fault)
        try:
            self.simulated_submit(upstream)
        except UpstreamError as error:
            return error, upstream
        raise AssertionError(f"submit() took {fault} for an acceptance: raise UpstreamError")

    # --- finding ------------------------------------------------------------------------------------------------------

    def test_simulated_what_was_accepted_without_an_answer_is_found(self) -> None:
        for lost in (Fault(502, executed=True), Fault(Cut(), executed=True), Fault(Hang(), executed=True)):
            clock, upstream = self.simulated()
            upstream.inject(lost)
            self._try_submit(upstream, REFERENCES[0])
            clock.advance(90)
            found = self._find(clock, upstream, REFERENCES[0])
            assert isinstance(found, UpstreamJob), f"{lost}: the job is at the upstream, but find() says {found}"
            assert found.id in upstream.jobs, f"find() found {found}, which is no job of the upstream's"
            assert self.simulated_poll(upstream, found).state is not None, "a job that was found can be polled"

    def test_simulated_what_was_never_accepted_is_not_found(self) -> None:
        clock, upstream = self.simulated()
        upstream.inject(Fault(502))
        self._try_submit(upstream, REFERENCES[0])
        clock.advance(90)
        found = self._find(clock, upstream, REFERENCES[0])
        assert found is Found.NO, f"the upstream has no such job and lists all it has, but find() says {found}"

    def test_simulated_a_lookup_never_takes_another_job_for_its_own(self) -> None:
        clock, upstream = self.simulated()
        upstream.foretell(LONG, LONG)
        upstream.inject(Fault(502, executed=True), Fault(502, executed=True))
        for reference in REFERENCES[:2]:
            self._try_submit(upstream, reference)
        clock.advance(90)
        found = [self._find(clock, upstream, reference) for reference in REFERENCES[:2]]
        first, second = (result.id if isinstance(result, UpstreamJob) else None for result in found)
        made = list(upstream.jobs)
        assert first in (None, made[0]) and second in (None, made[1]), "two like jobs: tell them apart, or Found.UNSURE"
        assert Found.NO not in found, "both jobs exist: Found.NO would give up a job that is paid"

    def _try_submit(self, upstream: JobSimulator, reference: str) -> None:
        if not isinstance(self.job_wire(), FindingWire):
            raise SkipTest("the wire has no find()")
        try:
            self.simulated_submit(upstream, reference)
        except (UpstreamError, ConnectionError, TimeoutError):
            return
        raise AssertionError("submit() took a fault for an acceptance: raise UpstreamError")

    def _find(self, clock: FakeClock, upstream: JobSimulator, reference: str) -> UpstreamJob | Found:
        wire, asked = self.job_wire(), self.samples[0]
        assert isinstance(wire, FindingWire)
        since = clock.now() - 90
        steps = wire.find(asked.model, asked.request, reference, since, since + 30)
        return drive(steps, upstream.exchange).result

    # --- cancelling ---------------------------------------------------------------------------------------------------

    def test_simulated_cancel_says_what_became_of_the_job(self) -> None:
        for wait_s in (0, 120, 3600):
            clock, upstream = self.simulated()
            wire = self.job_wire()
            if not isinstance(wire, CancellingWire):
                raise SkipTest("the wire has no cancel()")
            upstream.foretell(LONG)
            job = self.simulated_submit(upstream)
            clock.advance(wait_s)
            said = drive(wire.cancel(job), upstream.exchange).result
            made = upstream.jobs[next(iter(upstream.jobs))]
            cancelled = upstream.state(made) is SimulatedState.CANCELLED
            assert said is cancelled, f"cancel() said {said} of a job that is {upstream.state(made)}"
            assert not made.forgotten, "cancel() deleted a finished job, and its result with it: look first"
