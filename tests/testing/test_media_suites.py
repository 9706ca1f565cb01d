"""Each rule of the suites for media catches the defect it is there for: a wire with exactly one fault fails the rules that
are about it, and the sound one none."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import SkipTest

import pytest

from relayhub.sdk import (
    Artifact,
    Effect,
    ErrorKind,
    Found,
    HttpReply,
    HttpRequest,
    JobState,
    JobUpdate,
    MediaRequest,
    MediaResult,
    MediaUsage,
    PollPace,
    SpeechRequest,
    Steps,
    UpstreamError,
    UpstreamJob,
    decode_openai_error,
    upstream_broke,
)
from tests.testing.test_planted_defects import failing_rules
from tests.testing.toy_media import (
    BASE,
    KEY,
    SUITES,
    TOY,
    ImageSuite,
    JobSuite,
    SpeechSuite,
    ToyImages,
    ToyJobs,
    ToyProvider,
    ToyReader,
    ToySpeech,
    read,
)

RETRIES = UpstreamError(ErrorKind.UPSTREAM_FAILED, "No.", code="x", retryable=True, delivered=False)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_sound_wires_break_no_rule(suite: type[Any]) -> None:
    assert failing_rules(suite) == set()


def test_every_rule_is_run_and_none_is_skipped() -> None:
    for suite in SUITES:
        for name in (name for name in dir(suite) if name.startswith("test_")):
            try:
                getattr(suite(), name)()
            except SkipTest as skipped:
                pytest.fail(f"{suite.__name__}.{name} was skipped: {skipped}")


# --- jobs -------------------------------------------------------------------------------------------------------------


def jobs(wire: type[ToyJobs]) -> set[str]:
    class Build(ToyProvider):
        job_wire = wire

    class Suite(JobSuite):
        provider_type = replace(TOY, build=Build)

    return failing_rules(Suite)


def asking(change: Callable[[HttpRequest], HttpRequest]) -> type[ToyJobs]:
    class Faulty(ToyJobs):
        def ask(self, method: str, path: str, body: object = None, effect: Effect = Effect.NONE) -> HttpRequest:
            return change(super().ask(method, path, body, effect))

    return Faulty


def updating(change: Callable[[JobUpdate], JobUpdate]) -> type[ToyJobs]:
    class Faulty(ToyJobs):
        def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
            return change((yield from super().poll(job)))

    return Faulty


def measuring(change: Callable[[MediaUsage], MediaUsage]) -> type[ToyJobs]:
    class Faulty(ToyJobs):
        def measure(self, model: str, request: MediaRequest) -> MediaUsage:
            return change(super().measure(model, request))

    return Faulty


def submitting(change: Callable[[UpstreamJob], UpstreamJob]) -> type[ToyJobs]:
    class Faulty(ToyJobs):
        def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
            return change((yield from super().submit(model, request, reference)))

    return Faulty


def finding(change: Callable[[UpstreamJob | Found], UpstreamJob | Found]) -> type[ToyJobs]:
    class Faulty(ToyJobs):
        def find(self, *args: Any) -> Steps[UpstreamJob | Found]:
            return change((yield from super().find(*args)))

    return Faulty


class SubmitsTwice(ToyJobs):
    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        steps = super().submit(model, request, reference)
        paid = next(steps)
        reply = yield paid
        if reply.status >= 500:
            reply = yield paid
        try:
            steps.send(reply)
        except StopIteration as done:
            return UpstreamJob(done.value.id, done.value.handle)
        raise AssertionError


class ForgetsReference(ToyJobs):
    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        return super().submit(model, request, "always-the-same")


class Trusts(ToyJobs):
    """Takes any 200 for an acceptance."""

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        body = {"prompt": getattr(request, "prompt", ""), "seconds": 5, "ref": reference, "hook": self.hook}
        reply = yield self.ask("POST", "/jobs", body, Effect.PAID)
        if reply.status != 200:
            raise decode_openai_error(reply)
        return UpstreamJob("j1", {"kind": "toy"})


class RefusesUnreadable(ToyJobs):
    """An unreadable acceptance as if it were a refusal."""

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        try:
            return (yield from super().submit(model, request, reference))
        except UpstreamError as error:
            error.delivered = error.delivered and error.status is not None
            raise


class SaysNothingRan(ToyJobs):
    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        try:
            return (yield from super().submit(model, request, reference))
        except UpstreamError as error:
            error.delivered = error.delivered and (error.status or 0) < 500
            raise


class SaysAllRan(ToyJobs):
    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        try:
            return (yield from super().submit(model, request, reference))
        except UpstreamError as error:
            error.delivered = True
            raise


class Lavish(ToyJobs):
    """Honours what it does not."""

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        return MediaUsage(video_ms=9000)


class Remembers(ToyJobs):
    """Polls with what it keeps in memory."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.number = next(itertools.count())
        self.calls = next(CALLS)

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        reply = yield self.ask("GET", f"/jobs/{job.id}?call={self.calls}")
        assert reply.status
        return JobUpdate(JobState.QUEUED)


