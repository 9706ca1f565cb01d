"""Why a call would go where it would go, for people: the same choice that a call makes, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.routing.catalog import Catalog
from relayhub.routing.health import State
from relayhub.routing.router import Router
from relayhub.routing.selection import Candidate, Choice, Strategy, reasons
from relayhub.types.call import Operation, Principal


@dataclass(frozen=True, slots=True)
class ExplainedRoute:
    """``position``: from 1 in the order of trying; ``None``: not tried now. ``model``: of a fall-back."""

    position: int | None
    provider: str
    credential: str | None
    upstream_model: str
    model: str | None
    state: State
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """``model``: the public name that was meant. ``rules``: what holds for the call as a whole."""

    asked: str
    model: str
    key: str
    operation: Operation
    strategy: Strategy
    rules: tuple[str, ...]
    routes: tuple[ExplainedRoute, ...]


def explain(
    catalog: Catalog,
    router: Router,
    principal: Principal,
    asked: str,
    operation: Operation,
    platform: str | None = None,
) -> Explained:
    """Where weights draw lots, this is one draw. Raises ``ClientError`` as :meth:`Catalog.resolve`."""
    resolved = catalog.resolve(asked, principal, operation, platform)
    choice = router.choice(resolved.routes)
    taken = [_route(choice, one, position) for position, one in enumerate(choice.taken, 1)]
    left = [_route(choice, one, None) for one in choice.left]
    key = principal.key_name
    rules = tuple(_rules(router, operation))
    return Explained(asked, resolved.model, key, operation, choice.strategy, rules, (*taken, *left))


def _route(choice: Choice, one: Candidate, position: int | None) -> ExplainedRoute:
    route = one.route
    return ExplainedRoute(
        position,
        route.provider.name,
        route.provider.credential,
        route.upstream_model,
        route.model,
        one.standing.state,
        tuple(reasons(choice, one)),
    )


def _rules(router: Router, operation: Operation) -> list[str]:
    terms = router.terms
    said = [f"further routes after an upstream was sent the request and refused it: {terms.failovers} at most"]
    if operation is Operation.CHAT and terms.retry_delivered_chat:
        said.append("what an upstream may have executed is repeated elsewhere, as the config wants it for chat")
    else:
        said.append("what an upstream may have executed is never repeated")
    if operation is Operation.CHAT and terms.hedge_after_s is not None:
        said.append(
            f"without an answer after {terms.hedge_after_s:g} s the second route is asked too, and both are paid"
        )
    return said
