"""``relayhub x``: the commands of plugins. They live here so that nothing else has to load a plugin."""

from __future__ import annotations

import os
from pathlib import Path

import click

from relayhub.cli.support import load_plugins
from relayhub.config import ConfigError, locate, read


class PluginCommands(click.Group):
    """Loads the plugins of the config the first time it is looked into."""

    def _load(self) -> None:
        if self.commands:
            return
        try:
            document = read(locate(None, os.environ, Path.cwd()), os.environ, {})
        except ConfigError as error:
            raise click.ClickException(f"the config cannot be read, so its plugins are unknown: {error}") from error
        load_plugins(document).register_commands(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._load()
        return super().get_command(ctx, cmd_name)


extensions = PluginCommands("x", help="Commands that plugins add.", no_args_is_help=True)
