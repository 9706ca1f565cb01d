"""One call's way through its routes: in which order, when the next one may be tried, and what is learnt on the way."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from relayhub.routing.budget import BudgetTerms, RetryBudget
from relayhub.routing.catalog import Route
from relayhub.routing.health import Cause, Elsewhere, Health, Load, Terms, verdict_of
from relayhub.routing.ordering import About, Order, ordered
from relayhub.routing.selection import Candidate, Choice, Draw, Strategy, choose
from relayhub.sdk.clock import Clock, SystemClock
from relayhub.sdk.ordering import CallView, RouteView
from relayhub.types.call import Operation
from relayhub.types.errors import ErrorKind, HubError, RelayhubError, UpstreamError

BUSY_RETRY_AFTER_S = 1.0
"""A provider that is full has room again as soon as one of its calls ends."""

_OF_A_CREDENTIAL = frozenset({Cause.RATE_LIMITED, Cause.CREDENTIAL, Cause.QUOTA})
"""What another credential of the same provider may not be troubled by."""


@dataclass(frozen=True, slots=True)
class RoutingTerms:
    """``failovers``: further routes of one call after an upstream was sent its request. ``retry_delivered_chat``: chat
    that an upstream may have executed, and will bill, may be tried elsewhere all the same."""

    strategy: Strategy = Strategy.WEIGHT
    failovers: int = 1
    retry_delivered_chat: bool = False
    hedge_after_s: float | None = None
    probe_s: float | None = None
    retries: BudgetTerms = field(default_factory=BudgetTerms)
    circuit: Terms = field(default_factory=Terms)


class Router:
    """Chooses among routes. Shared by everything that sends calls, so that all learn from all."""

    def __init__(
        self,
        clock: Clock | None = None,
        terms: RoutingTerms | None = None,
        draw: Draw | None = None,
        elsewhere: Elsewhere | None = None,
        ordering: Order | None = None,
    ) -> None:
        """``ordering``: has the last word on the order of a call's routes."""
        self.clock: Clock = clock or SystemClock()
        self.terms = terms or RoutingTerms()
        self.health = Health(self.clock, self.terms.circuit, elsewhere)
        self.budget = RetryBudget(self.clock, self.terms.retries)
        self.ordering = ordering
        self._draw: Draw = draw or random.random

    def renewed(self, terms: RoutingTerms) -> Router:
        """With other terms, and with all that was learnt."""
        router = Router(self.clock, terms, self._draw, ordering=self.ordering)
        router.health = self.health.renewed(terms.circuit)
        router.budget = self.budget.renewed(terms.retries)
        return router

    def choice(self, routes: Sequence[Route], preferred: str | None = None) -> Choice:
        candidates = [Candidate(route, self.health.standing(route)) for route in routes]
        return choose(candidates, self.terms.strategy, self._draw, preferred)

    def order(
        self, routes: Sequence[Route], preferred: str | None = None, about: About | None = None
    ) -> tuple[Route, ...]:
        """Those that may be tried now. ``about``: the call, for plugins that order routes. Raises ``RelayhubError`` with the
        time to wait if there is none."""
        found = self._order(routes, preferred)
        return found if self.ordering is None or about is None else self._reordered(found, self.ordering, about())

    def _reordered(self, routes: tuple[Route, ...], ordering: Order, call: CallView) -> tuple[Route, ...]:
        views = tuple(self._view(route) for route in routes)
        left = ordered(routes, views, ordering(call, views))
        if not left:
            raise HubError(
                ErrorKind.NO_ROUTE, "A plugin of this server lets no provider take this call.", code="no_route"
            )
        return left

    def _view(self, route: Route) -> RouteView:
        provider, standing = route.provider, self.health.standing(route)
        return RouteView(
            provider=provider.name,
            provider_type=provider.type,
            credential=provider.credential,
            upstream_model=route.upstream_model,
            priority=route.priority,
            weight=route.weight,
            fallback=route.fallback,
            busy=standing.busy,
            first_byte_s=standing.first_byte_s,
        )

    def _order(self, routes: Sequence[Route], preferred: str | None) -> tuple[Route, ...]:
        if len(routes) == 1 and self.health.is_well(routes[0]):
            return tuple(routes)
        choice = self.choice(routes, preferred)
        if not choice.taken and choice.left:
            raise none_left(choice)
        return tuple(one.route for one in choice.taken)

    def alone(self, route: Route) -> Trial:
        """The attempt of a call that has one route only. It has begun: :meth:`Trial.end` it once."""
        self.budget.called(route.provider.name)
        load, probe = self.health.begin(route)
        return Trial(self, route, self.clock.monotonic(), load, probe)

    def hedge_after_s(self, operation: Operation) -> float | None:
        """How long an attempt may be silent until a second one begins beside it; ``None``: never."""
        return self.terms.hedge_after_s if operation is Operation.CHAT else None

    def way(
        self, routes: Sequence[Route], operation: Operation, preferred: str | None = None, about: About | None = None
    ) -> Way:
        """See :meth:`order`."""
        return Way(self, self.order(routes, preferred, about), operation)


