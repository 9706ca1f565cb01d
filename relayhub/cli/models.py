"""``relayhub models``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import click

from relayhub.accounts.price_book import tariff_of
from relayhub.build.providers import build_provider
from relayhub.cli.support import Setup, config_option, fail, json_option, print_json, print_table, run, set_up
from relayhub.config import discovered_yaml, merged_models
from relayhub.routing.discovery import discover_models
from relayhub.sdk.clock import SystemClock
from relayhub.sdk.provider import PriceList


@click.group()
def models() -> None:
    """The hub's models, and the upstreams'."""


@models.command("list")
@config_option
@json_option
def list_models(config_path: Path | None, as_json: bool) -> None:
    """List the models of the config with provider, upstream name and price."""
    setup, now = set_up(config_path), SystemClock().now()
    rows = [
        {
            "model": model.name,
            "provider": name,
            "upstream": model.upstream,
            "operations": sorted(model.settings.operations),
            "aliases": list(model.settings.aliases),
            "public": model.settings.public,
            "price": price.describe() if price is not None else "not yet",
        }
        for name, entry in setup.config.providers.items()
        for model in entry.models
        for price in [tariff_of(model, setup.config.currencies).at(now)]
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
@click.option("--prices", "priced", is_flag=True, help="With the prices of the list that the provider's plugin ships.")
def discover(provider: str, config_path: Path | None, as_json: bool, write: Path | None, priced: bool) -> None:
    """Ask PROVIDER's upstream for its models.

    With --write the names go to a YAML file that the provider's `models_file:` may name. Prices are not known upstream:
    the file leaves them to you, and a model without a price is refused until it has one. With --prices it begins with
    those of a dated list that the plugin ships; what stands in the YAML then is what is charged. A file that is there
    already keeps what it says: models are added at its end, and none loses its price.
    """
    setup = set_up(config_path)
    if provider not in setup.config.providers:
        fail(f"there is no provider {provider!r} in the config; it has: {', '.join(setup.config.providers)}")
    shipped = _shipped(setup, provider) if priced else None
    names = run(_discover(setup, provider))
    prices = {} if shipped is None else {name: price for name in names if (price := shipped.of(name)) is not None}
    origin = None if shipped is None else f"{shipped.source}, as of {shipped.as_of}"
    if write is not None:
        settled = {model.name for model in setup.config.providers[provider].models}
        _write(write, names, prices, origin, settled)
    elif as_json:
        print_json(names if shipped is None else {name: prices.get(name) for name in names})
    else:
        click.echo("\n".join(names) if shipped is None else discovered_yaml(names, prices, origin).rstrip())


def _write(
    path: Path,
    names: Sequence[str],
    prices: Mapping[str, Mapping[str, object]],
    origin: str | None,
    settled: Collection[str],
) -> None:
    try:
        merged = merged_models(_text(path), names, prices, origin, settled)
    except (OSError, ValueError) as error:
        fail(f"{path} was left as it is: {error}")
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(merged.text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fail(f"{path} cannot be written: {error}")
    known = len(names) - len(merged.added)
    priced = len(merged.priced) + sum(1 for name in merged.added if name in prices)
    rest = f"{priced} of them have a price; give the others one" if priced else "Give each a price"
    before = f" ({known} were there and stay as they are)" if known else ""
    click.echo(f"Wrote {len(merged.added)} models to {path}{before}. {rest}, then name the file: models_file: {path}")
    if merged.unlisted:
        click.echo(f"Not listed upstream (any more): {', '.join(merged.unlisted)}", err=True)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _shipped(setup: Setup, provider: str) -> PriceList:
    kind = setup.plugins.provider_types[setup.config.providers[provider].type]
    if kind.prices is None:
        fail(f"the plugin of {provider!r} (type {kind.name!r}) ships no price list; leave --prices away")
    return kind.prices


async def _discover(setup: Setup, name: str) -> list[str]:
    provider = build_provider(name, setup.config.providers[name], setup.plugins, SystemClock())
    try:
        return await discover_models(provider)
    finally:
        await provider.transport.close()
