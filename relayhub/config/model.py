"""The validated config that the rest of relayhub is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from relayhub.config.schema import (
    AccountsConfig,
    ArtifactsConfig,
    JobsConfig,
    LoggingConfig,
    MediaConfig,
    ModelConfig,
    PluginsConfig,
    PriceConfig,
    QuotaConfig,
    RoutingConfig,
    ServerConfig,
    StoreConfig,
    TimeoutsConfig,
    UsageConfig,
)
from relayhub.config.source import Place, Spot
from relayhub.types.json import Json


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. ``name`` may end in ``*`` (a prefix); a ``*`` in ``upstream`` then stands for the rest.
    ``prices``: by when they come into force, none for a free one; ``costs``: the upstream's own, the same way.
    ``settings``: its entry, ``models_file`` and ``model_defaults`` merged in.
    ``spot``: where the config names it, for an error that is found later."""

    name: str
    upstream: str
    prices: tuple[PriceConfig, ...]
    settings: ModelConfig
    spot: Spot
    costs: tuple[PriceConfig, ...] = ()

    @property
    def price(self) -> PriceConfig | None:
        """The first of them."""
        return self.prices[0] if self.prices else None

    def price_at(self, now: float) -> PriceConfig | None:
        """The one in force."""
        return next((price for price in reversed(self.prices) if price.from_ is None or price.from_ <= now), None)

    @property
    def place(self) -> Place:
        return self.spot.place


@dataclass(frozen=True, slots=True)
class Credential:
    """One of several that an entry lists. ``settings``: the entry's own, with this credential's in them."""

    name: str
    weight: int
    settings: BaseModel


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider. ``settings`` is an instance of its plugin's settings model; header names are lower case.
    ``credentials``: empty where the entry lists none; ``settings`` are the first one's otherwise."""

    name: str
    type: str
    settings: BaseModel
    models: tuple[Model, ...]
    headers: Mapping[str, str]
    body_defaults: Mapping[str, Json]
    proxy: str | None
    ca_file: Path | None
    timeouts: TimeoutsConfig
    max_connections: int
    default_video_model: str | None
    spot: Spot
    max_in_flight: int | None = None
    credentials: tuple[Credential, ...] = ()

    @property
    def place(self) -> Place:
        return self.spot.place


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, checked. Providers stand in the order of the file; disabled ones are only named."""

    server: ServerConfig
    store: StoreConfig
    quota: QuotaConfig
    media: MediaConfig
    artifacts: ArtifactsConfig
    jobs: JobsConfig
    accounts: AccountsConfig
    usage: UsageConfig
    routing: RoutingConfig
    logging: LoggingConfig
    plugins: PluginsConfig
    providers: Mapping[str, ProviderConfig]
    disabled: tuple[str, ...]
    currencies: Mapping[str, int] = field(default_factory=dict)
    """Nano-USD in one unit of each."""