CALLS = itertools.count()


class CancelsAnything(ToyJobs):
    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        reply = yield self.ask("DELETE", f"/jobs/{job.id}")
        if reply.status not in (200, 409):
            raise decode_openai_error(reply)
        return True


class HooksNowhere(ToyJobs):
    def with_callback(self, url: str) -> ToyJobs:
        return self


class HearsAnything(ToyJobs):
    def read_callback(self, headers: Any, body: bytes) -> str | None:
        return super().read_callback(headers, body) or "j1"


class Hasty(ToyJobs):
    pace = PollPace(every_s=0.1)


class Restless(ToyJobs):
    pace = PollPace(patient_every_s=1)


class Endless(ToyJobs):
    pace = PollPace(limit_s=1)


class EmptyListing(ToyJobs):
    """A listing that cannot be read is an empty one."""

    def find(self, *args: Any) -> Steps[UpstreamJob | Found]:
        try:
            return (yield from super().find(*args))
        except UpstreamError as error:
            if error.status is not None:
                raise
            return Found.NO


class Blind(ToyJobs):
    """A poll that failed is a job that waits."""

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        try:
            return (yield from super().poll(job))
        except UpstreamError:
            return JobUpdate(JobState.QUEUED)


class Silent(ToyJobs):
    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        try:
            return (yield from super().poll(job))
        except UpstreamError as error:
            raise upstream_broke("something") from error


def keyed_url(request: HttpRequest) -> HttpRequest:
    return replace(request, url=f"{request.url}{'&' if '?' in request.url else '?'}key={KEY}")


def relative(request: HttpRequest) -> HttpRequest:
    return replace(request, url=request.url.removeprefix(BASE))


def free(request: HttpRequest) -> HttpRequest:
    return replace(request, effect=Effect.NONE)


def paid(request: HttpRequest) -> HttpRequest:
    return replace(request, effect=Effect.PAID)


def anonymous(request: HttpRequest) -> HttpRequest:
    return replace(request, headers={"content-type": "application/json"})


def guessing(update: JobUpdate) -> JobUpdate:
    return replace(update, state=update.state or JobState.FAILED)


