"""An embeddings call in the hub's own words."""

from __future__ import annotations

from dataclasses import dataclass, field

from relayhub.types.call import Dialect
from relayhub.types.json import Extras
from relayhub.types.usage import Usage


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """``inputs`` are texts, or token lists; the answer has one vector per input, in this order. ``extras`` are fields of
    ``dialect`` that the hub has no word for."""

    model: str
    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    extras: Extras = field(default_factory=dict)
    dialect: str = Dialect.OPENAI_EMBEDDINGS.value


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None = None