class Way:
    """Iterate over it, :meth:`trying` each route. After a failure ask :meth:`goes_on` before the next."""

    def __init__(self, router: Router, routes: Sequence[Route], operation: Operation) -> None:
        self._router = router
        self._waiting = list(routes)
        self._current: Route | None = None
        self._failovers = 0
        self._tried = 0
        self._repeats = router.terms.retry_delivered_chat and operation is Operation.CHAT
        self.routes = tuple(routes)

    def __iter__(self) -> Iterator[Route]:
        while self._waiting:
            self._current = self._waiting.pop(0)
            yield self._current

    def trying(self, route: Route) -> Trial:
        """For ``with``: the attempt."""
        if not self._tried:
            self._router.budget.called(route.provider.name)
        self._tried += 1
        return Trial(self._router, route)

    def goes_on(self, error: UpstreamError, *, shown: bool) -> bool:
        """Whether the next route may be tried after this failure; if so, the attempt is paid for from the budget.
        ``shown``: the client has seen something of the answer."""
        if shown or not self._may_repeat(error):
            return False
        self._rule_out(error)
        if not self._waiting:
            return False
        if not _was_sent(error):
            return True
        if self._failovers >= self._router.terms.failovers:
            return False
        self._failovers += 1
        return self._router.budget.take(self._waiting[0].provider.name)

    def beside(self) -> Route | None:
        """A route to be asked beside the one that has not answered yet; paid for from the budget."""
        if not self._waiting or not self._router.budget.take(self._waiting[0].provider.name):
            return None
        self._failovers += 1
        return self._waiting.pop(0)

    def _may_repeat(self, error: UpstreamError) -> bool:
        if not error.delivered:
            return error.retryable
        return self._repeats and error.kind not in (ErrorKind.UPSTREAM_REJECTED, ErrorKind.UNAVAILABLE)

    def _rule_out(self, error: UpstreamError) -> None:
        """The same upstream with another credential would fail in the same way, unless it failed for the credential."""
        verdict, failed = verdict_of(error), self._current
        if failed is None or (verdict is not None and verdict.cause in _OF_A_CREDENTIAL):
            return
        self._waiting = [
            route
            for route in self._waiting
            if (route.provider.name, route.upstream_model) != (failed.provider.name, failed.upstream_model)
        ]


def _was_sent(error: UpstreamError) -> bool:
    return error.delivered or error.status is not None


class Trial(msgspec.Struct, eq=False):
    """One attempt over one route; what comes of it is reported when the block is left."""

    _router: Router
    route: Route
    _began: float = 0.0
    _load: Load | None = None
    _probe: bool = False
    _answered: bool = False

    def __enter__(self) -> Trial:
        self._began = self._router.clock.monotonic()
        self._load, self._probe = self._router.health.begin(self.route)
        return self

    def first_byte(self, now: float) -> None:
        """The answer begins. ``now``: monotonic seconds."""
        if not self._answered:
            assert self._load is not None
            self._answered = True
            self._router.health.answered(self.route, self._load, self._began, now)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """``error``: what became of the attempt instead of an answer."""
        assert self._load is not None
        health = self._router.health
        health.end(self.route, self._load)
        if error is None:
            health.succeeded(self.route, self._began)
        elif (verdict := verdict_of(error)) is not None:
            health.failed(self.route, verdict, probe=self._probe)
        elif _answers(error):
            health.succeeded(self.route, self._began)
        else:
            health.abandoned(self.route, probe=self._probe)


def _answers(error: BaseException) -> bool:
    """A refusal of the content shows that the upstream works."""
    return isinstance(error, UpstreamError) and error.kind is ErrorKind.UPSTREAM_REJECTED


def none_left(choice: Choice) -> RelayhubError:
    """Every route is full, or its upstream asked to be left alone: when to come back."""
    full = [one for one in choice.left if one.standing.full]
    resting = [one for one in choice.left if not one.standing.full]
    if full or not resting:
        return HubError(
            ErrorKind.NO_ROUTE,
            "Every provider of this model is serving as many calls as it may; try again in a moment.",
            code="provider_busy",
            retry_after_s=BUSY_RETRY_AFTER_S,
        )
    soonest = min(resting, key=lambda one: one.standing.wait_s)
    if soonest.standing.cause is Cause.BROKEN:
        return HubError(
            ErrorKind.NO_ROUTE,
            "The provider of this model has failed several times in a row and is disabled for a moment; the operator's log"
            " has the reason.",
            code="provider_disabled",
            retry_after_s=soonest.standing.wait_s,
        )
    limited = soonest.standing.cause is Cause.RATE_LIMITED
    return UpstreamError(
        ErrorKind.UPSTREAM_RATE_LIMITED if limited else ErrorKind.UPSTREAM_OVERLOADED,
        "Every upstream of this model has asked to be left alone for a while; try again later.",
        code="upstream_rate_limited" if limited else "upstream_overloaded",
        retryable=True,
        delivered=False,
        retry_after_s=soonest.standing.wait_s,
    )
