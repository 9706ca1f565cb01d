"""Rules for wires of upstreams that answer with images at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from unittest import SkipTest

from relayhub.sdk import (
    ClientError,
    HttpReply,
    HttpRequest,
    ImageProvider,
    ImageRequest,
    ImageWire,
    MediaResult,
    MediaUsage,
    ProviderContext,
    Steps,
    UpstreamError,
)
from relayhub.testing.clock import FakeClock
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite, check_absolute
from relayhub.testing.steps import AMBIGUOUS, NO_ANSWERS, REFUSED, beyond, body_of, drive, failing, replaying
from relayhub.testing.upstream import UpstreamSimulator

PICTURES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF", "image/gif": b"GIF8"}


@dataclass(frozen=True, slots=True)
class ImageSample:
    """A request that the upstream takes. ``billed``: the most that it would charge for it."""

    request: ImageRequest
    billed: MediaUsage = field(default_factory=MediaUsage)


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """A request that the model cannot honour, and the name of the parameter that is to blame."""

    request: ImageRequest
    param: str


@dataclass(frozen=True, slots=True)
class Pictured:
    """The answers to ``request``, in their order, and what is in them."""

    request: ImageRequest
    replies: Sequence[HttpReply]
    result: MediaResult


class ImageWireSuite(RequestSuite, ErrorSuite):
    """``image_samples``: requests of every kind that the upstream takes; ``refused_images``: those that it does not;
    ``pictured``: recorded answers; ``blocked``: an answer that is no error by its status and has no image in it, if the
    upstream can answer so; ``image_simulator(clock)``: override it to make a
    simulator of the upstream."""

    image_samples: ClassVar[Sequence[ImageSample]]
    refused_images: ClassVar[Sequence[RefusedImage]] = ()
    pictured: ClassVar[Sequence[Pictured]]
    blocked: ClassVar[HttpReply | None] = None

    def image_simulator(self, clock: FakeClock) -> UpstreamSimulator:
        """A new simulator that takes the suite's settings; ``clock`` is its time."""
        raise SkipTest("override image_simulator(clock) to hold the wire against a simulator of its upstream")

    def image_wire(self) -> ImageWire:
        return _wire(self.build())

    def generating(self, request: ImageRequest | None = None) -> Steps[MediaResult]:
        asked = request or self.pictured[0].request
        return self.image_wire().generate(asked.model, asked)

    def image_requests(self) -> list[HttpRequest]:
        return [
            request
            for told in self.pictured
            for request in drive(self.generating(told.request), replaying(told.replies)).requests
        ]

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), *drive(self.generating(), replaying(self.pictured[0].replies)).paid]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), self._image_refusal]

    def _image_refusal(self, reply: HttpReply) -> UpstreamError:
        try:
            drive(self.generating(), failing(reply, self.pictured[0].replies, paid=True))
        except UpstreamError as error:
            return error
        raise AssertionError(
            f"generate() took a {reply.status} with {reply.body[:40]!r} for images: raise UpstreamError"
        )

    def test_images_are_paid_for_once(self) -> None:
        for told in self.pictured:
            paid = drive(self.generating(told.request), replaying(told.replies)).paid
            assert 1 <= len(paid) <= told.request.count, "one paid request, or one for each image that was asked for"

    def test_image_requests_carry_the_credential_in_a_header(self) -> None:
        for request in self.image_requests():
            check_absolute(request)
            self.check_credential(request)

    def test_the_prompt_of_an_image_is_sent(self) -> None:
        request = self.pictured[0].request
        sent = [body_of(one) for one in drive(self.generating(), replaying(self.pictured[0].replies)).requests]
        assert any(request.prompt.encode() in body for body in sent), "the prompt is not in the request"

    def test_images_are_read(self) -> None:
        for told in self.pictured:
            result = drive(self.generating(told.request), replaying(told.replies)).result
            assert result == told.result, f"generate() gave {result}, `pictured` says {told.result}"

    def test_images_are_links_or_bytes(self) -> None:
        for told in self.pictured:
            result = drive(self.generating(told.request), replaying(told.replies)).result
            assert result.artifacts, "an answer without images is an UpstreamError, not a result"
            for artifact in result.artifacts:
                assert (artifact.url is None) != (artifact.data is None), "an artifact has a url or data, one of them"
                mark = PICTURES.get(artifact.media_type or "", b"")
                assert artifact.data is None or artifact.data.startswith(mark), (
                    f"media_type says {artifact.media_type}, the bytes begin with {artifact.data[:4]!r}: decode base64, "
                    "and name the type of what was really delivered"
                )

    def test_an_answer_without_images_is_an_upstream_error(self) -> None:
        for body in NO_ANSWERS:
            error = self._image_refusal(HttpReply(200, {"content-type": "application/json"}, body))
            assert error.delivered, f"a 200 with {body!r} may have been paid for: delivered=True (see upstream_broke)"

    def test_images_that_were_blocked_are_an_upstream_error(self) -> None:
        if self.blocked is None:
            raise SkipTest("set `blocked` if the upstream can refuse an image with a 200")
        assert not self._image_refusal(self.blocked).retryable, "what was blocked here is not sent elsewhere"

    def test_a_refused_image_was_not_delivered(self) -> None:
        for status in REFUSED:
            assert not self._image_refused_with(status).delivered, f"nothing was executed after a {status}"

    def test_an_image_that_broke_upstream_may_have_been_delivered(self) -> None:
        for status in AMBIGUOUS:
            assert self._image_refused_with(status).delivered, f"after a {status} nobody knows: delivered=True"

    def _image_refused_with(self, status: int) -> UpstreamError:
        body = self.error_body.replace("{message}", "no").encode()
        return self._image_refusal(HttpReply(status, {"content-type": "application/json"}, body))

    def test_images_are_never_measured_too_low(self) -> None:
        for sample in self.image_samples:
            measured = self.image_wire().measure(sample.request.model, sample.request)
            low = beyond(sample.billed, measured)
            assert not low, f"measure({sample.request}) is below what the upstream charges for in {low}: {measured}"

    def test_as_many_images_are_measured_as_are_asked_for(self) -> None:
        for sample in self.image_samples:
            measured = self.image_wire().measure(sample.request.model, sample.request)
            assert measured.images >= sample.request.count, (
                f"{sample.request.count} images measure as {measured.images}"
            )

    def test_image_parameters_that_cannot_be_honoured_are_refused_by_name(self) -> None:
        for refused in self.refused_images:
            try:
                self.image_wire().measure(refused.request.model, refused.request)
            except ClientError as error:
                named = f"{error.param} {error.message}"
                assert refused.param in named, f"say that {refused.param!r} is to blame, not: {error.message}"
                continue
            raise AssertionError(f"measure() took {refused.request}: raise ClientError naming {refused.param!r}")

    def test_simulated_images_are_executed_and_billed_as_measured(self) -> None:
        for sample in self.image_samples:
            clock = FakeClock()
            upstream = self.image_simulator(clock)
            context = ProviderContext("under-test", clock, "relayhub/test")
            wire = _wire(self.provider_type.build(self.parsed(), context))
            measured = wire.measure(sample.request.model, sample.request)
            driven = drive(wire.generate(sample.request.model, sample.request), upstream.exchange)
            assert upstream.counters.executions == len(driven.paid), "each paid request is one execution"
            more = beyond(driven.result.usage or MediaUsage(), measured)
            assert not more, f"{driven.result.usage} was billed and {measured} was measured: too low in {more}"
            assert not upstream.complaints, f"the upstream complains: {upstream.complaints}"


def _wire(built: object) -> ImageWire:
    assert isinstance(built, ImageProvider), "implement images()"
    return built.images()
