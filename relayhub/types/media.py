"""Images, speech and video in the hub's own words: what every client shape decodes to, and what a job leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from relayhub.types.chat import Media
from relayhub.types.json import Json


class MediaKind(StrEnum):
    VIDEO = "video"
    IMAGE = "image"
    SPEECH = "speech"


class InputRole(StrEnum):
    """What an input is for. ``IMAGE``: the client did not say; its place and their number decide."""

    IMAGE = "image"
    FIRST_FRAME = "first_frame"
    LAST_FRAME = "last_frame"
    REFERENCE_IMAGE = "reference_image"
    REFERENCE_VIDEO = "reference_video"
    REFERENCE_AUDIO = "reference_audio"
    SOURCE_VIDEO = "source_video"
    """To be edited or remixed."""
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class MediaInput:
    """``media``: a link, or base64 with its type."""

    role: InputRole
    media: Media
    field: str = "input"
    """What the client calls it, for errors."""


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """Every field ``None`` where the client did not say.

    ``seconds``: the length of the clip; ``resolution``: ``480p`` … ``4k``, small letters; ``ratio``: ``16:9`` …;
    ``billed_seconds``: said for the price only, never sent. ``vendor``: parameters of an upstream's own API, which a
    provider uses or refuses, each by name.
    """

    model: str
    prompt: str = ""
    inputs: tuple[MediaInput, ...] = ()
    negative_prompt: str | None = None
    seconds: float | None = None
    resolution: str | None = None
    ratio: str | None = None
    audio: bool | None = None
    watermark: bool | None = None
    seed: int | None = None
    billed_seconds: float | None = None
    remix: bool = False
    """The source is a video that this hub made before."""
    vendor: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """``size``: ``WxH`` in pixels, or ``auto``; ``resolution``: ``1k`` … ``4k``; ``count``: how many."""

    model: str
    prompt: str = ""
    inputs: tuple[MediaInput, ...] = ()
    negative_prompt: str | None = None
    count: int = 1
    size: str | None = None
    ratio: str | None = None
    resolution: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    watermark: bool | None = None
    seed: int | None = None
    vendor: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """``format``: mp3, opus, aac, flac, wav or pcm (16 bit, 24 kHz, mono); ``speed``: 1 is the voice's own."""

    model: str
    text: str
    voice: str
    format: str | None = None
    speed: float | None = None
    instructions: str | None = None
    vendor: Mapping[str, Json] = field(default_factory=dict)


MediaRequest: TypeAlias = VideoRequest | ImageRequest | SpeechRequest


@dataclass(frozen=True, slots=True)
class MediaUsage:
    """What a media call consumes, in the terms that prices are made of. ``input_kind``: text, image or video, whichever of
    them the upstream charges for; ``tokens``: where an upstream bills in tokens."""

    calls: int = 1
    video_ms: int = 0
    audio_ms: int = 0
    images: int = 0
    characters: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    resolution: str | None = None
    size: str | None = None
    quality: str | None = None
    audio: bool | None = None
    input_kind: str = "text"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One result: a link at the upstream, or the bytes. ``lives_s``: how long the link works, from now."""

    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    lives_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the upstream wants to see with a request for the link; only ever sent to the upstream's own host."""
    note: str | None = None
    """What the upstream adds to it, such as a revised prompt."""


class JobState(StrEnum):
    """See the table of transitions in :mod:`relayhub.jobs`. Other spellings exist only inside dialects."""

    NEW = "new"
    SUBMIT_UNKNOWN = "submit_unknown"
    """Sent, and nobody knows whether it was accepted: looked up, never sent again."""
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobFailure:
    """``code``: invalid_request, content_policy, timeout, upstream_lost, upstream_error …; ``charged``: the upstream
    wants its money all the same."""

    code: str
    message: str
    charged: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamJob:
    """A job as its upstream knows it. ``handle``: whatever else polling needs (a path, a generation of the API)."""

    id: str
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """What an upstream says of a job now. ``state`` ``None``: a word that the plugin does not know; the state stays.
    ``usage``: what was billed, once it is known."""

    state: JobState | None
    progress: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    failure: JobFailure | None = None
    usage: MediaUsage | None = None


@dataclass(frozen=True, slots=True)
class PollPace:
    """When to ask again, in seconds: ``first_s`` after the submit, then every ``every_s``; from ``slow_after_s`` on every
    ``slow_every_s``; from ``patient_after_s`` on every ``patient_every_s``; ``limit_s`` after the submit the upstream
    itself has given up."""

    first_s: float = 5.0
    every_s: float = 8.0
    slow_after_s: float = 180.0
    slow_every_s: float = 15.0
    patient_after_s: float = 1800.0
    patient_every_s: float = 300.0
    limit_s: float = 86_400.0


class Found(StrEnum):
    """What a lookup by reference or by window came to."""

    NO = "no"
    """The listing is complete and there is no candidate: it was never accepted."""
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class MediaResult:
    """What a call gives that is answered at once."""

    artifacts: tuple[Artifact, ...]
    usage: MediaUsage | None = None