JOBS: dict[str, tuple[type[ToyJobs], str]] = {
    "a submit that is free": (asking(free), "test_a_submit_is_exactly_one_paid_request"),
    "polls that are paid": (asking(paid), "test_looking_and_cancelling_cost_nothing"),
    "a relative url": (asking(relative), "test_requests_go_to_an_absolute_url"),
    "the key in the url": (asking(keyed_url), "test_free_requests_carry_the_credential_in_a_header"),
    "no key": (asking(anonymous), "test_the_credential_is_in_a_header_and_not_in_the_url"),
    "a submit that tries again": (SubmitsTwice, "test_simulated_faults_of_a_submit_are_told_truthfully"),
    "a reference that is not sent": (ForgetsReference, "test_the_reference_is_sent"),
    "references that are all alike": (
        ForgetsReference,
        "test_simulated_what_was_accepted_without_an_answer_is_found",
    ),
    "any 200 as an acceptance": (Trusts, "test_an_unreadable_acceptance_is_ambiguous"),
    "a length that is not sent": (Trusts, "test_simulated_no_more_is_billed_than_was_measured"),
    "an unreadable acceptance as a refusal": (RefusesUnreadable, "test_an_unreadable_acceptance_is_ambiguous"),
    "a 502 as a refusal": (SaysNothingRan, "test_a_submit_that_broke_upstream_may_have_been_delivered"),
    "a 502 as a refusal, at work": (SaysNothingRan, "test_simulated_faults_of_a_submit_are_told_truthfully"),
    "a 429 as delivered": (SaysAllRan, "test_a_refused_submit_was_not_delivered"),
    "another job's id": (
        submitting(lambda job: replace(job, id="other")),
        "test_an_acceptance_is_read",
    ),
    "a secret in the handle": (
        submitting(lambda job: replace(job, handle={"key": KEY})),
        "test_what_the_hub_keeps_has_no_secret_in_it",
    ),
    "a handle of numbers": (
        submitting(lambda job: replace(job, handle={"number": 1})),  # type: ignore[dict-item]
        "test_a_job_can_be_stored_and_polled_by_another_process",
    ),
    "a poll from memory": (Remembers, "test_a_job_can_be_stored_and_polled_by_another_process"),
    "a price that is too low": (
        measuring(lambda usage: replace(usage, video_ms=1000)),
        "test_what_it_will_cost_is_never_measured_too_low",
    ),
    "a price that is too low, at work": (
        measuring(lambda usage: replace(usage, video_ms=1000)),
        "test_simulated_no_more_is_billed_than_was_measured",
    ),
    "a price of another resolution": (
        measuring(lambda usage: replace(usage, resolution="4k")),
        "test_simulated_no_more_is_billed_than_was_measured",
    ),
    "a parameter left out in silence": (Lavish, "test_what_cannot_be_honoured_is_refused_by_name"),
    "an unknown word as a failure": (updating(guessing), "test_a_state_that_nobody_knows_changes_nothing"),
    "a success without a result": (
        updating(lambda update: replace(update, artifacts=())),
        "test_simulated_results_can_be_fetched_without_the_credential",
    ),
    "a failure without a reason": (
        updating(lambda update: replace(update, failure=None)),
        "test_simulated_a_failure_is_a_failure",
    ),
    "a state that is another": (
        updating(lambda update: replace(update, state=JobState.QUEUED)),
        "test_simulated_every_sample_is_accepted_once_and_succeeds",
    ),
    "a poll that hides what failed": (Blind, "test_an_unreadable_state_is_an_upstream_error"),
    "a poll that hides that it failed": (Blind, "test_every_free_request_reads_its_failures"),
    "a poll that loses the status": (Silent, "test_every_free_request_reads_its_failures"),
    "polls without a pause": (Hasty, "test_the_pace_is_sane"),
    "polls that become denser": (Restless, "test_the_pace_is_sane"),
    "a limit before the first poll": (Endless, "test_the_pace_is_sane"),
    "a lookup that guesses": (finding(lambda found: UpstreamJob("j1")), "test_a_lookup_is_read"),
    "a lookup that gives up": (
        finding(lambda found: Found.NO),
        "test_simulated_a_lookup_never_takes_another_job_for_its_own",
    ),
    "a lookup that is never sure": (
        finding(lambda found: Found.UNSURE),
        "test_simulated_what_was_never_accepted_is_not_found",
    ),
    "a listing that cannot be read as empty": (EmptyListing, "test_an_unreadable_listing_is_never_a_no"),
    "a cancel that claims too much": (CancelsAnything, "test_simulated_cancel_says_what_became_of_the_job"),
    "a cancel that is misread": (CancelsAnything, "test_a_cancel_is_read"),
    "a callback that is not asked for": (HooksNowhere, "test_a_callback_url_is_sent_and_callbacks_are_read"),
    "a callback from anything": (HearsAnything, "test_a_callback_url_is_sent_and_callbacks_are_read"),
}


@pytest.mark.parametrize("fault", JOBS)
def test_a_fault_of_a_job_wire_is_caught_by_its_rule(fault: str) -> None:
    wire, rule = JOBS[fault]
    assert rule in jobs(wire)


# --- images -----------------------------------------------------------------------------------------------------------


def images(wire: type[ToyImages]) -> set[str]:
    class Build(ToyProvider):
        image_wire = wire

    class Suite(ImageSuite):
        provider_type = replace(TOY, build=Build)

    return failing_rules(Suite)


def generating(change: Callable[[MediaResult], MediaResult]) -> type[ToyImages]:
    class Faulty(ToyImages):
        def generate(self, model: str, request: Any) -> Steps[MediaResult]:
            return change((yield from super().generate(model, request)))

    return Faulty


