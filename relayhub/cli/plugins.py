"""``relayhub plugins``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from relayhub.cli.support import EXIT_CONFIG, config_option, json_option, load_plugins, print_json, print_table
from relayhub.config import ConfigError, locate, read


@click.group()
def plugins() -> None:
    """What extends this hub."""


@plugins.command("list")
@config_option
@json_option
def list_plugins(config_path: Path | None, as_json: bool) -> None:
    """List the loaded plugins with their origin, and the quarantined ones with the reason."""
    try:
        host = load_plugins(read(locate(config_path, os.environ, Path.cwd()), os.environ, {}))
    except ConfigError as error:
        click.echo(error.render(color=sys.stderr.isatty()), err=True)
        sys.exit(EXIT_CONFIG)
    loaded = [
        {
            "name": plugin.name,
            "source": plugin.source.value,
            "origin": plugin.origin,
            "version": plugin.version,
            "provider_types": [kind.name for kind in host.types_of(plugin.name)],
            "ingresses": [ingress.name for ingress in host.ingresses if ingress.plugin == plugin.name],
        }
        for plugin in host.plugins
    ]
    broken = [{"name": item.name, "origin": item.origin, "reason": item.reason} for item in host.quarantined]
    if as_json:
        print_json({"plugins": loaded, "quarantined": broken})
        return
    rows = [
        [p["name"], p["version"], p["source"], ", ".join((*p["provider_types"], *p["ingresses"])), p["origin"]]
        for p in loaded
    ]
    print_table(["Plugin", "Version", "Source", "Brings", "Origin"], rows, empty="No plugin is loaded.")
    for item in broken:
        click.echo(f"\nQuarantined: {item['name']} ({item['origin']})\n  {item['reason']}")
