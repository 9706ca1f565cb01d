"""The YAML config: found, read, checked all at once, explained.

``locate`` → ``read`` → ``Document.plugins`` (the host loads them) → ``Document.validate`` → ``Config``.
"""

from relayhub.config.differences import Change
from relayhub.config.json_schema import json_schema
from relayhub.config.live import taken_over
from relayhub.config.load import Document, control_of, locate, read, read_demo
from relayhub.config.model import Config, Model, ProviderConfig
from relayhub.config.models_file import MergedModels, merged_models
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
    "Change",
    "Config",
    "ConfigError",
    "Document",
    "LoggingConfig",
    "MergedModels",
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
    "control_of",
    "discovered_yaml",
    "effective",
    "effective_yaml",
    "example_text",
    "json_schema",
    "locate",
    "merged_models",
    "read",
    "read_demo",
    "taken_over",
]
