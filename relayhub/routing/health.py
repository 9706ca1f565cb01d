"""How each route does, from the calls that were made over it: circuits as values, and the table that keeps them.

A circuit is closed while its route works, open while the route rests, and half-open once it has rested: one call, the
probe, then finds out whether it works again. The success of a call that began before its circuit opened changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeAlias

from relayhub.dialects.error_rules import UPSTREAM_CREDENTIALS, UPSTREAM_QUOTA
from relayhub.routing.catalog import Route
from relayhub.sdk.clock import Clock
from relayhub.types.errors import ErrorKind, UpstreamError

CREDENTIAL_REST_S = 60.0
"""A credential that was refused is put right by a person, or by the start of a new billing day."""

MAX_TRACKED = 10_000
"""Circuits that are kept. A wildcard lets clients name models without end; the ones longest unused are forgotten."""

SMOOTHING = 0.3
"""What the newest first byte counts in a route's latency."""

PROVIDER_FAILED = "provider_failed"
"""The code of an error that stands for what a plugin raised."""

_NOT_THEIRS = frozenset({"upload_lost", "upstream_request_invalid", "memory_short"})
"""Failures on our side of the connection."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Cause(StrEnum):
    """Why a route rests."""

    FAILURES = "failures"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    CREDENTIAL = "credential"
    QUOTA = "quota"
    BROKEN = "broken"
    """The plugin itself raised."""


_COUNTED = frozenset({Cause.FAILURES, Cause.BROKEN})
"""One of them is no reason to rest yet."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``failures``: in a row, before a route rests. It rests ``rest_s`` the first time, twice as long each further time,
    and never longer than ``longest_rest_s``, whatever its upstream says."""

    failures: int = 5
    rest_s: float = 5.0
    longest_rest_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed call says of its route. ``cause`` ``FAILURES``: one failure among others; any other one opens at
    once. ``wait_s``: as the upstream said it. ``whole_credential``: not of this model alone."""

    cause: Cause
    wait_s: float | None = None
    whole_credential: bool = False


def verdict_of(error: BaseException) -> Verdict | None:
    """``None``: it says nothing against the route."""
    if not isinstance(error, UpstreamError) or error.code in _NOT_THEIRS:
        return None
    wait_s = error.retry_after_s or None
    match error.kind:
        case ErrorKind.UPSTREAM_REJECTED:
            return None
        case ErrorKind.UPSTREAM_RATE_LIMITED:
            return Verdict(Cause.RATE_LIMITED, wait_s)
        case ErrorKind.UPSTREAM_OVERLOADED if wait_s is not None:
            return Verdict(Cause.OVERLOADED, wait_s)
        case _ if error.code == UPSTREAM_CREDENTIALS:
            return Verdict(Cause.CREDENTIAL, whole_credential=error.status != 403)  # 403: perhaps of this model only
        case _ if error.code == UPSTREAM_QUOTA:
            return Verdict(Cause.QUOTA, whole_credential=True)
        case _ if error.code == PROVIDER_FAILED and error.status is None:
            return Verdict(Cause.BROKEN)
        case _:
            return Verdict(Cause.FAILURES)


# --- circuits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Circuit:
    """``failures``: in a row. ``opened``: times in a row. ``since``, ``until``: monotonic seconds; 0 while closed.
    ``told``: nothing is sent meanwhile, as the upstream itself asked for that, or the plugin is broken. ``probing``: the
    one call that may find out is under way."""

    failures: int = 0
    opened: int = 0
    since: float = 0.0
    until: float = 0.0
    told: bool = False
    cause: Cause | None = None
    probing: bool = False

    def state(self, now: float) -> State:
        if not self.until:
            return State.CLOSED
        return State.OPEN if now < self.until else State.HALF_OPEN


FRESH = Circuit()


