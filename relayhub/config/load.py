"""Finding and reading the config. Precedence: flag > environment > file > default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import platformdirs
from pydantic import BaseModel

from relayhub.config.checking import Checker
from relayhub.config.env import Substitution, apply_environment, assign
from relayhub.config.live import taken_over
from relayhub.config.model import Config
from relayhub.config.model_entries import read_text, source_of
from relayhub.config.problems import ConfigError, Problem
from relayhub.config.providers import WhyMissing, is_disabled
from relayhub.config.schema import (
    ArtifactsConfig,
    PluginsConfig,
    QuotaConfig,
    ServerConfig,
    StoreConfig,
    UsageConfig,
)
from relayhub.config.source import Source, Spot
from relayhub.config.tree import KeyPath, Node, empty, made, mapping, parse
from relayhub.config.validation import validate
from relayhub.types.json import Json

M = TypeVar("M", bound=BaseModel)

DEFAULT_NAME = "relayhub.yaml"
DEMO_DATABASE = "demo.db"
VARIABLE = "RELAYHUB_CONFIG"
NO_FLAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Document:
    """A config that has been read, but not yet checked: its plugins must be loaded for that. ``folder``: what relative
    paths are relative to. ``problems``: duplicate keys, missing variables."""

    root: Node
    folder: Path
    problems: tuple[Problem, ...] = ()

    def plugins(self) -> PluginsConfig:
        """The ``plugins:`` section by itself, without the keys that are wrong (``validate`` reports them)."""
        return self._leniently("plugins", PluginsConfig)

    def control(self) -> Path:
        """The control socket of the hub that runs with this config, also where something else in it is wrong."""
        server, store = self._leniently("server", ServerConfig), self._leniently("store", StoreConfig)
        return control_of(server, store)

    def holding(self, wanted: Config) -> Config:
        """``wanted``, as a hub that was started with this document serves it: see :func:`relayhub.config.taken_over`."""
        started = replace(
            wanted,
            server=self._leniently("server", ServerConfig),
            store=self._leniently("store", StoreConfig),
            quota=self._leniently("quota", QuotaConfig),
            artifacts=self._leniently("artifacts", ArtifactsConfig),
            usage=self._leniently("usage", UsageConfig),
            plugins=self.plugins(),
        )
        return taken_over(started, wanted)[0]

    def _leniently(self, name: str, model: type[M]) -> M:
        section = self.root.child(name)
        if section is None or not isinstance(section.value, dict):
            return model()
        return Checker(self.folder).leniently(model, section)

    def files(self) -> set[Path]:
        """Other files that the config reads: secrets, certificates, lists of models."""
        return {self.folder / Path(name).expanduser() for name in _files(self.root)}

    def validate(self, types: Mapping[str, type[BaseModel]], why_missing: WhyMissing = lambda _: None) -> Config:
        """``types``: provider type name → settings model of its plugin. ``why_missing`` may know why a type is not among
        them (a quarantined plugin). Raises one ``ConfigError`` with every problem. Reads ``models_file`` and the
        ``*_file`` of secrets."""
        return validate(self.root, self.folder, self.problems, types, why_missing)


def control_of(server: ServerConfig, store: StoreConfig) -> Path:
    """Beside the database unless the config says where."""
    return server.control or store.path.with_name(f"{store.path.name}.control")


def _files(node: Node) -> Iterator[str]:
    if not isinstance(node.value, dict):
        for child in node.value if isinstance(node.value, tuple) else ():
            yield from _files(child)
        return
    for key, child in node.value.items():
        if key.endswith("_file") and isinstance(child.value, str) and child.value:
            yield child.value
        else:
            yield from _files(child)


def locate(explicit: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """``--config``, ``$RELAYHUB_CONFIG``, ``./relayhub.yaml``; ``None`` is demo mode. Raises ``ConfigError`` if a file
    that was asked for is not there."""
    named = explicit if explicit is not None else Path(env[VARIABLE]) if env.get(VARIABLE) else None
    if named is None:
        default = cwd / DEFAULT_NAME
        return default if default.is_file() else None
    path = cwd / named.expanduser()
    if path.exists() and not path.is_dir():
        return path
    asked = Source("--config" if explicit is not None else f"environment variable {VARIABLE}")
    raise ConfigError([Problem(Spot(asked), "", f"there is no file {path}", f"`relayhub init {path}` writes one.")])


def read(
    path: Path | None, env: Mapping[str, str], overrides: Mapping[str, str] = NO_FLAGS, text: str | None = None
) -> Document:
    """``overrides``: flags, as ``{"server.port": "9000"}``. Without a file: environment and flags alone. ``text``: what the
    file said, if not what it says now. Raises ``ConfigError`` if the file cannot be read or is not YAML."""
    if path is None:
        return _document(empty(Source("config")), Path.cwd(), (), env, overrides)
    name, problems = _shown(path), list[Problem]()
    try:
        text = read_text(path) if text is None else text
    except ValueError as error:
        raise ConfigError([Problem(Spot(Source(name)), "", str(error))]) from error
    source = source_of(name, text)
    root = parse(text, source, problems)
    return _document(root or empty(source), path.absolute().parent, problems, env, overrides)


def read_demo(
    providers: Mapping[str, Json], env: Mapping[str, str], overrides: Mapping[str, str] = NO_FLAGS
) -> Document:
    """The config of demo mode: these providers, and the rest from environment and flags. Its database is its own: a key
    that was printed for a try must not open the hub that is set up later."""
    store: Json = {"path": str(platformdirs.user_data_path("relayhub") / DEMO_DATABASE)}
    root = made({"providers": dict(providers), "store": store}, Spot(Source("demo mode")))
    return _document(root, Path.cwd(), (), env, overrides)


def _document(
    root: Node, folder: Path, problems: Iterable[Problem], env: Mapping[str, str], overrides: Mapping[str, str]
) -> Document:
    """Overrides come first: what they replace need not resolve."""
    if root.value is None:
        root = mapping({}, root)
    found = list(problems)
    if isinstance(root.value, dict):
        root = _substituted(_overridden(root, env, overrides), env, found)
    return Document(root, folder, tuple(found))


def _substituted(root: Node, env: Mapping[str, str], problems: list[Problem]) -> Node:
    """A disabled provider is left alone: nobody has to set the variables of what is switched off."""
    substitution = Substitution(env, problems)
    done = {key: substitution.apply(child, (key,)) for key, child in root.entries.items() if key != "providers"}
    providers = root.child("providers")
    if providers is None or not isinstance(providers.value, dict):
        return mapping({**root.entries, **done}, root)
    entries = {name: _entry(entry, ("providers", name), substitution, env) for name, entry in providers.value.items()}
    return mapping({**root.entries, **done, "providers": mapping(entries, providers)}, root)


def _entry(entry: Node, path: KeyPath, substitution: Substitution, env: Mapping[str, str]) -> Node:
    switch = entry.child("enabled")
    if switch is not None:
        switched = mapping({**entry.entries, "enabled": Substitution(env, []).apply(switch)}, entry)
        if is_disabled(switched):
            return switched
    return substitution.apply(entry, path)


def _overridden(root: Node, env: Mapping[str, str], overrides: Mapping[str, str]) -> Node:
    root = apply_environment(root, env)
    for name, value in overrides.items():
        root = assign(root, name.split("."), value, Source(f"--{name.rpartition('.')[2].replace('_', '-')}"))
    return root


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
