"""``relayhub providers``."""

from __future__ import annotations

from pathlib import Path

import click

from relayhub.cli.support import config_option, json_option, print_json, print_table, set_up
from relayhub.config import ProviderConfig
from relayhub.sdk.clock import SystemClock


@click.group()
def providers() -> None:
    """The upstreams of the config."""


@providers.command("list")
@config_option
@json_option
def list_providers(config_path: Path | None, as_json: bool) -> None:
    """List the providers with their models and prices; nothing secret."""
    config, now = set_up(config_path).config, SystemClock().now()
    rows = [_shown(entry, now) for entry in config.providers.values()]
    rows += [{"name": name, "type": None, "enabled": False, "models": {}} for name in config.disabled]
    if as_json:
        print_json(rows)
        return
    table = [[row["name"], row["type"], "yes" if row["enabled"] else "no", ", ".join(_names(row))] for row in rows]
    print_table(["Provider", "Type", "Enabled", "Models"], table, empty="The config has no provider.")


def _names(row: dict[str, object]) -> list[str]:
    models = row["models"]
    return list(models) if isinstance(models, dict) else []


def _shown(entry: ProviderConfig, now: float) -> dict[str, object]:
    prices = {model.name: model.price_at(now) or model.price for model in entry.models}
    models = {name: None if price is None else price.in_usd() for name, price in prices.items()}
    return {"name": entry.name, "type": entry.type, "enabled": True, "models": models}
