"""A model as a list shows it, in whatever dialect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelCard:
    """``owner``: the configured name of the first provider that serves it; ``created``: unix seconds; ``operations``: the
    values of :class:`relayhub.types.call.Operation` that it serves."""

    name: str
    owner: str
    created: int
    max_output_tokens: int | None = None
    operations: tuple[str, ...] = ("chat",)
