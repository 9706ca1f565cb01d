"""``relayhub usage``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.cli.units import spent_units
from relayhub.store.usage import GROUPS, UsageFilter
from relayhub.types.json import JsonObject

MOST_ROWS = 1000


@click.command()
@click.option("--by", type=click.Choice(GROUPS), default="model", show_default=True, help="What to add up by.")
@click.option("--rows", "as_rows", is_flag=True, help="Single calls, newest first, instead of totals.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=MOST_ROWS, show_default=True, help="Most rows.")
@click.option("--since", type=click.DateTime(), help="From this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Before this time (UTC).")
@click.option("--account", help="Of this account only.")
@click.option("--key", help="Of this key only.")
@click.option("--model", help="Of this model only.")
@click.option("--provider", help="Of this provider only.")
@click.option("--user", help="Of this user identifier only.")
@config_option
@json_option
def usage(
    by: str,
    as_rows: bool,
    limit: int,
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    key: str | None,
    model: str | None,
    provider: str | None,
    user: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show what was used: totals by model, key, account, provider, operation, outcome or user, or single calls."""
    setup = set_up(config_path)
    wanted = UsageFilter(_timestamp(since), _timestamp(until), account, key, model, provider, user)
    found = run(_rows(setup, wanted, limit) if as_rows else _totals(setup, wanted, by))
    if as_json:
        print_json(found)
    elif as_rows:
        columns = ("call_id", "key", "model", "provider", "outcome", "input_tokens", "output_tokens", "duration_ms")
        _table(setup, columns, found)
    else:
        _table(setup, ("group", "calls", "errors", "input_tokens", "output_tokens"), found)


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


async def _rows(setup: Setup, wanted: UsageFilter, limit: int) -> list[JsonObject]:
    async with open_store(setup) as store:
        return await store.usage.rows(wanted, limit)


async def _totals(setup: Setup, wanted: UsageFilter, by: str) -> list[JsonObject]:
    async with open_store(setup) as store:
        return await store.usage.totals(wanted, by)


def _table(setup: Setup, columns: tuple[str, ...], found: list[JsonObject]) -> None:
    rows = [[*(row[column] for column in columns), _units(setup, row)] for row in found]
    titles = [column.replace("_", " ").capitalize() for column in columns]
    print_table([*titles, "Units"], rows, empty="Nothing was used.")


def _units(setup: Setup, row: JsonObject) -> int:
    cost = row["cost_nano"]
    assert isinstance(cost, int)
    return spent_units(setup, cost)
