"""``relayhub accounts``."""

from __future__ import annotations

from pathlib import Path

import click

from relayhub.cli.actor import cli_actor
from relayhub.cli.percent import PercentType
from relayhub.cli.support import (
    Setup,
    config_option,
    json_option,
    open_store,
    print_json,
    print_table,
    run,
    set_up,
)
from relayhub.cli.units import UNLIMITED, UnitsType, spent_units, to_nano, to_units
from relayhub.store.accounts import Account
from relayhub.types.discount import ppm_to_percent


@click.group()
def accounts() -> None:
    """Who pays."""


@accounts.command()
@click.argument("name")
@click.option("--unlimited", is_flag=True, help="Its balance is topped up by itself; everything is still booked.")
@click.option("--discount", type=PercentType(), default="0", help="Per cent off whatever its calls cost, such as 12.5.")
@config_option
@json_option
def create(name: str, unlimited: bool, discount: int, config_path: Path | None, as_json: bool) -> None:
    """Create the account NAME with nothing in it."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    setup = set_up(config_path)
    account = run(_create(setup, name, unlimited, discount))
    if as_json:
        print_json(_shown(setup, account))
    else:
        click.echo(f"Created the account {name}. Fund it: relayhub accounts grant {name} UNITS")


async def _create(setup: Setup, name: str, unlimited: bool, discount_ppm: int) -> Account:
    async with open_store(setup) as store:
        return await store.accounts.create(name, unlimited=unlimited, by=cli_actor(), discount_ppm=discount_ppm)


@accounts.command()
@click.argument("name")
@config_option
@json_option
def show(name: str, config_path: Path | None, as_json: bool) -> None:
    """Show the account NAME (or id), in units."""
    setup = set_up(config_path)
    shown = _shown(setup, run(_get(setup, name)))
    if as_json:
        print_json(shown)
    else:
        print_table(["", ""], [[field, value] for field, value in shown.items()], empty="")


async def _get(setup: Setup, name: str) -> Account:
    async with open_store(setup) as store:
        return await store.accounts.get(name)


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
        await store.ledger.grant(account.id, amount_nano, actor=cli_actor(), reason=reason)
        return await store.accounts.get(name)


@accounts.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("units", type=int)
@click.option("--reason", required=True, help="Kept in the ledger.")
@config_option
@json_option
def adjust(name: str, units: int, reason: str, config_path: Path | None, as_json: bool) -> None:
    """Correct the account NAME by UNITS, which may be below zero; never by more than is left."""
    if units == 0:
        raise click.BadParameter("an adjustment of nothing is none")
    setup = set_up(config_path)
    amount_nano = to_nano(setup, abs(units)) * (1 if units > 0 else -1)
    account = run(_adjust(setup, name, amount_nano, reason))
    if as_json:
        print_json(_shown(setup, account))
    else:
        click.echo(f"{account.name} has {to_units(setup, account.balance.remaining_nano)} units left.")


async def _adjust(setup: Setup, name: str, amount_nano: int, reason: str) -> Account:
    async with open_store(setup) as store:
        account = await store.accounts.get(name)
        await store.ledger.adjust(account.id, amount_nano, actor=cli_actor(), reason=reason)
        return await store.accounts.get(account.id)


@accounts.command()
@click.argument("name")
@click.option("--name", "new_name", help="Its new name.")
@click.option("--unlimited/--limited", default=None, help="Whether its balance is topped up by itself.")
@click.option("--discount", type=PercentType(), help="Per cent off whatever its calls cost; 0 for none.")
@config_option
@json_option
def update(
    name: str,
    new_name: str | None,
    unlimited: bool | None,
    discount: int | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Change the account NAME (or id)."""
    if new_name is not None and not new_name.strip():
        raise click.BadParameter("the name must not be empty")
    setup = set_up(config_path)
    account = run(_update(setup, name, new_name, unlimited, discount))
    if as_json:
        print_json(_shown(setup, account))
    else:
        off = f", {ppm_to_percent(account.discount_ppm)}% off" if account.discount_ppm else ""
        click.echo(f"{account.name} is {UNLIMITED if account.unlimited else 'limited to what it was given'}{off}.")


async def _update(
    setup: Setup, name: str, new_name: str | None, unlimited: bool | None, discount_ppm: int | None
) -> Account:
    async with open_store(setup) as store:
        account = await store.accounts.get(name)
        return await store.accounts.update(
            account.id, name=new_name, unlimited=unlimited, by=cli_actor(), discount_ppm=discount_ppm
        )


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
        "discount": ppm_to_percent(account.discount_ppm),
    }
