"""A request in DashScope's terms, and who makes such requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from relayhub.sdk import Artifact, MediaRequest, MediaUsage

MAX_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """``model``: the one that is named to the upstream; ``usage``: at most."""

    model: str
    prompt: str
    input: Mapping[str, object]
    parameters: Mapping[str, object]
    usage: MediaUsage

    @property
    def body(self) -> dict[str, object]:
        return {"model": self.model, "input": dict(self.input), "parameters": dict(self.parameters)}

    @property
    def handle(self) -> dict[str, str]:
        """What chooses the price, for answers that do not say it."""
        usage = self.usage
        told = {"input_kind": usage.input_kind, "resolution": usage.resolution, "size": usage.size}
        return {name: text for name, text in told.items() if text is not None}


class Trade(Protocol):
    """What is particular to a kind of task."""

    path: str
    """Below ``/services/aigc/``."""

    def asked(self, model: str, request: MediaRequest, *, private: bool) -> Asked:
        """``private``: links may lead into the hub's own network. Raises ``ClientError`` naming what the model cannot
        honour."""
        ...

    def artifacts(self, output: Mapping[str, object]) -> tuple[Artifact, ...]:
        """Of a success. Raises ``UpstreamError`` if there are none."""
        ...

    def usage(self, told: Mapping[str, object], made: int, handle: Mapping[str, str], /) -> MediaUsage | None:
        """What was billed; ``None``: it does not say. ``made``: how many artifacts there are."""
        ...
