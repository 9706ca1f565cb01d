"""An embeddings call in the hub's own words."""

from __future__ import annotations

from dataclasses import dataclass, field

from relayhub.types.json import Extras
from relayhub.types.usage import Usage


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """``inputs`` are texts, or token lists; the answer has one vector per input, in this order."""

    model: str
    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None = None
