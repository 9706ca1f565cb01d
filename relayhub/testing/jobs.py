"""Rules for wires of upstreams that answer later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, TypeVar
from unittest import SkipTest

from relayhub.sdk import (
    CalledBackWire,
    CancellingWire,
    ClientError,
    FindingWire,
    Found,
    HttpReply,
    HttpRequest,
    JobProvider,
    JobState,
    JobUpdate,
    JobWire,
    MediaKind,
    MediaRequest,
    MediaUsage,
    Steps,
    UpstreamError,
    UpstreamJob,
)
from relayhub.testing.clock import FakeClock
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite, check_absolute
from relayhub.testing.simulated_jobs import SimulatedJobRules
from relayhub.testing.steps import AMBIGUOUS, NO_ANSWERS, REFUSED, always, beyond, body_of, drive, failing, replaying

REFERENCE = "task_conformance0000000000000001"
HOOK = "https://hub.example/hooks/token-0123456789"
ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobSample:
    """A request that the upstream takes. ``billed``: the most that it would charge for it."""

    request: MediaRequest
    billed: MediaUsage = field(default_factory=MediaUsage)

    @property
    def model(self) -> str:
        return self.request.model


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the model cannot honour, and the name of the parameter that is to blame."""

    request: MediaRequest
    param: str


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """Answers of the upstream, in their order, and what the wire makes of them."""

    replies: Sequence[HttpReply]
    result: T


