"""Whether a call's client is still there, and what is done once it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from relayhub.routing.catalog import Route
from relayhub.types.call import Principal
from relayhub.types.on_disconnect import OnDisconnect


class Departure(msgspec.Struct, gc=False):
    """One for all attempts of a call. Only values: see :class:`relayhub.gateway.call.Call`.

    ``policy``: the one that applies; a call that cannot be drained is aborted. ``left``: the client is gone, and the call
    goes on without it. ``delivered``: something of the answer itself was handed to the client."""

    policy: OnDisconnect = OnDisconnect.ABORT_AND_ESTIMATE
    left: bool = False
    delivered: bool = False

    @property
    def is_void(self) -> bool:
        """If the client is gone now, it pays nothing."""
        return self.policy is OnDisconnect.VOID and not self.delivered


@dataclass(frozen=True, slots=True)
class LeavingTerms:
    """As the config has them. ``drain_s``: how long a call may go on without its client; ``drains``: how many may at a
    time."""

    policy: OnDisconnect = OnDisconnect.ABORT_AND_ESTIMATE
    drain_s: float = 30.0
    drains: int = 16

    def departure(self, principal: Principal, routes: Sequence[Route], *, may_drain: bool = True) -> Departure:
        """The key has the first word, then the model that was asked for, where its entries differ the first that says
        something. ``may_drain``: the call does not need its client."""
        policy = principal.on_disconnect or _of_model(routes) or self.policy
        if policy is OnDisconnect.DRAIN and not may_drain:
            policy = OnDisconnect.ABORT_AND_ESTIMATE
        return Departure(policy)


def _of_model(routes: Sequence[Route]) -> OnDisconnect | None:
    return next((route.on_disconnect for route in routes if route.on_disconnect and not route.fallback), None)
