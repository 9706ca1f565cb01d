"""``relayhub prices``."""

from __future__ import annotations

from pathlib import Path

import click

from relayhub.accounts.price_list import ListedPrice, price_list
from relayhub.cli.moments import shown_time
from relayhub.cli.support import config_option, json_option, print_json, print_table, set_up
from relayhub.sdk.clock import SystemClock


@click.group()
def prices() -> None:
    """What is charged. Only what stands in the config's YAML counts; `models discover` writes prices to begin with."""


@prices.command("list")
@click.option("--provider", help="Of this provider only.")
@click.option("--model", help="Of this model only, by its name or an alias.")
@click.option("--every", is_flag=True, help="Past and coming prices too, not only those in force.")
@config_option
@json_option
def list_prices(provider: str | None, model: str | None, every: bool, config_path: Path | None, as_json: bool) -> None:
    """List the prices in force, as the config says them."""
    config = set_up(config_path).config
    found = price_list(config, SystemClock().now(), provider=provider, model=model, every=every)
    rows = [_shown(price) for price in found]
    if as_json:
        print_json(rows)
        return
    columns = ("model", "provider", "since", "until", "formula", "version")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="There is no such price.",
    )


def _shown(price: ListedPrice) -> dict[str, object]:
    return {
        "provider": price.provider,
        "model": price.model,
        "upstream": price.upstream,
        "since": shown_time(price.since),
        "until": shown_time(price.until),
        "in_force": price.in_force,
        "formula": price.formula,
        "version": price.version,
        "currency": price.currency,
        "amounts": price.amounts,
        "upstream_formula": price.upstream_formula,
    }
