"""Routes in the tests: no upstream behind them."""

from __future__ import annotations

from dataclasses import replace

from relayhub.accounts.pricing import Price
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Route
from relayhub.routing.provider import Provider
from relayhub.types.http import Deadlines
from tests.support.transports import NoTransport


def provider(
    name: str, credential: str | None = None, *, weight: int = 1, max_in_flight: int | None = None
) -> Provider:
    built = Provider(name, "any", Capabilities({}), NoTransport(), Deadlines(), {}, {})
    return replace(built, credential=credential, weight=weight, max_in_flight=max_in_flight)


def route(name: str = "up", credential: str | None = None, upstream: str = "m", **fields: object) -> Route:
    """``credential_weight``, ``max_in_flight``: of its provider; all others are the route's own."""
    built = provider(
        name,
        credential,
        weight=fields.pop("credential_weight", 1),  # type: ignore[arg-type]
        max_in_flight=fields.pop("max_in_flight", None),  # type: ignore[arg-type]
    )
    return Route(built, upstream, Price(), 4096, **fields)  # type: ignore[arg-type]


def names(routes: object) -> list[str]:
    """The labels of their providers."""
    return [one.provider.label for one in routes]  # type: ignore[attr-defined]
