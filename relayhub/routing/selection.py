"""Which route a call takes: pure, from what the config says, how each route does, and a draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from relayhub.routing.catalog import Route
from relayhub.routing.health import Cause, Standing, State


class Strategy(StrEnum):
    """What decides within a tier."""

    WEIGHT = "weight"
    """By the weights of a tier in which somebody has one; in the order of the config otherwise."""
    LEAST_BUSY = "least_busy"
    """Whoever has the fewest calls under way, for its weight."""
    LATENCY = "latency"
    """Whoever begins to answer soonest, for the calls it has under way."""


@dataclass(frozen=True, slots=True)
class Candidate:
    route: Route
    standing: Standing


@dataclass(frozen=True, slots=True)
class Choice:
    """``taken``: to be tried in this order. ``left``: not to be tried now. ``last_resort``: every route rests, and these
    are tried all the same. ``preferred``: the credential, or provider, that the conversation is bound to."""

    taken: tuple[Candidate, ...]
    left: tuple[Candidate, ...]
    strategy: Strategy
    preferred: str | None = None
    last_resort: bool = False


Draw = Callable[[], float]
"""A number from 0 up to, but not, 1."""


def choose(candidates: Sequence[Candidate], strategy: Strategy, draw: Draw, preferred: str | None = None) -> Choice:
    """``candidates`` in the order of the config."""
    usable = [one for one in candidates if one.standing.usable]
    fit = usable or [one for one in candidates if one.standing.last_resort]
    chosen = {id(one) for one in fit}
    left = tuple(one for one in candidates if id(one) not in chosen)
    taken = _ordered(usable, strategy, draw) if usable else sorted(fit, key=lambda one: one.standing.wait_s)
    if preferred is not None:
        taken.sort(key=lambda one: _distance(one.route, preferred))
    return Choice(tuple(taken), left, strategy, preferred, last_resort=bool(fit) and not usable)


def _ordered(fit: Sequence[Candidate], strategy: Strategy, draw: Draw) -> list[Candidate]:
    if len(fit) < 2:
        return list(fit)
    by_tier = sorted(fit, key=_tier)
    return [one for _, tier in groupby(by_tier, key=_tier) for one in _within(list(tier), strategy, draw)]


def _tier(one: Candidate) -> tuple[int, int]:
    return one.route.fallback, one.route.priority


def _within(tier: list[Candidate], strategy: Strategy, draw: Draw) -> Iterable[Candidate]:
    match strategy:
        case Strategy.WEIGHT:
            return _by_weight(tier, draw)
        case Strategy.LEAST_BUSY:
            return sorted(tier, key=lambda one: (_load(one), draw()))
        case Strategy.LATENCY:
            return sorted(tier, key=lambda one: ((one.standing.first_byte_s or 0.0) * (one.standing.busy + 1), draw()))


def _by_weight(tier: Sequence[Candidate], draw: Draw) -> Iterable[Candidate]:
    """Among entries first, and then among the credentials of each, which take turns in any case."""
    entries: dict[tuple[str, str], list[Candidate]] = {}
    for one in tier:
        entries.setdefault((one.route.provider.name, one.route.upstream_model), []).append(one)
    order = list(entries.values())
    if any(one.route.weight is not None for one in tier):
        order.sort(key=lambda entry: _lot(_weight(entry[0].route), draw))
    for entry in order:
        yield from sorted(entry, key=lambda one: _lot(one.route.provider.weight, draw))


def _lot(weight: int, draw: Draw) -> float:
    """Sorting by it draws without putting back; a weight of 0 comes last."""
    return -(draw() ** (1 / weight)) if weight else 1.0


def _weight(route: Route) -> int:
    return 1 if route.weight is None else route.weight


def _load(one: Candidate) -> float:
    weight = _weight(one.route) * one.route.provider.weight
    return (one.standing.busy + 1) / weight if weight else float("inf")


def _distance(route: Route, preferred: str) -> int:
    """The credential itself, another one of its provider, anybody."""
    if route.provider.label == preferred:
        return 0
    return 1 if route.provider.name == preferred.partition("#")[0] else 2


# --- reasons ------------------------------------------------------------------------------------------------------------


def reasons(choice: Choice, one: Candidate) -> list[str]:
    """Why it stands where it stands, for people."""
    route, standing = one.route, one.standing
    said = [f"fall-back {route.fallback}: the model {route.model!r}"] if route.fallback else []
    said.append(f"priority {route.priority}")
    said += _placed(choice, one)
    if choice.preferred is not None and _distance(route, choice.preferred) < 2:
        said.append("the conversation has begun there")
    said += _health(standing)
    if any(other is one for other in choice.left):
        said.append("not tried")
    elif choice.last_resort:
        said.append("tried all the same: every route rests")
    return said


def _placed(choice: Choice, one: Candidate) -> list[str]:
    route, standing = one.route, one.standing
    credential = [f"credential weight {route.provider.weight}"] if route.provider.credential is not None else []
    match choice.strategy:
        case Strategy.WEIGHT:
            tier = [other for other in (*choice.taken, *choice.left) if _tier(other) == _tier(one)]
            weighted = any(other.route.weight is not None for other in tier)
            return [f"weight {_weight(route)}" if weighted else "in the order of the config", *credential]
        case Strategy.LEAST_BUSY:
            return [f"{standing.busy} calls under way", f"weight {_weight(route)}", *credential]
        case Strategy.LATENCY:
            known = standing.first_byte_s
            latency = "latency not known yet" if known is None else f"first byte after {known * 1000:.0f} ms"
            return [latency, f"{standing.busy} calls under way", *credential]


_CAUSES = {
    Cause.FAILURES: "failures in a row",
    Cause.RATE_LIMITED: "it is rate limited",
    Cause.OVERLOADED: "it is overloaded",
    Cause.CREDENTIAL: "its credential was refused",
    Cause.QUOTA: "its account has no quota left",
    Cause.BROKEN: "its plugin is broken",
}


def _health(standing: Standing) -> list[str]:
    full = ["its provider is at max_in_flight"] if standing.full else []
    cause = "" if standing.cause is None else f": {_CAUSES[standing.cause]}"
    match standing.state:
        case State.CLOSED:
            return ["circuit closed", *full]
        case State.OPEN:
            said = ", as its upstream asked" if standing.told else ""
            return [f"circuit open{cause}, rests for {standing.wait_s:.1f} s more{said}", *full]
        case State.HALF_OPEN:
            probe = "its probe is under way" if standing.probing else "the next call is its probe"
            return [f"circuit half-open{cause}, {probe}", *full]
