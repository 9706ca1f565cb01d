"""A chat call in the hub's own words: what every dialect decodes to and encodes from.

The vocabulary is the union of what the dialects can say, so that decoding loses nothing: a field that only one dialect
knows stays in ``extras`` (or an :class:`OpaquePart`), tagged with that dialect, and is written again by the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from relayhub.types.json import Extras, Json, JsonObject
from relayhub.types.usage import Usage


class Role(StrEnum):
    """Who speaks. ``SYSTEM`` and ``DEVELOPER`` differ only in the OpenAI dialects."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Media:
    """Where a part's bytes are: exactly one of ``url``, ``data`` (standard base64) and ``file_id`` (not portable)."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImagePart:
    media: Media
    detail: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AudioPart:
    """``media.media_type`` is ``audio/wav`` or ``audio/mp3``."""

    media: Media
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePart:
    media: Media
    filename: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusalPart:
    text: str
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The model's visible thinking. ``signature`` and ``redacted`` are opaque and bound to who made them.

    ``signer``: the upstream dialect whose opaque values these are; to any other they mean nothing. ``wire_field`` names
    the field it came from where a dialect has several (``reasoning_content``, ``reasoning``).
    """

    text: str
    signature: str | None = None
    redacted: str | None = None
    signer: str | None = None
    wire_field: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """``arguments`` is JSON text as the model wrote it: perhaps empty or cut short; for ``custom``, free text.

    ``signature`` and ``signer``: as in :class:`ReasoningPart`, for upstreams that sign the call itself.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False
    signature: str | None = None
    signer: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """``plain``: the content stood as a bare string rather than a list of parts, and is written the same way again."""

    call_id: str
    parts: tuple[Part, ...]
    is_error: bool = False
    plain: bool = False
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """A part that only ``dialect`` understands; another dialect refuses it by ``kind``."""

    dialect: str
    kind: str
    value: JsonObject


Part: TypeAlias = (
    "TextPart | ImagePart | AudioPart | FilePart | RefusalPart | ReasoningPart"
    " | ToolCallPart | ToolResultPart | OpaquePart"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``plain``: its text stood as a bare string; ``null_content``: an explicit ``null`` content."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    plain: bool = False
    null_content: bool = False
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model may call. ``opaque`` holds a hosted or custom tool that only its own dialect can express."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    opaque: OpaquePart | None = None
    extras: Extras = field(default_factory=dict)


class ToolMode(StrEnum):
    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``names`` restricts the choice: one name with ``REQUIRED`` and ``subset=False`` means "this tool"."""

    mode: ToolMode
    names: tuple[str, ...] = ()
    subset: bool = False
    opaque: OpaquePart | None = None


class FormatKind(StrEnum):
    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    kind: FormatKind
    name: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None
    description: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """``effort``: none, minimal, low, medium, high, xhigh or max; ``budget_tokens``: a cap beside or instead."""

    effort: str | None = None
    budget_tokens: int | None = None
    enabled: bool | None = None
    include: bool | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every field ``None`` where the client did not say."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    logit_bias: JsonObject | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request. ``extras`` are top-level fields of ``dialect`` that the hub has no word for; those named in
    ``essential`` change what is asked, so no other dialect may leave them out."""

    dialect: str
    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    """A streaming OpenAI client asked for the usage event."""
    max_output_tokens: int | None = None
    choices: int = 1
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    metadata: Json = None
    extras: Extras = field(default_factory=dict)
    essential: tuple[str, ...] = ()


class ImageForm(StrEnum):
    """How an answer's images are written where the client's dialect has two ways (``BOTH``: the text first)."""

    INLINE = "inline"
    TEXT = "text"
    BOTH = "both"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    FUNCTION_CALL = "function_call"


@dataclass(frozen=True, slots=True)
class Choice:
    """``stop_sequence``: the one that ended it, where the upstream says; ``native_finish``: the upstream's own word,
    where the hub's loses something."""

    index: int
    message: Message
    finish: FinishReason
    stop_sequence: str | None = None
    native_finish: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer. ``created`` is in unix seconds."""

    id: str
    model: str
    created: int
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    extras: Extras = field(default_factory=dict)


# --- a streamed answer, event by event -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """First event of every stream. ``created`` is in unix seconds."""

    id: str
    model: str
    created: int
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """``signature`` and ``redacted`` come whole, on the last delta of their block; the rest as in ReasoningPart."""

    choice: int
    text: str
    signature: str | None = None
    redacted: str | None = None
    signer: str | None = None
    wire_field: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """``index`` counts tool calls within the choice: 0, 1, … without gaps; the rest as in ToolCallPart."""

    choice: int
    index: int
    id: str
    name: str
    custom: bool = False
    signature: str | None = None
    signer: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    choice: int
    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ImageDelta:
    """A whole image among the output."""

    choice: int
    image: ImagePart


@dataclass(frozen=True, slots=True)
class ExtraDelta:
    """Fields of a choice's delta that only ``dialect`` knows (logprobs, annotations, audio, …)."""

    choice: int
    dialect: str
    values: JsonObject


@dataclass(frozen=True, slots=True)
class Finished:
    """A choice has ended; at most once per choice, after its last delta. The rest as in :class:`Choice`."""

    choice: int
    reason: FinishReason
    stop_sequence: str | None = None
    native_finish: str | None = None


@dataclass(frozen=True, slots=True)
class UsageReported:
    """May come more than once: the last one counts."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """The upstream said that the stream is complete (``[DONE]``, ``message_stop``, …)."""


ChatEvent: TypeAlias = (
    Started
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStarted
    | ToolCallDelta
    | ImageDelta
    | ExtraDelta
    | Finished
    | UsageReported
    | Ended
)