def after_failure(circuit: Circuit, verdict: Verdict, now: float, terms: Terms, *, probe: bool) -> Circuit:
    """``probe``: the failed call was the one that a half-open circuit had let through."""
    state = circuit.state(now)
    if state is State.OPEN:
        return _rest_longer(circuit, verdict, now, terms)
    if state is State.HALF_OPEN and not probe:
        return circuit
    failures = circuit.failures + 1
    if state is State.CLOSED and verdict.cause in _COUNTED and failures < terms.failures:
        return replace(circuit, failures=failures)
    rest_s = _rest_s(circuit, verdict, terms)
    told = verdict.wait_s is not None or verdict.cause is Cause.BROKEN
    return Circuit(failures, circuit.opened + 1, now, now + rest_s, told, verdict.cause)


def after_first_byte(circuit: Circuit, began: float, terms: Terms) -> Circuit:
    """It answers a call that ``began`` after it opened: others may come. Until the answer is complete, one failure is
    enough to open it again."""
    if not circuit.until or began <= circuit.since:
        return circuit
    return Circuit(failures=terms.failures - 1, opened=circuit.opened)


def after_success(circuit: Circuit, began: float) -> Circuit:
    return FRESH if not circuit.until or began > circuit.since else circuit


def _rest_s(circuit: Circuit, verdict: Verdict, terms: Terms) -> float:
    if verdict.wait_s is not None:
        return min(verdict.wait_s, terms.longest_rest_s)
    if verdict.cause is Cause.BROKEN:
        return terms.rest_s  # never longer: it may be one client's requests that break it for all
    first_s = CREDENTIAL_REST_S if verdict.cause in (Cause.CREDENTIAL, Cause.QUOTA) else terms.rest_s
    longest: float = min(first_s * 2 ** min(circuit.opened, 16), terms.longest_rest_s)
    return longest


def _rest_longer(circuit: Circuit, verdict: Verdict, now: float, terms: Terms) -> Circuit:
    """Another call, sent before this one rested, has been told a later time."""
    if verdict.wait_s is None:
        return circuit
    until = now + min(verdict.wait_s, terms.longest_rest_s)
    return replace(circuit, until=until, told=True, cause=verdict.cause) if until > circuit.until else circuit


# --- what a choice sees -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """One route at this moment. ``wait_s``: until it has rested. ``busy``: its calls under way. ``full``: its provider
    takes no more at the moment. ``first_byte_s``: how long its answers take to begin, smoothed."""

    state: State = State.CLOSED
    wait_s: float = 0.0
    told: bool = False
    cause: Cause | None = None
    probing: bool = False
    busy: int = 0
    full: bool = False
    first_byte_s: float | None = None

    @property
    def usable(self) -> bool:
        return not self.full and (self.state is State.CLOSED or (self.state is State.HALF_OPEN and not self.probing))

    @property
    def last_resort(self) -> bool:
        """May be tried where nothing better is left: only our own guess speaks against it."""
        return not self.full and not (self.state is State.OPEN and self.told)


Key: TypeAlias = "tuple[str, str | None]"
"""A credential, and a model of the upstream's; ``None``: the credential as a whole."""


@dataclass(slots=True)
class ProviderLoad:
    """Of a provider, with all its credentials and models. ``calls``: under way there."""

    calls: int = 0


