"""What a plugin that orders routes is shown. Plain values: changing them changes nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallView:
    """``model``: as it is listed here; ``operation`` and ``dialect`` as usage rows have them; ``user``: who the client says
    its user is."""

    call_id: str
    key_id: str
    key_name: str
    account_id: str
    operation: str
    dialect: str
    model: str
    stream: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True)
class RouteView:
    """``provider``: its configured name; ``fallback``: the how manieth fall-back of the model it belongs to, 0 for the model
    itself; ``busy``: its calls under way; ``first_byte_s``: how long its answers take to begin, smoothed."""

    provider: str
    provider_type: str
    credential: str | None
    upstream_model: str
    priority: int
    weight: int | None
    fallback: int
    busy: int
    first_byte_s: float | None
