"""Where a running program's config comes from, and how it is read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.config import Config, ConfigError, Document, PluginsConfig, Problem, read
from relayhub.config.model_entries import read_text
from relayhub.config.source import Source, Spot
from relayhub.plugins.host import PluginHost


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """``path``: absolute; ``None`` in demo mode. ``overrides``: the flags of the start, which stay in force. ``env``: the
    environment of the start; nobody can change that of a running process."""

    path: Path | None
    overrides: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def document(self) -> Document:
        """Raises ``ConfigError``, also in demo mode."""
        if self.path is None:
            raise ConfigError([_no_file()])
        return read(self.path, self.env, self.overrides)

    def text(self) -> str:
        """What its file says now; empty where that cannot be read."""
        try:
            return "" if self.path is None else read_text(self.path)
        except ValueError:
            return ""

    def config(self, plugins: PluginHost, loaded: PluginsConfig) -> Config:
        """Read and checked as ``relayhub validate`` does it, against the plugins that are loaded. ``loaded``: what they were
        loaded by. Raises ``ConfigError`` with every problem."""
        document = self.document()
        return document.validate(plugins.settings_models(), _why_missing(document, plugins, loaded))

    def files(self) -> set[Path]:
        """Everything that the config is made of, as far as it can be read."""
        if self.path is None:
            return set()
        try:
            return {self.path, *self.document().files()}
        except ConfigError:
            return {self.path}


def _why_missing(document: Document, plugins: PluginHost, loaded: PluginsConfig) -> Callable[[str], str | None]:
    def why(type_name: str) -> str | None:
        said = plugins.why_missing(type_name)
        if said is None and document.plugins() != loaded:
            return "plugins are loaded when the hub starts, and `plugins:` has changed since; restart it"
        return said

    return why


def _no_file() -> Problem:
    source = Source("demo mode")
    hint = "`relayhub init` writes a config; start the hub again with it."
    return Problem(Spot(source), "", "there is no config file to read again", hint)
