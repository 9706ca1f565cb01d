"""The config for people: effective values with secrets masked, the example, a list of discovered models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

import yaml
from pydantic import BaseModel

from relayhub.config.checking import key_of
from relayhub.config.model import Config, Model, ProviderConfig
from relayhub.config.schema import PriceConfig
from relayhub.config.secrets import MASK, is_secret_name, secret_fields, without_credentials
from relayhub.types.json import Json, JsonObject
from relayhub.types.money import nano_to_usd

NO_PRICES: Mapping[str, Mapping[str, object]] = MappingProxyType({})


def example_text() -> str:
    """The commented example that ``relayhub init`` writes."""
    return resources.files("relayhub.config").joinpath("example.yaml").read_text(encoding="utf-8")


def effective(config: Config) -> JsonObject:
    """Every value in force, JSON-able, in the shape of the file; whatever looks like a secret is masked."""
    return tree_of(config, _MASKED)


@dataclass(frozen=True, slots=True)
class View:
    """How settings and plain values are written."""

    settings: Callable[[BaseModel], JsonObject]
    value: Callable[[Json], Json]


def tree_of(config: Config, view: View) -> JsonObject:
    """The config in the shape of the file."""
    sections: dict[str, BaseModel] = {
        "server": config.server,
        "store": config.store,
        "quota": config.quota,
        "media": config.media,
        "artifacts": config.artifacts,
        "jobs": config.jobs,
        "accounts": config.accounts,
        "usage": config.usage,
        "routing": config.routing,
        "logging": config.logging,
        "plugins": config.plugins,
    }
    shown: JsonObject = {name: view.value(section.model_dump(mode="json")) for name, section in sections.items()}
    providers: JsonObject = {name: _provider(provider, view) for name, provider in config.providers.items()}
    shown["currencies"] = {name: nano_to_usd(rate) for name, rate in config.currencies.items()}
    return {**shown, "providers": {**providers, **{name: {"enabled": False} for name in config.disabled}}}


def effective_yaml(config: Config) -> str:
    """The same as YAML."""
    return yaml.safe_dump(effective(config), sort_keys=False, allow_unicode=True)


def _provider(provider: ProviderConfig, view: View) -> JsonObject:
    core: JsonObject = {
        "headers": dict(provider.headers),
        "body_defaults": dict(provider.body_defaults),
        "proxy": provider.proxy,
        "ca_file": str(provider.ca_file) if provider.ca_file else None,
        "timeouts": provider.timeouts.model_dump(mode="json"),
        "max_connections": provider.max_connections,
        "max_in_flight": provider.max_in_flight,
        "default_video_model": provider.default_video_model,
        "models": {model.name: _model(model) for model in provider.models},
    }
    shown: JsonObject = {key: view.value(value) for key, value in core.items()}
    if provider.credentials:
        shown["credentials"] = [
            {"name": one.name, "weight": one.weight, **view.settings(one.settings)} for one in provider.credentials
        ]
        return {"type": provider.type, **shown}
    return {"type": provider.type, **view.settings(provider.settings), **shown}


def _masked_settings(settings: BaseModel) -> JsonObject:
    dumped: JsonObject = settings.model_dump(mode="json", by_alias=True)
    for name in secret_fields(type(settings)):
        key = key_of(type(settings), name)
        if dumped.get(key):
            dumped[key] = MASK
    return {key: value if value == MASK else _masked(value, key) for key, value in dumped.items()}


def _model(model: Model) -> JsonObject:
    entry: JsonObject = model.settings.model_dump(mode="json", exclude={"price", "cost", "free"})
    charge: JsonObject = {"price": _prices(model.prices)} if model.prices else {"free": True}
    cost: JsonObject = {"cost": _prices(model.costs)} if model.costs else {}
    return {**entry, "upstream": model.upstream, **charge, **cost}


def _prices(prices: Sequence[PriceConfig]) -> Json:
    return prices[0].in_usd() if len(prices) == 1 else [price.in_usd() for price in prices]


def _masked(value: Json, key: str = "") -> Json:
    """Secrets by the name of their key, and credentials in URLs. pydantic itself hides what is typed as secret."""
    match value:
        case dict():
            return {name: _masked(item, key if is_secret_name(key) else name) for name, item in value.items()}
        case list():
            return [_masked(item, key) for item in value]
        case str() if value and (is_secret_name(key) or value == _HIDDEN):
            return MASK
        case str():
            return without_credentials(value)
        case int() | float() if is_secret_name(key) and not isinstance(value, bool):
            return MASK
        case _:
            return value


def flow(entry: Mapping[str, object]) -> str:
    """On one line."""
    text: str = yaml.safe_dump(
        _plain(entry), allow_unicode=True, default_flow_style=True, sort_keys=False, width=10_000
    )
    return text.strip()


def _plain(value: object) -> object:
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value


_HIDDEN = "**********"
"""What a ``SecretStr`` is dumped as."""

_MASKED = View(_masked_settings, _masked)


def discovered_yaml(
    names: Sequence[str], prices: Mapping[str, Mapping[str, object]] = NO_PRICES, origin: str | None = None
) -> str:
    """A ``models_file`` for models that an upstream lists: prices are not known there. ``prices``: of some of them, from a
    list that ``origin`` describes."""
    lines = [
        "# Models as the upstream lists them, to be named in a provider's entry: models_file: <this file>",
        '# Each needs a price (USD per million tokens, in quotes): {price: {input: "0.15", output: "0.60"}}. What is the',
        "# same for all may stand in the provider's model_defaults instead.",
    ]
    if origin is not None:
        lines.append(origin_line(origin))
    lines += [discovered_line(name, prices) for name in names]
    return "\n".join(lines) + "\n"


def origin_line(origin: str) -> str:
    return f"# Prices: {' '.join(origin.split())}. They are what the upstream charges; make them yours."


def discovered_line(name: str, prices: Mapping[str, Mapping[str, object]]) -> str:
    quoted = yaml.safe_dump(name, allow_unicode=True, default_style='"', width=1000).strip()
    return f"{quoted}: {flow({'price': prices[name]} if name in prices else {})}"