class Twice(ToyImages):
    def generate(self, model: str, request: Any) -> Steps[MediaResult]:
        yield from super().generate(model, request)
        return (yield from super().generate(model, request))


class Wordless(ToyImages):
    def generate(self, model: str, request: Any) -> Steps[MediaResult]:
        return (yield from super().generate(model, replace(request, prompt="")))


class Cheap(ToyImages):
    def measure(self, model: str, request: Any) -> MediaUsage:
        super().measure(model, request)
        return MediaUsage(images=1)


class Generous(ToyImages):
    def measure(self, model: str, request: Any) -> MediaUsage:
        return MediaUsage(images=request.count)


class Raw(ToyImages):
    """Base64 that was not decoded."""

    def generate(self, model: str, request: Any) -> Steps[MediaResult]:
        body = {"prompt": request.prompt, "count": request.count}
        value = read((yield self.ask("POST", "/images", body, Effect.PAID)))
        found = value.get("images") or [""]
        clips = tuple(Artifact(data=str(data).encode(), media_type="image/png") for data in found)
        return MediaResult(clips, MediaUsage(images=len(found)))


class Elsewhere(ToyImages):
    """What was blocked may be sent to another route."""

    def generate(self, model: str, request: Any) -> Steps[MediaResult]:
        try:
            return (yield from super().generate(model, request))
        except UpstreamError as error:
            error.retryable = True
            raise


class NeverRan(ToyImages):
    def generate(self, model: str, request: Any) -> Steps[MediaResult]:
        try:
            return (yield from super().generate(model, request))
        except UpstreamError as error:
            error.delivered = False
            raise


IMAGES: dict[str, tuple[type[ToyImages], set[str]]] = {
    "images that are paid twice": (
        Twice,
        {"test_images_are_paid_for_once", "test_images_are_read", "test_images_are_links_or_bytes"}
        | {"test_image_requests_carry_the_credential_in_a_header", "test_the_prompt_of_an_image_is_sent"}
        | {
            "test_requests_go_to_an_absolute_url",
            "test_what_costs_money_is_marked_as_paid",
            "test_header_names_are_lower_case_and_end_to_end",
            "test_the_credential_is_in_a_header_and_not_in_the_url",
        },
    ),
    "a prompt that is not sent": (Wordless, {"test_the_prompt_of_an_image_is_sent"}),
    "a price that is too low": (
        Cheap,
        {
            "test_images_are_never_measured_too_low",
            "test_as_many_images_are_measured_as_are_asked_for",
            "test_simulated_images_are_executed_and_billed_as_measured",
        },
    ),
    "a parameter left out in silence": (
        Generous,
        {"test_image_parameters_that_cannot_be_honoured_are_refused_by_name"},
    ),
    "base64 as bytes": (
        Raw,
        {
            "test_images_are_read",
            "test_images_are_links_or_bytes",
            "test_images_that_were_blocked_are_an_upstream_error",
        },
    ),
    "an image of no kind": (
        generating(lambda result: replace(result, artifacts=(Artifact(),))),
        {"test_images_are_read", "test_images_are_links_or_bytes"},
    ),
    "a refusal that goes elsewhere": (
        Elsewhere,
        {"test_images_that_were_blocked_are_an_upstream_error", "test_a_refused_content_is_the_clients_to_mend"},
    ),
    "a crash as a refusal": (
        NeverRan,
        {
            "test_an_answer_without_images_is_an_upstream_error",
            "test_an_image_that_broke_upstream_may_have_been_delivered",
            "test_a_crash_of_the_upstream_is_ambiguous",
        },
    ),
}


@pytest.mark.parametrize("fault", IMAGES)
def test_a_fault_of_an_image_wire_is_caught_by_its_rules(fault: str) -> None:
    wire, rules = IMAGES[fault]
    assert images(wire) >= rules


# --- speech -----------------------------------------------------------------------------------------------------------


def speech(wire: type[ToySpeech]) -> set[str]:
    class Build(ToyProvider):
        speech_wire = wire

    class Suite(SpeechSuite):
        provider_type = replace(TOY, build=Build)

    return failing_rules(Suite)


def hearing(reader: Callable[[], ToyReader]) -> type[ToySpeech]:
    class Faulty(ToySpeech):
        def reader(self, request: SpeechRequest, headers: Any) -> ToyReader:
            return reader()

    return Faulty


