"""How routes are chosen, as a config says it."""

from __future__ import annotations

from relayhub.config import RoutingConfig
from relayhub.routing.budget import BudgetTerms
from relayhub.routing.health import Terms as CircuitTerms
from relayhub.routing.router import RoutingTerms
from relayhub.routing.selection import Strategy
from relayhub.types.share import WHOLE, Share


def routing_terms(said: RoutingConfig, share: Share = WHOLE) -> RoutingTerms:
    """``share``: of the processes that may make so many further attempts each second together."""
    circuit = said.circuit
    return RoutingTerms(
        strategy=Strategy(said.strategy),
        failovers=said.failovers,
        retry_delivered_chat=said.retry_delivered_chat,
        hedge_after_s=said.hedge_after_s,
        probe_s=said.probe_s,
        retries=BudgetTerms(said.retries.share, said.retries.per_s / share.of),
        circuit=CircuitTerms(circuit.failures, circuit.rest_s, circuit.longest_rest_s),
    )
