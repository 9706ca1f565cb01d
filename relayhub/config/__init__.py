"""The YAML config: found, read, checked all at once, explained.

``locate`` → ``read`` → ``Document.plugins`` (the host loads them) → ``Document.validate`` → ``Config``.
"""

from relayhub.config.json_schema import json_schema
from relayhub.config.load import Document, locate, read, read_demo
from relayhub.config.model import Config, Model, ProviderConfig
from relayhub.config.output import discovered_yaml, effective, effective_yaml, example_text
from relayhub.config.problems import ConfigError, Problem
from relayhub.config.schema import (
    CORE_PROVIDER_FIELDS,
    AccountsConfig,
    LoggingConfig,
    ModelConfig,
    PluginsConfig,
    PriceConfig,
    QuotaConfig,
    RoutingConfig,
    ServerConfig,
    StoreConfig,
)
from relayhub.config.source import Place

__all__ = [
    "CORE_PROVIDER_FIELDS",
    "AccountsConfig",
    "Config",
    "ConfigError",
    "Document",
    "LoggingConfig",
    "Model",
    "ModelConfig",
    "Place",
    "PluginsConfig",
    "PriceConfig",
    "Problem",
    "ProviderConfig",
    "QuotaConfig",
    "RoutingConfig",
    "ServerConfig",
    "StoreConfig",
    "discovered_yaml",
    "effective",
    "effective_yaml",
    "example_text",
    "json_schema",
    "locate",
    "read",
    "read_demo",
]
