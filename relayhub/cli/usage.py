"""``relayhub usage``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from relayhub.accounts.usage_sheet import csv_text
from relayhub.cli.moments import shown_time, timestamp
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.cli.units import spent_units
from relayhub.store.usage import GROUPS, MOST_GROUPS, UsageFilter, UsageTotals, cursor_of
from relayhub.types.call import Operation, Outcome
from relayhub.types.json import JsonObject

MOST_ROWS = 1000
TOTALS_SHOWN = (
    "group",
    "calls",
    "errors",
    "input_tokens",
    "output_tokens",
    "latency_p50_ms",
    "latency_p95_ms",
    "units",
)
ROWS_SHOWN = ("call_id", "key", "model", "provider", "outcome", "input_tokens", "output_tokens", "duration_ms", "units")


@click.command()
@click.option("--by", type=click.Choice(GROUPS), default="model", show_default=True, help="What to add up by.")
@click.option("--rows", "as_rows", is_flag=True, help="Single calls, newest first, instead of totals.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=MOST_ROWS, show_default=True, help="Most rows.")
@click.option("--after", help="Single calls after the last page, by the cursor that it ended with.")
@click.option("--since", type=click.DateTime(), help="From this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Before this time (UTC).")
@click.option("--account", help="Of this account only.")
@click.option("--key", help="Of this key only.")
@click.option("--tag", help="Of keys with this tag only.")
@click.option("--model", help="Of this model only.")
@click.option("--provider", help="Of this provider only.")
@click.option("--operation", type=click.Choice([word.value for word in Operation]), help="Of this operation only.")
@click.option("--outcome", type=click.Choice([word.value for word in Outcome]), help="With this outcome only.")
@click.option("--user", help="Of this user identifier only.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every column.")
@config_option
@json_option
def usage(
    by: str,
    as_rows: bool,
    limit: int,
    after: str | None,
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    key: str | None,
    tag: str | None,
    model: str | None,
    provider: str | None,
    operation: str | None,
    outcome: str | None,
    user: str | None,
    as_csv: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show what was used: totals by model, key, account, provider, operation, outcome, user, tag or day, or single calls."""
    if as_json and as_csv:
        raise click.UsageError("Choose one of --json and --csv.")
    setup = set_up(config_path)
    wanted = UsageFilter(
        since=timestamp(since),
        until=timestamp(until),
        account=account,
        key=key,
        model=model,
        provider=provider,
        user=user,
        tag=tag,
        operation=operation,
        outcome=outcome,
    )
    if as_rows:
        _show_rows(setup, run(_rows(setup, wanted, limit + 1, after)), limit, as_json=as_json, as_csv=as_csv)
    else:
        _show_totals(setup, run(_totals(setup, wanted, by, min(limit, MOST_GROUPS))), as_json=as_json, as_csv=as_csv)


def _show_rows(setup: Setup, found: list[JsonObject], limit: int, *, as_json: bool, as_csv: bool) -> None:
    """What follows a page is said on stderr: stdout is the rows alone."""
    shown = [{**row, "units": _units(setup, row)} for row in found[:limit]]
    if as_json:
        print_json(shown)
    elif as_csv:
        click.echo(csv_text(list(shown[0]) if shown else ROWS_SHOWN, shown), nl=False)
    else:
        _table(ROWS_SHOWN, shown)
    if len(found) > limit:
        click.echo(f"There are more: --after {cursor_of(shown[-1])}", err=True)


def _show_totals(setup: Setup, found: UsageTotals, *, as_json: bool, as_csv: bool) -> None:
    groups = [group.shown() for group in found.groups]
    shown: list[JsonObject] = [{**group, "units": _units(setup, group)} for group in groups]
    if as_json:
        print_json(shown)
    elif as_csv:
        click.echo(csv_text(list(shown[0]) if shown else TOTALS_SHOWN, shown), nl=False)
    else:
        _table(TOTALS_SHOWN, shown)


async def _rows(setup: Setup, wanted: UsageFilter, limit: int, after: str | None) -> list[JsonObject]:
    async with open_store(setup) as store:
        return await store.usage.rows(wanted, limit, after)


async def _totals(setup: Setup, wanted: UsageFilter, by: str, most: int) -> UsageTotals:
    async with open_store(setup) as store:
        found = await store.usage.totals(wanted, by, most)
    if (found.span.first, found.span.last) != (wanted.since, wanted.until):
        first, last = shown_time(found.span.first), shown_time(found.span.last)
        click.echo(f"Single calls are not kept so long: whole days, from {first} to {last}.", err=True)
    return found


def _table(columns: tuple[str, ...], found: list[JsonObject]) -> None:
    rows = [[row[column] for column in columns] for row in found]
    print_table([column.replace("_", " ").capitalize() for column in columns], rows, empty="Nothing was used.")


def _units(setup: Setup, row: JsonObject) -> int:
    cost = row["cost_nano"]
    assert isinstance(cost, int)
    return spent_units(setup, cost)
