"""``relayhub accounts``."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from relayhub.cli.support import (
    Setup,
    config_option,
    fail,
    json_option,
    open_store,
    print_json,
    print_table,
    run,
    set_up,
)
from relayhub.cli.units import UNLIMITED, UnitsType, spent_units, to_nano, to_units
from relayhub.store.accounts import Account


@click.group()
def accounts() -> None:
    """Who pays."""


@accounts.command()
@click.argument("name")
@click.option("--unlimited", is_flag=True, help="Its balance is topped up by itself; everything is still booked.")
@config_option
@json_option
def create(name: str, unlimited: bool, config_path: Path | None, as_json: bool) -> None:
    """Create the account NAME with nothing in it."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    setup = set_up(config_path)
    account = run(_create(setup, name, unlimited))
    if as_json:
        print_json(_shown(setup, account))
    else:
        click.echo(f"Created the account {name}. Fund it: relayhub accounts grant {name} UNITS")


async def _create(setup: Setup, name: str, unlimited: bool) -> Account:
    async with open_store(setup) as store:
        return await store.accounts.create(name, unlimited=unlimited)


@accounts.command("list")
@config_option
@json_option
def list_accounts(config_path: Path | None, as_json: bool) -> None:
    """List the accounts with their quota, in units."""
    setup = set_up(config_path)
    rows = [_shown(setup, account) for account in run(_all(setup))]
    if as_json:
        print_json(rows)
        return
    table = [
        [row["name"], UNLIMITED if row["unlimited"] else row["remaining"], row["used"], row["total"]] for row in rows
    ]
    print_table(["Account", "Remaining", "Used", "Total"], table, empty="There is no account yet.")


async def _all(setup: Setup) -> list[Account]:
    async with open_store(setup) as store:
        return await store.accounts.all()


@accounts.command()
@click.argument("name")
@click.argument("units", type=UnitsType(unlimited=False))
@click.option("--reason", default="grant by the operator", help="Kept in the ledger.")
@config_option
@json_option
def grant(name: str, units: int, reason: str, config_path: Path | None, as_json: bool) -> None:
    """Add UNITS to the account NAME."""
    setup = set_up(config_path)
    account = run(_grant(setup, name, to_nano(setup, units), reason))
    if as_json:
        print_json(_shown(setup, account))
    else:
        click.echo(f"{name} has {to_units(setup, account.balance.remaining_nano)} units left.")


async def _grant(setup: Setup, name: str, amount_nano: int, reason: str) -> Account:
    async with open_store(setup) as store:
        account = await store.accounts.get(name)
        await store.ledger.grant(account.id, amount_nano, actor=f"cli:{_person()}", reason=reason)
        return await store.accounts.get(name)


def _person() -> str:
    try:
        return getpass.getuser()
    except OSError:
        fail("the current user has no name; set $USER so that the ledger can say who granted this")


def _shown(setup: Setup, account: Account) -> dict[str, object]:
    """``used`` is what was spent and what is held, rounded up once; ``remaining`` the rest."""
    balance = account.balance
    total = to_units(setup, balance.total_nano)
    used = spent_units(setup, balance.used_nano + balance.held_nano)
    return {
        "id": account.id,
        "name": account.name,
        "unlimited": account.unlimited,
        "total": total,
        "used": used,
        "remaining": max(0, total - used),
    }