class JobWireSuite(SimulatedJobRules, RequestSuite, ErrorSuite):
    """``samples``: requests of every kind that the upstream takes; ``refused``: requests that it does not, each with the
    parameter that is refused. ``submitted``: the answers to a submit, and the job in them; ``polls``: answers to polls,
    one for every state that the upstream has; ``unknown_poll``: such an answer with a state that nobody knows. ``finds``
    (looking for the first sample, in the minute before ``FakeClock().now()``), ``cancels`` and ``callbacks`` (headers,
    body, id): where the upstream has them. ``error_body``: see :class:`ErrorSuite`. Override ``simulator(clock)`` for the
    rules that need a simulator of the upstream, and ``sent_reference`` if the reference is not sent as it is.

    A provider with jobs of several kinds has a suite for each (``kind``)."""

    kind: ClassVar[MediaKind] = MediaKind.VIDEO
    samples: ClassVar[Sequence[JobSample]]
    refused: ClassVar[Sequence[Refused]] = ()
    submitted: ClassVar[Told[UpstreamJob]]
    polls: ClassVar[Sequence[Told[JobUpdate]]]
    unknown_poll: ClassVar[Sequence[HttpReply]]
    finds: ClassVar[Sequence[Told[UpstreamJob | Found]]] = ()
    cancels: ClassVar[Sequence[Told[bool]]] = ()
    callbacks: ClassVar[Sequence[tuple[Mapping[str, str], bytes, str]]] = ()

    def job_wire(self) -> JobWire:
        built = self.build()
        assert isinstance(built, JobProvider), "implement jobs(kind)"
        wire = built.jobs(self.kind)
        assert wire is not None, f"jobs({self.kind}) returned None, but the suite says that it has such jobs"
        return wire

    def sent_reference(self, reference: str) -> str | None:
        """As what the hub's reference stands in the paid request; ``None`` if the upstream has no place for it."""
        return reference

    # --- operations ---------------------------------------------------------------------------------------------------

    def submitting(self, wire: JobWire | None = None, sample: JobSample | None = None) -> Steps[UpstreamJob]:
        asked = sample or self.samples[0]
        return (wire or self.job_wire()).submit(asked.model, asked.request, REFERENCE)

    def submit_requests(self, wire: JobWire | None = None, sample: JobSample | None = None) -> list[HttpRequest]:
        return list(drive(self.submitting(wire, sample), replaying(self.submitted.replies)).requests)

    def finding(self) -> Steps[UpstreamJob | Found]:
        wire = self.job_wire()
        if not isinstance(wire, FindingWire):
            raise SkipTest("the wire has no find()")
        now = FakeClock().now()
        return wire.find(self.samples[0].model, self.samples[0].request, REFERENCE, now - 60, now)

    def cancelling(self) -> Steps[bool]:
        wire = self.job_wire()
        if not isinstance(wire, CancellingWire):
            raise SkipTest("the wire has no cancel()")
        return wire.cancel(self.submitted.result)

    def free_requests(self) -> list[HttpRequest]:
        """Every request of every operation that costs nothing."""
        found: list[HttpRequest] = []
        for told in self.polls:
            found += drive(self.job_wire().poll(self.submitted.result), replaying(told.replies)).requests
        for find in self.finds:
            found += drive(self.finding(), replaying(find.replies)).requests
        for cancel in self.cancels:
            found += drive(self.cancelling(), replaying(cancel.replies)).requests
        return found

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), *drive(self.submitting(), replaying(self.submitted.replies)).paid]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), self._refusal]

    def _refusal(self, reply: HttpReply) -> UpstreamError:
        try:
            drive(self.submitting(), failing(reply, self.submitted.replies, paid=True))
        except UpstreamError as error:
            return error
        raise AssertionError(f"submit() took a {reply.status} for an acceptance: raise UpstreamError")

    # --- submitting ---------------------------------------------------------------------------------------------------

    def test_a_submit_is_exactly_one_paid_request(self) -> None:
        for sample in self.samples:
            paid = drive(self.submitting(sample=sample), replaying(self.submitted.replies)).paid
            assert len(paid) == 1, (
                f"{len(paid)} requests of a submit are Effect.PAID: it must be one, the one that costs"
            )

    def test_an_acceptance_is_read(self) -> None:
        job = drive(self.submitting(), replaying(self.submitted.replies)).result
        assert job.id == self.submitted.result.id, f"submit() returned {job}, but `submitted` says otherwise"

    def test_the_reference_is_sent(self) -> None:
        expected = self.sent_reference(REFERENCE)
        if expected is None:
            raise SkipTest("the upstream has no place for the hub's reference")
        for request in drive(self.submitting(), replaying(self.submitted.replies)).paid:
            sent = (request.url + "".join(request.headers.values())).encode() + body_of(request)
            assert expected.encode() in sent, (
                "the reference is not in the paid request: the job could not be found again"
            )

    def test_the_same_request_is_sent_for_the_same_submit(self) -> None:
        first, second = self.submit_requests(), self.submit_requests()
        assert [body_of(one) for one in first] == [body_of(two) for two in second], "a submit must not depend on chance"

    def test_an_unreadable_acceptance_is_ambiguous(self) -> None:
        for body in NO_ANSWERS:
            error = self._refusal(HttpReply(200, {"content-type": "application/json"}, body))
            assert error.delivered, f"a 200 with {body!r} may have been accepted: delivered=True (see upstream_broke)"
            assert not error.retryable, f"a 200 with {body!r} may have been accepted: retryable=False"

    def test_a_refused_submit_was_not_delivered(self) -> None:
        for status in REFUSED:
            assert not self._refused_with(status).delivered, f"nothing was executed after a {status}: delivered=False"

    def test_a_submit_that_broke_upstream_may_have_been_delivered(self) -> None:
        for status in AMBIGUOUS:
            assert self._refused_with(status).delivered, f"after a {status} nobody knows: delivered=True"

    def _refused_with(self, status: int) -> UpstreamError:
        body = self.error_body.replace("{message}", "no").encode()
        return self._refusal(HttpReply(status, {"content-type": "application/json"}, body))

    # --- what it costs ------------------------------------------------------------------------------------------------

    def test_what_it_will_cost_is_never_measured_too_low(self) -> None:
        for sample in self.samples:
            measured = self.job_wire().measure(sample.model, sample.request)
            low = beyond(sample.billed, measured)
            assert not low, f"measure({sample.request}) is below what the upstream charges for in {low}: {measured}"

    def test_what_cannot_be_honoured_is_refused_by_name(self) -> None:
        for refused in self.refused:
            try:
                self.job_wire().measure(refused.request.model, refused.request)
            except ClientError as error:
                named = f"{error.param} {error.message}"
                assert refused.param in named, f"say that {refused.param!r} is to blame, not: {error.message}"
                continue
            raise AssertionError(f"measure() took {refused.request}: raise ClientError naming {refused.param!r}")

    def test_inputs_without_links_are_taken_only_where_the_wire_says_so(self) -> None:
        with_data = [sample for sample in self.samples if _has_data(sample.request)]
        takes = self.job_wire().takes_data
        assert takes or not with_data, "a sample has base64 in it, but takes_data is False"

    # --- free operations ----------------------------------------------------------------------------------------------

    def test_looking_and_cancelling_cost_nothing(self) -> None:
        for request in self.free_requests():
            assert request.effect == "none", f"{request.method} {request.url} costs nothing: effect=Effect.NONE"

    def test_free_requests_carry_the_credential_in_a_header(self) -> None:
        for request in self.free_requests():
            check_absolute(request)
            self.check_credential(request)

    def test_every_state_is_read(self) -> None:
        for told in self.polls:
            update = drive(self.job_wire().poll(self.submitted.result), replaying(told.replies)).result
            assert update == told.result, f"poll() gave {update}, `polls` says {told.result}"

    def test_a_state_that_nobody_knows_changes_nothing(self) -> None:
        update = drive(self.job_wire().poll(self.submitted.result), replaying(self.unknown_poll)).result
        assert update.state is None, f"an unknown word became {update.state}: state=None, and the job stays as it is"

    def test_an_unreadable_state_is_an_upstream_error(self) -> None:
        for body in NO_ANSWERS:
            reply = HttpReply(200, {"content-type": "application/json"}, body)
            try:
                update = drive(self.job_wire().poll(self.submitted.result), always(reply)).result
            except UpstreamError:
                continue
            raise AssertionError(f"poll() made {update} of {body!r}: raise UpstreamError")

    def test_every_free_request_reads_its_failures(self) -> None:
        for status in (401, 429, *AMBIGUOUS, 503):
            body = self.error_body.replace("{message}", "no").encode()
            reply = HttpReply(status, {"content-type": "application/json", "retry-after": "7"}, body)
            for what, steps in self._free_operations():
                try:
                    drive(steps, always(reply))
                except UpstreamError as error:
                    assert error.status == status, f"{what}() lost the status {status} of the upstream's answer"
                    continue
                raise AssertionError(f"{what}() took a {status} for an answer: raise UpstreamError")

    def _free_operations(self) -> list[tuple[str, Steps[object]]]:
        wire = self.job_wire()
        operations: list[tuple[str, Steps[object]]] = [("poll", _any(wire.poll(self.submitted.result)))]
        if isinstance(wire, FindingWire):
            operations.append(("find", _any(self.finding())))
        if isinstance(wire, CancellingWire):
            operations.append(("cancel", _any(self.cancelling())))
        return operations

    def test_success_has_results_and_failure_has_reasons(self) -> None:
        for told in self.polls:
            update = told.result
            if update.state is JobState.SUCCEEDED:
                assert update.artifacts, "a success without an artifact: there is nothing to deliver"
            for artifact in update.artifacts:
                assert (artifact.url is None) != (artifact.data is None), "an artifact has a url or data, one of them"
                assert artifact.lives_s is None or artifact.lives_s > 0, "lives_s: seconds from now, more than 0"
            failed = update.state is JobState.FAILED
            assert (update.failure is not None) is failed, "a failed job has a failure, no other job has"
            assert update.failure is None or (update.failure.code and update.failure.message), (
                "say what failed, and why"
            )

    def test_the_polls_have_a_success_and_a_failure(self) -> None:
        states = {told.result.state for told in self.polls}
        assert {JobState.SUCCEEDED, JobState.FAILED, JobState.IN_PROGRESS} <= states, "add them to `polls`"

    # --- what the hub keeps -------------------------------------------------------------------------------------------

    def test_a_job_can_be_stored_and_polled_by_another_process(self) -> None:
        job = drive(self.submitting(), replaying(self.submitted.replies)).result
        assert all(isinstance(text, str) for pair in job.handle.items() for text in pair), "handle: text to text"
        stored = UpstreamJob(job.id, json.loads(json.dumps(dict(job.handle))))
        first, second = next(self.job_wire().poll(job)), next(self.job_wire().poll(stored))
        assert first.url == second.url, "a poll must need nothing but the UpstreamJob"

    def test_what_the_hub_keeps_has_no_secret_in_it(self) -> None:
        job = drive(self.submitting(), replaying(self.submitted.replies)).result
        kept = f"{job.id} {dict(job.handle)}"
        assert not any(secret in kept for secret in self.secrets()), "the handle is stored in clear: no secrets in it"

    def test_the_pace_is_sane(self) -> None:
        pace = self.job_wire().pace
        assert pace.first_s > 0 and pace.every_s >= 1, "first_s and every_s: at least a second between two polls"
        assert pace.every_s <= pace.slow_every_s <= pace.patient_every_s, "polls become rarer, never denser"
        ordered = pace.slow_after_s <= pace.patient_after_s and pace.first_s < pace.limit_s
        assert ordered, "slow_after_s before patient_after_s, and all of it before limit_s"

    # --- finding, cancelling, being called ----------------------------------------------------------------------------

    def test_a_lookup_is_read(self) -> None:
        for told in self.finds:
            found = drive(self.finding(), replaying(told.replies)).result
            assert _same(found, told.result), f"find() gave {found}, `finds` says {told.result}"

    def test_a_wire_that_finds_has_lookups_to_show(self) -> None:
        self.finding()
        results = [told.result for told in self.finds]
        assert Found.NO in results and Found.UNSURE in results, (
            "add a lookup that finds nothing, and one that is not sure"
        )
        assert any(isinstance(result, UpstreamJob) for result in results), "add a lookup that finds the job"

    def test_an_unreadable_listing_is_never_a_no(self) -> None:
        for body in NO_ANSWERS:
            reply = HttpReply(200, {"content-type": "application/json"}, body)
            try:
                found = drive(self.finding(), always(reply)).result
            except UpstreamError:
                continue
            assert found is Found.UNSURE, f"find() made {found} of {body!r}: the job could be given up though it runs"

    def test_a_cancel_is_read(self) -> None:
        for told in self.cancels:
            result = drive(self.cancelling(), replaying(told.replies)).result
            assert result is told.result, f"cancel() gave {result}, `cancels` says {told.result}"

    def test_a_callback_url_is_sent_and_callbacks_are_read(self) -> None:
        wire = self.job_wire()
        if not isinstance(wire, CalledBackWire):
            raise SkipTest("the upstream has no callbacks")
        sent = b"".join(body_of(request) for request in self.submit_requests(wire.with_callback(HOOK)))
        assert HOOK.encode() in sent.replace(b"\\/", b"/"), "with_callback(url): the url is not in the submit"
        assert self.callbacks, "add what the upstream posts to `callbacks`"
        for headers, body, job in self.callbacks:
            assert wire.read_callback(headers, body) == job, f"read_callback() does not find {job} in {body!r}"
        for body in NO_ANSWERS:
            assert wire.read_callback({}, body) is None, f"read_callback() found a job in {body!r}"


def _any(steps: Steps[T]) -> Steps[object]:
    return (yield from steps)


def _has_data(request: MediaRequest) -> bool:
    return any(given.media.data is not None for given in getattr(request, "inputs", ()))


def _same(found: UpstreamJob | Found, expected: UpstreamJob | Found) -> bool:
    """By id: the handle is the wire's own affair."""
    if isinstance(found, UpstreamJob) and isinstance(expected, UpstreamJob):
        return replace(found, handle={}) == replace(expected, handle={})
    return found is expected
