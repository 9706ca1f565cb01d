"""The upstreams and their models: as the config has them, nothing secret, and how they do in this process."""

from __future__ import annotations

from pydantic import Field, JsonValue

from relayhub.config import Model, ProviderConfig
from relayhub.routing.health import Cause, Observed, State
from relayhub.routing.provider import label
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.endpoint import READERS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import Nothing, Output, Page


class ModelShown(Output):
    name: str
    upstream: str
    aliases: tuple[str, ...]
    operations: tuple[str, ...]
    public: bool
    price: dict[str, JsonValue] | None = Field(description="The one in force, as the config says it; `null`: free.")


class CircuitShown(Output):
    """One model by its upstream's name, or ``null``: the credential as a whole. ``state`` open: it rests for ``wait_s``
    because of ``cause``. ``failures``: in a row; ``busy``: calls under way; ``first_byte_ms``: smoothed."""

    model: str | None
    state: State
    cause: Cause | None
    wait_s: float
    failures: int
    busy: int
    first_byte_ms: int | None


class CredentialShown(Output):
    """``name`` ``null``: the entry has but this one. ``circuits``: what calls have shown of it, in the process that
    answers."""

    name: str | None
    weight: int
    circuits: tuple[CircuitShown, ...]


class ProviderShown(Output):
    """A disabled one is only named. ``in_flight``: calls under way, in the process that answers."""

    name: str
    enabled: bool
    type: str | None
    models: tuple[ModelShown, ...]
    max_in_flight: int | None
    in_flight: int
    credentials: tuple[CredentialShown, ...]


def _model(model: Model, now: float) -> ModelShown:
    price = model.price_at(now) or model.price
    return ModelShown(
        name=model.name,
        upstream=model.upstream,
        aliases=model.settings.aliases,
        operations=model.settings.operations,
        public=model.settings.public,
        price=None if price is None else dict(price.in_usd()),
    )


def _provider(context: AdminContext, entry: ProviderConfig) -> ProviderShown:
    now, health = context.clock.now(), context.router.health
    return ProviderShown(
        name=entry.name,
        enabled=True,
        type=entry.type,
        models=tuple(_model(model, now) for model in entry.models),
        max_in_flight=entry.max_in_flight,
        in_flight=health.busy(entry.name),
        credentials=tuple(
            CredentialShown(
                name=name,
                weight=weight,
                circuits=tuple(map(_circuit, health.observed(label(entry.name, name)))),
            )
            for name, weight in _credentials(entry)
        ),
    )


def _credentials(entry: ProviderConfig) -> list[tuple[str | None, int]]:
    return [(one.name, one.weight) for one in entry.credentials] or [(None, 1)]


def _circuit(seen: Observed) -> CircuitShown:
    return CircuitShown(
        model=seen.model,
        state=seen.state,
        cause=seen.cause,
        wait_s=round(seen.wait_s, 3),
        failures=seen.failures,
        busy=seen.busy,
        first_byte_ms=None if seen.first_byte_s is None else round(seen.first_byte_s * 1000),
    )


def _disabled(name: str) -> ProviderShown:
    return ProviderShown(
        name=name, enabled=False, type=None, models=(), max_in_flight=None, in_flight=0, credentials=()
    )


async def list_providers(asked: Asked[Nothing]) -> Page[ProviderShown]:
    context = asked.context
    enabled = [_provider(context, entry) for entry in context.config.providers.values()]
    return Page(items=(*enabled, *map(_disabled, context.config.disabled)), next=None)


async def show_provider(asked: Asked[Nothing]) -> ProviderShown:
    name, config = asked.path["id"], asked.context.config
    if name in config.disabled:
        return _disabled(name)
    entry = config.providers.get(name)
    if entry is None:
        raise ClientError(ErrorKind.NOT_FOUND, "There is no such provider.", code="provider_not_found")
    return _provider(asked.context, entry)


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/providers",
        "List the providers",
        READERS,
        Nothing,
        Page[ProviderShown],
        list_providers,
        twin="providers list",
    ),
    Endpoint(
        "GET",
        "/providers/{id}",
        "Show a provider",
        READERS,
        Nothing,
        ProviderShown,
        show_provider,
        twin="providers show",
    ),
)