@dataclass(slots=True)
class Load:
    """Of one model of a credential. ``provider``: the load of its provider, which ``busy`` is part of."""

    provider: ProviderLoad
    busy: int = 0
    first_byte_s: float | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of one model of a credential, by its upstream's name; ``model`` ``None``: of the credential as a
    whole. ``failures``: in a row."""

    model: str | None
    state: State
    cause: Cause | None
    wait_s: float
    failures: int
    busy: int
    first_byte_s: float | None


class Elsewhere(Protocol):
    """Other processes of the same hub. ``note``: so many calls are under way at a provider here; ``others``: there."""

    def note(self, provider: str, calls: int) -> None: ...
    def others(self, provider: str) -> int: ...


class Health:
    """The table. Use on one loop. ``elsewhere``: whose calls count too where a provider takes only so many."""

    def __init__(self, clock: Clock, terms: Terms | None = None, elsewhere: Elsewhere | None = None) -> None:
        self._clock = clock
        self._terms = terms or Terms()
        self._elsewhere = elsewhere
        self._circuits: OrderedDict[Key, Circuit] = OrderedDict()
        self._loads: OrderedDict[Key, Load] = OrderedDict()
        self._providers: dict[str, ProviderLoad] = {}
        """By configured name."""

    def renewed(self, terms: Terms) -> Health:
        """The same table under other terms: calls that have begun go on reporting to it."""
        health = Health(self._clock, terms, self._elsewhere)
        health._circuits, health._loads, health._providers = self._circuits, self._loads, self._providers
        return health

    def forget(self, known_as: str) -> None:
        """A credential that is not used any more."""
        for key in [key for key in self._circuits if key[0] == known_as]:
            del self._circuits[key]
        for key in [key for key, load in self._loads.items() if key[0] == known_as and not load.busy]:
            del self._loads[key]

    def standing(self, route: Route) -> Standing:
        now, label = self._clock.monotonic(), route.provider.known_as
        load = self._loads.get((label, route.upstream_model))
        full = self._is_full(route)
        busy, first_byte_s = (load.busy, load.first_byte_s) if load is not None else (0, None)
        worst = max(
            (self._circuits.get((label, route.upstream_model), FRESH), self._circuits.get((label, None), FRESH)),
            key=lambda circuit: circuit.until,
        )
        state = worst.state(now)
        if state is State.CLOSED:
            return Standing(busy=busy, full=full, first_byte_s=first_byte_s)
        wait_s = max(0.0, worst.until - now)
        return Standing(state, wait_s, worst.told, worst.cause, worst.probing, busy, full, first_byte_s)

    def observed(self, label: str) -> list[Observed]:
        """All that calls have shown of a credential, by model."""
        known = {key for key in (*self._circuits, *self._loads) if key[0] == label}
        return [self._observed(key) for key in sorted(known, key=lambda key: key[1] or "")]

    def _observed(self, key: Key) -> Observed:
        now, load = self._clock.monotonic(), self._loads.get(key)
        circuit = self._circuits.get(key, FRESH)
        state, wait_s = circuit.state(now), max(0.0, circuit.until - now)
        busy, first_byte_s = (load.busy, load.first_byte_s) if load is not None else (0, None)
        return Observed(key[1], state, circuit.cause, wait_s, circuit.failures, busy, first_byte_s)

    def is_well(self, route: Route) -> bool:
        """Whether nothing at all speaks against it; the quick question for models with one route."""
        circuits = self._circuits
        if circuits and (route.key in circuits or (route.key[0], None) in circuits):
            return False
        return route.provider.max_in_flight is None or not self._is_full(route)

    def busy(self, provider: str) -> int:
        """Calls under way at a provider, by its configured name."""
        load = self._providers.get(provider)
        return 0 if load is None else load.calls

    def _is_full(self, route: Route) -> bool:
        limit, name = route.provider.max_in_flight, route.provider.name
        if limit is None:
            return False
        return self.busy(name) + (self._elsewhere.others(name) if self._elsewhere else 0) >= limit

    # --- what calls report --------------------------------------------------------------------------------------------

    def begin(self, route: Route) -> tuple[Load, bool]:
        """A call sets out. Returns the load that it counts in, to be given with its reports, and whether it is a probe. The
        load is not forgotten before :meth:`end`."""
        load = self._loads.get(route.key)
        if load is None:
            load = self._new_load(route)
        load.busy += 1
        load.provider.calls += 1
        if self._elsewhere is not None and route.provider.max_in_flight is not None:
            self._elsewhere.note(route.provider.name, load.provider.calls)
        return load, bool(self._circuits) and self._probes(route)

    def _probes(self, route: Route) -> bool:
        now, probe = self._clock.monotonic(), False
        for key in _keys(route):
            circuit = self._circuits.get(key, FRESH)
            if circuit.state(now) is State.HALF_OPEN and not circuit.probing:
                self._keep(key, replace(circuit, probing=True))
                probe = True
        return probe

    def end(self, route: Route, load: Load) -> None:
        """It is over, whatever came of it. Nothing is counted below zero, should that be said twice."""
        if load.busy:
            load.busy -= 1
            load.provider.calls -= 1
        if self._elsewhere is not None and route.provider.max_in_flight is not None:
            self._elsewhere.note(route.provider.name, load.provider.calls)

    def answered(self, route: Route, load: Load, began: float, now: float) -> None:
        """The first byte has come of a call that ``began`` then (monotonic seconds)."""
        first_byte_s = now - began
        before = load.first_byte_s
        load.first_byte_s = first_byte_s if before is None else before + SMOOTHING * (first_byte_s - before)
        if self._circuits:
            for key, circuit in self._known(route):
                self._keep(key, after_first_byte(circuit, began, self._terms))

    def succeeded(self, route: Route, began: float) -> None:
        if self._circuits:
            for key, circuit in self._known(route):
                self._keep(key, after_success(circuit, began))

    def failed(self, route: Route, verdict: Verdict, *, probe: bool) -> None:
        label = route.provider.known_as
        at: Key = (label, None) if verdict.whole_credential else (label, route.upstream_model)
        now = self._clock.monotonic()
        for key in _keys(route):
            circuit = self._circuits.get(key, FRESH)
            if key == at:
                self._keep(key, after_failure(circuit, verdict, now, self._terms, probe=probe))
            elif probe:
                self._keep(key, replace(circuit, probing=False))

    def abandoned(self, route: Route, *, probe: bool) -> None:
        """Nothing was learnt of the route; somebody else may be the probe."""
        if not probe:
            return
        for key, circuit in self._known(route):
            self._keep(key, replace(circuit, probing=False))

    def rested(self, label: str) -> bool:
        """Whether something of a credential waits for its probe."""
        return bool(self._waiting(label))

    def rest_on(self, label: str) -> None:
        """Found out without a call: it does not work yet."""
        now = self._clock.monotonic()
        for key in self._waiting(label):
            circuit = self._circuits[key]
            verdict = Verdict(circuit.cause or Cause.FAILURES)
            self._keep(key, after_failure(circuit, verdict, now, self._terms, probe=True))

    def _waiting(self, label: str) -> list[Key]:
        now = self._clock.monotonic()
        return [
            key
            for key, circuit in self._circuits.items()
            if key[0] == label and circuit.state(now) is State.HALF_OPEN and not circuit.probing
        ]

    def _known(self, route: Route) -> list[tuple[Key, Circuit]]:
        """The circuits of a route that are not fresh."""
        return [(key, circuit) for key in _keys(route) if (circuit := self._circuits.get(key)) is not None]

    # --- bounds -------------------------------------------------------------------------------------------------------

    def _keep(self, key: Key, circuit: Circuit) -> None:
        if circuit == FRESH:
            self._circuits.pop(key, None)
            return
        self._circuits[key] = circuit
        self._circuits.move_to_end(key)
        if len(self._circuits) > MAX_TRACKED:
            self._circuits.popitem(last=False)

    def _new_load(self, route: Route) -> Load:
        """At most one other is forgotten for it: the longest known, or, if somebody uses that, it moves to the end."""
        load = self._loads[route.key] = Load(self._providers.setdefault(route.provider.name, ProviderLoad()))
        if len(self._loads) > MAX_TRACKED:
            oldest, known = self._loads.popitem(last=False)
            if known.busy:
                self._loads[oldest] = known
        return load


def _keys(route: Route) -> tuple[Key, Key]:
    return route.key, (route.key[0], None)
