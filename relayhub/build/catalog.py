"""The models of a config, on the providers that were built for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from relayhub.accounts.price_book import tariff_of
from relayhub.config import Config, ConfigError, Model, Problem
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.credentials import Providers
from relayhub.routing.provider import Provider
from relayhub.types.call import Operation


def build_catalog(
    config: Config, providers: Providers, created: int, now: Callable[[], float] | None = None
) -> Catalog:
    """All models of all providers, in the order of the config, each once for every credential. Raises ``ConfigError`` for
    models whose provider does not serve what they promise, and for fall-backs that there are none of."""
    models = {name: entry.models for name, entry in config.providers.items()}
    problems = [problem for name, listed in models.items() for problem in _unserved(providers[name], listed)]
    problems += _without_fallback(models)
    if problems:
        raise ConfigError(problems)
    fallback = config.quota.default_max_output_tokens
    specs = [
        _model_spec(model, provider, fallback, config.currencies)
        for name, listed in models.items()
        for model in listed
        for provider in providers.credentials(name)
    ]
    return Catalog(specs, created, now)


def _without_fallback(models: Mapping[str, Iterable[Model]]) -> Iterator[Problem]:
    """Fall-backs that no provider has, or that are the model itself."""
    names = {name for listed in models.values() for model in listed for name in (model.name, *model.settings.aliases)}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    for provider, listed in models.items():
        for model in listed:
            path = f"providers.{provider}.models.{model.name}.fallbacks"
            for name in model.settings.fallbacks:
                if name == model.name or name in model.settings.aliases:
                    yield Problem(model.spot, path, f"the model {name!r} cannot be its own fall-back")
                elif name not in names and not name.startswith(prefixes or ("\0",)):
                    hint = "Name a model that some provider here has."
                    yield Problem(model.spot, path, f"there is no model {name!r} to fall back to", hint)


def _unserved(provider: Provider, models: Iterable[Model]) -> Iterator[Problem]:
    for model in models:
        for operation in model.settings.operations:
            if not provider.capabilities.serves(Operation(operation)):
                path = f"providers.{provider.name}.models.{model.name}"
                message = f"the provider type {provider.type!r} does not serve {operation}"
                yield Problem(model.spot, path, message, "Change the model's `operations:`, or leave it out.")


def _model_spec(
    model: Model, provider: Provider, fallback_output_tokens: int, currencies: Mapping[str, int]
) -> ModelSpec:
    settings, tariff = model.settings, tariff_of(model, currencies)
    return ModelSpec(
        name=model.name,
        route=Route(
            provider=provider,
            upstream_model=model.upstream,
            price=tariff.prices[0][1],
            tariff=tariff,
            max_output_tokens=settings.max_output_tokens or fallback_output_tokens,
            image_form=settings.image_form,
            priority=settings.priority,
            weight=settings.weight,
            on_disconnect=settings.on_disconnect,
        ),
        aliases=tuple(settings.aliases),
        operations=frozenset(Operation(operation) for operation in settings.operations),
        public=settings.public,
        fallbacks=settings.fallbacks,
    )
