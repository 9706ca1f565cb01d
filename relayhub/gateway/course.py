"""What is the same for all plain calls of one key for one model: worked out once, and kept while it is true."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from relayhub.dialects.codec import Framing
from relayhub.gateway.call import Call
from relayhub.gateway.departure import LeavingTerms
from relayhub.gateway.steady import SteadyWay, SteadyWays
from relayhub.gateway.tally import about_of
from relayhub.routing.catalog import Catalog, Resolved, Route
from relayhub.sdk.clock import Clock
from relayhub.store.intents import HoldAbout
from relayhub.types.call import Principal
from relayhub.types.on_disconnect import OnDisconnect

KEPT_COURSES = 4096
"""Keys times models, about, that are in use at a time."""


@dataclass(frozen=True, slots=True)
class Course:
    """One route, taken by one way. ``about``: of a call that names no user. ``is_brief``: its calls are
    :class:`relayhub.gateway.whole_call.WholeCall`, for they are not streamed, and neither is their model called otherwise
    than ``about`` says, nor is their client to be told more than the answer."""

    principal: Principal
    resolved: Resolved
    route: Route
    way: SteadyWay
    policy: OnDisconnect
    about: HoldAbout
    is_brief: bool


_Key: TypeAlias = "tuple[int, str, str, Framing | None, tuple[tuple[str, str], ...]]"


class Courses:
    """Those that were taken before. Use on one loop."""

    def __init__(self, catalog: Catalog, ways: SteadyWays, leaving: LeavingTerms, clock: Clock) -> None:
        self._catalog = catalog
        self._ways = ways
        self._leaving = leaving
        self._clock = clock
        self._known: dict[_Key, tuple[Principal, float, Course | None]] = {}
        """By the principal's identity, which is its own for as long as it is kept here; with the unix time until which it is
        true."""

    def of(self, call: Call) -> Course | None:
        """``None``: each call must find its own way. Raises what finding one raises."""
        envelope, principal, headers = call.envelope, call.principal, call.headers
        key = (
            id(principal),
            envelope.model,
            call.dialect,
            envelope.framing if envelope.stream else None,
            tuple(headers.items()) if headers else (),
        )
        known = self._known.get(key)
        if known is not None and known[1] == inf:
            return known[2]  # nearly always, and then nobody need look at the clock
        now = self._clock.now()
        if known is not None and known[1] > now:
            return known[2]
        found = self._found(call)
        if len(self._known) >= KEPT_COURSES:
            self._known.clear()
        self._known[key] = (principal, self._catalog.until(now), found)
        return found

    def _found(self, call: Call) -> Course | None:
        principal = call.principal
        resolved = self._catalog.resolve(call.envelope.model, principal, call.operation, call.provider)
        route = resolved.routes[0]
        way = self._ways.of(call, route) if len(resolved.routes) == 1 else None
        policy = self._leaving.departure(principal, resolved.routes).policy
        if way is None or policy is OnDisconnect.DRAIN:
            return None
        about = about_of(call, resolved.model, route, None)
        is_brief = not (call.envelope.stream or way.dropped or route.model)
        return Course(principal, resolved, route, way, policy, about, is_brief)
