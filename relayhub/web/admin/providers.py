"""The upstreams and their models, as the config has them: what they are and what they cost, nothing secret."""

from __future__ import annotations

from pydantic import Field, JsonValue

from relayhub.config import Model, ProviderConfig
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.web.admin.endpoint import READERS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import Nothing, Output, Page


class ModelShown(Output):
    name: str
    upstream: str
    aliases: tuple[str, ...]
    operations: tuple[str, ...]
    public: bool
    price: dict[str, JsonValue] | None = Field(description="The one in force, as the config says it; `null`: free.")


class ProviderShown(Output):
    """A disabled one is only named."""

    name: str
    enabled: bool
    type: str | None
    models: tuple[ModelShown, ...]


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


def _provider(entry: ProviderConfig, now: float) -> ProviderShown:
    models = tuple(_model(model, now) for model in entry.models)
    return ProviderShown(name=entry.name, enabled=True, type=entry.type, models=models)


async def list_providers(asked: Asked[Nothing]) -> Page[ProviderShown]:
    config, now = asked.context.config, asked.context.clock.now()
    enabled = [_provider(entry, now) for entry in config.providers.values()]
    disabled = [ProviderShown(name=name, enabled=False, type=None, models=()) for name in config.disabled]
    return Page(items=(*enabled, *disabled), next=None)


async def show_provider(asked: Asked[Nothing]) -> ProviderShown:
    entry = asked.context.config.providers.get(asked.path["id"])
    if entry is None:
        raise ClientError(ErrorKind.NOT_FOUND, "There is no such provider.", code="provider_not_found")
    return _provider(entry, asked.context.clock.now())


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint("GET", "/providers", "List the providers", READERS, Nothing, Page[ProviderShown], list_providers),
    Endpoint("GET", "/providers/{id}", "Show a provider", READERS, Nothing, ProviderShown, show_provider),
)
