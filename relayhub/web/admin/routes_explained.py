"""Where a call would go, and why."""

from __future__ import annotations

from pydantic import Field

from relayhub.routing.explain import Explained, explain
from relayhub.types.call import Operation, Principal
from relayhub.web.admin.endpoint import READERS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import Input, Output


class WhichCall(Input):
    key: str = Field(min_length=1, max_length=200, description="Id or name of a relay key.")
    model: str = Field(min_length=1, max_length=200, description="As a client would say it.")
    operation: Operation = Field(Operation.CHAT, description="What is asked of the model.")
    platform: str | None = Field(None, max_length=64, description="Only this provider, as in `/{platform}/v1/…`.")


class RouteShown(Output):
    position: int | None = Field(description="In the order of trying, from 1; `null`: not tried now.")
    provider: str
    credential: str | None = Field(description="Where its entry lists several.")
    upstream_model: str
    model: str | None = Field(description="The public name of a fall-back.")
    state: str = Field(description="The circuit: closed, open or half_open.")
    reasons: tuple[str, ...]


class CallExplained(Output):
    asked: str
    model: str
    key: str
    operation: str
    strategy: str
    rules: tuple[str, ...]
    routes: tuple[RouteShown, ...]


def shown(found: Explained) -> CallExplained:
    return CallExplained(
        asked=found.asked,
        model=found.model,
        key=found.key,
        operation=found.operation.value,
        strategy=found.strategy.value,
        rules=found.rules,
        routes=tuple(
            RouteShown(
                position=route.position,
                provider=route.provider,
                credential=route.credential,
                upstream_model=route.upstream_model,
                model=route.model,
                state=route.state.value,
                reasons=route.reasons,
            )
            for route in found.routes
        ),
    )


async def explain_route(asked: Asked[WhichCall]) -> CallExplained:
    """As it is at this moment, with what the calls of this process have shown."""
    context, given = asked.context, asked.given
    key = await context.store.keys.named(given.key)
    principal = Principal(key.id, key.name, key.account_id, key.models)
    return shown(explain(context.catalog, context.router, principal, given.model, given.operation, given.platform))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/routes/explain",
        "Explain where a call would go",
        READERS,
        WhichCall,
        CallExplained,
        explain_route,
        twin="explain",
    ),
)
