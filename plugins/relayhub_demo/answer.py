"""What the pretended server answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """``pieces`` are what one read of a socket would bring; ``cut``: the connection breaks after the last."""

    status: int
    content_type: str
    pieces: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    slow: bool = False