class NoLines(ToyReader):
    """Takes every read for whole lines."""

    def feed(self, data: bytes) -> bytes:
        return b"".join(self.heard(line) for line in data.splitlines())


class Content(ToyReader):
    """Any end is a good one."""

    def close(self) -> bytes:
        return b""


class Deaf(ToyReader):
    """An error in the stream is silence."""

    def heard(self, line: bytes) -> bytes:
        try:
            return super().heard(line)
        except UpstreamError:
            self.usage = MediaUsage(characters=12)
            return b""


class Hoarder(ToyReader):
    def __init__(self) -> None:
        super().__init__()
        self.kept = b""

    def feed(self, data: bytes) -> bytes:
        *whole, self.kept = (self.kept + data).split(b"\n") if b"\n" in data else [self.kept + data]
        return b"".join(self.heard(line) for line in whole)


class Polyglot(ToySpeech):
    formats = ("wav", "mp3")

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        if request.format == "mp3":
            return super().measure(model, replace(request, format="opus"))
        return super().measure(model, request)


class AnyFormat(ToySpeech):
    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        return super().measure(model, replace(request, format=None))


class AnySpeed(ToySpeech):
    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        return super().measure(model, replace(request, speed=None))


class Flat(ToySpeech):
    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        super().measure(model, request)
        return MediaUsage(characters=max(0, 20 - len(request.text)))


class Mistyped(ToySpeech):
    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        result = yield from super().speak(model, request)
        return replace(result, artifacts=(replace(result.artifacts[0], media_type="audio/mpeg"),))


class Promises(ToySpeech):
    def streams(self, model: str, request: SpeechRequest) -> str | None:
        return "audio/mpeg"


class Mute(ToySpeech):
    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        reply = yield self.ask("POST", "/speech", {"text": request.text}, Effect.PAID)
        return MediaResult((Artifact(data=_sound(reply), media_type="audio/wav"),), MediaUsage(characters=12))


def _sound(reply: HttpReply) -> bytes:
    if reply.status != 200:
        raise decode_openai_error(reply)
    return b"RIFF"


class Stammers(ToySpeech):
    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        return (yield from super().speak(model, replace(request, text="Something else.")))


SPEECH: dict[str, tuple[type[ToySpeech], set[str]]] = {
    "a reader of whole reads": (
        hearing(NoLines),
        {
            "test_any_split_of_a_stream_gives_the_same_audio",
            "test_streams_of_speech_that_come_at_once_do_not_mix",
        },
    ),
    "any end as a good one": (hearing(Content), {"test_truncated_speech_is_never_a_normal_end"}),
    "an error as silence": (
        hearing(Deaf),
        {"test_an_error_in_a_stream_of_speech_is_raised"},
    ),
    "a line without an end": (hearing(Hoarder), {"test_speech_without_an_end_is_given_up"}),
    "a format that is named and refused": (Polyglot, {"test_every_format_that_is_named_can_be_had"}),
    "a format that is not named and taken": (AnyFormat, {"test_a_format_that_is_not_named_is_refused"}),
    "a speed left out in silence": (
        AnySpeed,
        {"test_speech_parameters_that_cannot_be_honoured_are_refused_by_name"},
    ),
    "a price that is too low": (
        Flat,
        {
            "test_speech_is_never_measured_too_low",
            "test_longer_speech_never_measures_less",
            "test_simulated_speech_is_executed_once_and_billed_as_measured",
        },
    ),
    "bytes of another type": (Mistyped, {"test_speech_is_read", "test_speech_is_one_clip_of_the_type_it_says"}),
    "a stream of another type": (Promises, {"test_a_stream_says_its_type_beforehand"}),
    "any 200 as speech": (Mute, {"test_an_answer_without_speech_is_an_upstream_error", "test_speech_is_read"}),
    "another text": (Stammers, {"test_the_text_is_sent"}),
}


@pytest.mark.parametrize("fault", SPEECH)
def test_a_fault_of_a_speech_wire_is_caught_by_its_rules(fault: str) -> None:
    wire, rules = SPEECH[fault]
    assert speech(wire) >= rules


def test_a_shared_reader_is_caught() -> None:
    only = ToyReader()
    assert "test_streams_of_speech_that_come_at_once_do_not_mix" in speech(hearing(lambda: only))
