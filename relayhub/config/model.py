"""The validated config that the rest of relayhub is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from relayhub.config.schema import (
    LoggingConfig,
    MediaConfig,
    ModelConfig,
    PluginsConfig,
    PriceConfig,
    QuotaConfig,
    ServerConfig,
    StoreConfig,
    TimeoutsConfig,
)
from relayhub.config.source import Place, Spot
from relayhub.types.json import Json


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. ``name`` may end in ``*`` (a prefix); a ``*`` in ``upstream`` then stands for the rest.
    ``price``: ``None`` for a free one. ``settings``: its entry, ``models_file`` and ``model_defaults`` merged in.
    ``spot``: where the config names it, for an error that is found later."""

    name: str
    upstream: str
    price: PriceConfig | None
    settings: ModelConfig
    spot: Spot

    @property
    def place(self) -> Place:
        return self.spot.place


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider. ``settings`` is an instance of its plugin's settings model; header names are lower case."""

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
    spot: Spot

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
    logging: LoggingConfig
    plugins: PluginsConfig
    providers: Mapping[str, ProviderConfig]
    disabled: tuple[str, ...]
