"""``relayhub codes``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from relayhub.accounts.codes import MAX_CODES, CodeDesk, IssuedCodes, issue_codes
from relayhub.accounts.throttle import Throttle
from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import expires_option, shown_time, timestamp
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.cli.units import UnitsType, to_nano, to_units
from relayhub.store.codes import CodeBatch, CodeRow, NewBatch
from relayhub.store.people_intents import Redeemed

MOST_ROWS = 10_000


@click.group()
def codes() -> None:
    """Redemption codes: who redeems one adds its value to an account."""


@codes.command()
@click.argument("name")
@click.argument("units", type=UnitsType(unlimited=False))
@click.option("--count", type=click.IntRange(1, MAX_CODES), default=1, show_default=True, help="How many codes.")
@click.option(
    "--prefix", default="REDEEM", show_default=True, help="What each begins with: capital letters and digits."
)
@click.option(
    "--max-uses",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Of each, by different accounts.",
)
@expires_option
@config_option
@json_option
def create(
    name: str,
    units: int,
    count: int,
    prefix: str,
    max_uses: int,
    expires: datetime | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Make a batch NAME of codes worth UNITS each, and show them, this once."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    setup = set_up(config_path)
    new = NewBatch(name, prefix, to_nano(setup, units), max_uses, timestamp(expires))
    issued = run(_create(setup, new, count))
    if as_json:
        print_json({"secrets": list(issued.codes), **_shown(setup, issued.batch)})
    else:
        click.echo("\n".join(issued.codes))
        click.echo("This is the only time they are shown.", err=True)


async def _create(setup: Setup, new: NewBatch, count: int) -> IssuedCodes:
    async with open_store(setup) as store:
        return await issue_codes(store.codes, new, count, cli_actor())


@codes.command("list")
@config_option
@json_option
def list_batches(config_path: Path | None, as_json: bool) -> None:
    """List the batches; the codes themselves are not known here."""
    setup = set_up(config_path)
    rows = [_shown(setup, batch) for batch in run(_all(setup))]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "name", "units", "codes", "max_uses", "used", "state", "expires")
    print_table(
        [column.replace("_", " ").capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="There is no code yet: relayhub codes create NAME UNITS",
    )


async def _all(setup: Setup) -> list[CodeBatch]:
    async with open_store(setup) as store:
        return await store.codes.page(None, MOST_ROWS)


@codes.command()
@click.argument("batch_id")
@config_option
@json_option
def show(batch_id: str, config_path: Path | None, as_json: bool) -> None:
    """List the codes of a batch: their ends, and how often each can still be used."""
    rows = [
        {"id": code.id, "hint": code.hint, "uses_left": code.uses_left}
        for code in run(_codes(set_up(config_path), batch_id))
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(["Code", "Uses left"], [[row["hint"], row["uses_left"]] for row in rows], empty="It has no codes.")


async def _codes(setup: Setup, batch_id: str) -> list[CodeRow]:
    async with open_store(setup) as store:
        return await store.codes.of(batch_id, None, MOST_ROWS)


@codes.command()
@click.argument("batch_id")
@config_option
@json_option
def void(batch_id: str, config_path: Path | None, as_json: bool) -> None:
    """Make the codes of a batch worthless, at once. What was redeemed stays."""
    setup = set_up(config_path)
    batch = run(_void(setup, batch_id))
    if as_json:
        print_json(_shown(setup, batch))
    else:
        click.echo(f"The codes of {batch.name} are worth nothing any more; {batch.used} were redeemed before.")


async def _void(setup: Setup, batch_id: str) -> CodeBatch:
    async with open_store(setup) as store:
        return await store.codes.void(batch_id, cli_actor())


@codes.command()
@click.argument("code")
@click.option("--account", required=True, help="The account (name or id) that its value is added to.")
@config_option
@json_option
def redeem(code: str, account: str, config_path: Path | None, as_json: bool) -> None:
    """Redeem CODE for an account."""
    setup = set_up(config_path)
    done = run(_redeem(setup, code, account))
    added, total = to_units(setup, done.added_nano), to_units(setup, done.balance.total_nano)
    if as_json:
        print_json({"added": added, "total": total})
    else:
        click.echo(f"Added {added} units.")


async def _redeem(setup: Setup, code: str, account: str) -> Redeemed:
    async with open_store(setup) as store:
        account_id = (await store.accounts.get(account)).id
        desk = CodeDesk(store.ledger, Throttle(store.attempts))
        return await desk.redeem(code, account_id, key_id=None, by=cli_actor())


def _shown(setup: Setup, batch: CodeBatch) -> dict[str, object]:
    return {
        "id": batch.id,
        "name": batch.name,
        "prefix": batch.prefix,
        "units": to_units(setup, batch.value_nano),
        "codes": batch.codes,
        "max_uses": batch.max_uses,
        "used": batch.used,
        "state": "void" if batch.voided_at is not None else "in force",
        "expires": shown_time(batch.expires_at),
        "created": shown_time(batch.created_at),
    }
