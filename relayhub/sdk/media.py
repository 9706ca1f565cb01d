"""What a provider of media is made of: wires for jobs, images and speech. Sans-io, as all wires."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from relayhub.sdk.provider import Steps
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply, HttpRequest
from relayhub.types.media import (
    Found,
    ImageRequest,
    JobUpdate,
    MediaKind,
    MediaRequest,
    MediaResult,
    MediaUsage,
    PollPace,
    SpeechRequest,
    UpstreamJob,
)


class JobWire(Protocol):
    """An upstream that answers later. Every operation raises ``UpstreamError``, read by the wire from the answer, with
    ``delivered`` as truthful as the upstream allows."""

    pace: PollPace
    takes_data: bool
    """Inputs may be base64; ``False``: only links, so the hub lends one."""

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        """An upper bound of what it will cost, before anything is sent. Raises ``ClientError`` naming the parameter that
        this model cannot honour: nothing is left out in silence."""
        ...

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        """``reference``: the hub's own id, unique; given to the upstream where it has a place for it. Exactly one of the
        requests is ``paid``."""
        ...

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        """Free of charge."""
        ...


@runtime_checkable
class FindingWire(Protocol):
    """A job wire that can find out what became of a submit without an answer."""

    def find(
        self,
        model: str,
        request: MediaRequest,
        reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        """By reference, else among all that was accepted between these unix seconds. ``owned``: upstream ids that belong to
        other jobs of the hub, and are no candidates. More than one candidate, or a listing that is not complete, is
        ``Found.UNSURE``."""
        ...


@runtime_checkable
class CancellingWire(Protocol):
    """A job wire whose upstream can cancel."""

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        """``False``: refused, the job goes on."""
        ...


@runtime_checkable
class CalledBackWire(Protocol):
    """A job wire whose upstream posts to the hub when something changes."""

    def with_callback(self, url: str) -> JobWire:
        """The same wire, with this address in every submit. ``url`` holds an unguessable token."""
        ...

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The upstream's id of the job; only brings its next poll forward. ``None``: not understood."""
        ...


@runtime_checkable
class JobProvider(Protocol):
    def jobs(self, kind: MediaKind) -> JobWire | None:
        """``None`` where it has no jobs of this kind."""
        ...


class ImageWire(Protocol):
    """An upstream that answers with the images at once."""

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        """As :meth:`JobWire.measure`."""
        ...

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]: ...


@runtime_checkable
class ImageProvider(Protocol):
    def images(self) -> ImageWire: ...


class SpeechReader(Protocol):
    """Reads streamed speech. Any split of the same bytes gives the same audio."""

    usage: MediaUsage | None

    def feed(self, data: bytes) -> bytes:
        """Audio in the format that was asked for. Raises ``UpstreamError``."""
        ...

    def close(self) -> bytes:
        """Raises ``UpstreamError`` if the answer was not complete."""
        ...


class SpeechWire(Protocol):
    """Text to speech."""

    formats: ClassVar[Sequence[str]]
    """What it can deliver; the first is its own choice."""

    def measure(self, model: str, request: SpeechRequest) -> MediaUsage:
        """As :meth:`JobWire.measure`; a format or speed that cannot be had is refused here."""
        ...

    def speak(self, model: str, request: SpeechRequest) -> Steps[MediaResult]:
        """The whole clip: one artifact with ``media_type`` of the bytes that were really delivered."""
        ...


@runtime_checkable
class StreamingSpeechWire(Protocol):
    """A speech wire whose audio comes while the upstream still speaks."""

    def streams(self, model: str, request: SpeechRequest) -> str | None:
        """The media type of the stream, or ``None``: this request is better asked as a whole."""
        ...

    def stream_request(self, model: str, request: SpeechRequest) -> HttpRequest: ...
    def reader(self, request: SpeechRequest, headers: Mapping[str, str]) -> SpeechReader: ...
    def error(self, reply: HttpReply) -> UpstreamError: ...


@runtime_checkable
class SpeechProvider(Protocol):
    def speech(self) -> SpeechWire: ...
