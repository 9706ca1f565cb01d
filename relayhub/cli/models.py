"""``relayhub models``."""

from __future__ import annotations

from pathlib import Path

import click

from relayhub.app import build_provider, price_of
from relayhub.cli.support import Setup, config_option, fail, json_option, print_json, print_table, run, set_up
from relayhub.config import discovered_yaml
from relayhub.routing.discovery import discover_models
from relayhub.sdk.clock import SystemClock


@click.group()
def models() -> None:
    """The hub's models, and the upstreams'."""


@models.command("list")
@config_option
@json_option
def list_models(config_path: Path | None, as_json: bool) -> None:
    """List the models of the config with provider, upstream name and price."""
    setup = set_up(config_path)
    rows = [
        {
            "model": model.name,
            "provider": name,
            "upstream": model.upstream,
            "operations": sorted(model.settings.operations),
            "aliases": list(model.settings.aliases),
            "public": model.settings.public,
            "price": price_of(model).describe(),
        }
        for name, entry in setup.config.providers.items()
        for model in entry.models
    ]
    if as_json:
        print_json(rows)
        return
    columns = ("model", "provider", "upstream", "price")
    print_table(
        [name.capitalize() for name in columns], [[row[name] for name in columns] for row in rows], empty="None."
    )


@models.command()
@click.argument("provider")
@config_option
@json_option
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="Write a models_file for the config.")
def discover(provider: str, config_path: Path | None, as_json: bool, write: Path | None) -> None:
    """Ask PROVIDER's upstream for its models.

    With --write the names go to a YAML file that the provider's `models_file:` may name. Prices are not known upstream:
    the file leaves them to you, and a model without a price is refused until it has one.
    """
    setup = set_up(config_path)
    if provider not in setup.config.providers:
        fail(f"there is no provider {provider!r} in the config; it has: {', '.join(setup.config.providers)}")
    names = run(_discover(setup, provider))
    if write is not None:
        write.write_text(discovered_yaml(names), encoding="utf-8")
        click.echo(f"Wrote {len(names)} models to {write}. Give each a price, then name the file: models_file: {write}")
    elif as_json:
        print_json(names)
    else:
        click.echo("\n".join(names))


async def _discover(setup: Setup, name: str) -> list[str]:
    provider = build_provider(name, setup.config.providers[name], setup.plugins, SystemClock())
    try:
        return await discover_models(provider)
    finally:
        await provider.transport.close()
