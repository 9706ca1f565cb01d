"""What comes back through a lane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from relayhub.types.chat import (
    ChatReply,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.usage import Usage

JSON = "application/json"


class WholeAnswer(msgspec.Struct, frozen=True):
    """An answer in one piece, ready for the client."""

    body: bytes
    usage: Usage | None
    content_type: str = JSON


class LaneStream(Protocol):
    """A streamed answer on its way through; see :class:`relayhub.dialects.codec.NativeStream`."""

    @property
    def started(self) -> bool: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def delivered_chars(self) -> int: ...

    def feed(self, data: bytes) -> bytes: ...

    @property
    def ended(self) -> bool: ...

    def finish(self) -> bytes: ...


def refuse_content(headers: Mapping[str, str], unwanted: str) -> None:
    """Refuse an answer that is plainly of the other kind; compatible upstreams often send no type, or a wrong one."""
    content_type = headers.get("content-type", "").lower()
    # the first condition is the second's cheaper half, and nearly always enough
    if unwanted in content_type and content_type.partition(";")[0].strip() == unwanted:
        raise unasked(unwanted)


def unasked(media_type: str) -> UpstreamError:
    """The answer is of this kind, and should not be."""
    return upstream_broke(f"it sent {media_type}, which was not asked for")


def chars_of(reply: ChatReply) -> int:
    """Characters that the model wrote."""
    return sum(_part_chars(part) for choice in reply.choices for part in choice.message.parts)


def _part_chars(part: Part) -> int:
    match part:
        case TextPart(text) | RefusalPart(text) | ReasoningPart(text):
            return len(text)
        case ToolCallPart():
            return len(part.arguments)
        case _:
            return 0
