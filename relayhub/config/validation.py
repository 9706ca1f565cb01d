"""From the tree to the config, collecting every problem on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from relayhub.config.checking import Checker
from relayhub.config.model import Config, ProviderConfig
from relayhub.config.problems import ConfigError, Problem
from relayhub.config.providers import ProviderCheck, Types, WhyMissing, is_disabled
from relayhub.config.rates import without_rate
from relayhub.config.schema import (
    AccountsConfig,
    ArtifactsConfig,
    ConfigFile,
    JobsConfig,
    LoggingConfig,
    MediaConfig,
    PluginsConfig,
    QuotaConfig,
    RoutingConfig,
    ServerConfig,
    StoreConfig,
    UsageConfig,
)
from relayhub.config.secrets import is_secret_name, scrubbed
from relayhub.config.tree import Node, mapping

_HOMES = {
    field: name
    for name, section in (
        ("server", ServerConfig),
        ("store", StoreConfig),
        ("quota", QuotaConfig),
        ("media", MediaConfig),
        ("artifacts", ArtifactsConfig),
        ("jobs", JobsConfig),
        ("accounts", AccountsConfig),
        ("usage", UsageConfig),
        ("routing", RoutingConfig),
        ("logging", LoggingConfig),
        ("plugins", PluginsConfig),
    )
    for field in section.model_fields
}


def validate(root: Node, folder: Path, known: Iterable[Problem], types: Types, why_missing: WhyMissing) -> Config:
    """``known``: what was found while reading. Raises ``ConfigError`` with everything that is wrong."""
    checker = Checker(folder, _HOMES)
    check = ProviderCheck(checker, types, why_missing)
    if root.value is not None and not isinstance(root.value, dict):
        checker.add(
            root.spot, (), "the config must be a mapping of sections", "For example `server:` and `providers:`."
        )
    sections = {key: child for key, child in root.entries.items() if key != "providers"}
    file = checker.build(ConfigFile, mapping(sections, root), ())
    entries = _entries(root, checker)
    disabled = tuple(name for name, entry in entries.items() if is_disabled(entry))
    providers = {name: check.build(name, entry) for name, entry in entries.items() if name not in disabled}
    problems = [*known, *checker.problems]
    if file is not None:
        problems += without_rate(providers, file.currencies)
    if problems or file is None:
        raise ConfigError(_shown(problem, _secrets(root, hidden=False) | check.secrets) for problem in problems)
    built: dict[str, ProviderConfig] = {name: provider for name, provider in providers.items() if provider is not None}
    return Config(
        server=file.server,
        store=file.store,
        quota=file.quota,
        media=file.media,
        artifacts=file.artifacts,
        jobs=file.jobs,
        accounts=file.accounts,
        usage=file.usage,
        routing=file.routing,
        logging=file.logging,
        plugins=file.plugins,
        providers=built,
        disabled=disabled,
        currencies=file.currencies,
    )


def _entries(root: Node, checker: Checker) -> dict[str, Node]:
    providers = root.child("providers")
    if providers is not None and providers.value is not None and not isinstance(providers.value, dict):
        checker.add(providers.spot, ("providers",), "this must be a mapping: the providers by name")
    return providers.entries if providers is not None else {}


def _secrets(node: Node, *, hidden: bool) -> set[str]:
    """The values under every key that names a secret. ``hidden``: a key above did."""
    if isinstance(node.value, dict):
        children = [(child, hidden or is_secret_name(key)) for key, child in node.value.items()]
        return {value for child, secret in children for value in _secrets(child, hidden=secret)}
    return {str(scalar.value) for scalar in node.scalars()} if hidden else set()


def _shown(problem: Problem, secrets: set[str]) -> Problem:
    hint = scrubbed(problem.hint, secrets) if problem.hint else None
    return replace(problem, message=scrubbed(problem.message, secrets), hint=hint)
