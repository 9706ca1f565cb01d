"""``relayhub keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from relayhub.accounts.issuing import IssuedKey, issue_key
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.cli.units import UNLIMITED, UnitsType, spent_units, to_nano, to_units
from relayhub.store.accounts import DEFAULT_ACCOUNT
from relayhub.store.keys import Key


@click.group()
def keys() -> None:
    """Who may call. Changes act on a running server within a second."""


@keys.command()
@click.argument("name")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account that pays.")
@click.option(
    "--quota",
    type=UnitsType(unlimited=True),
    default=UNLIMITED,
    show_default=True,
    help="Units this key may spend in all, or 'unlimited': as much as its account has.",
)
@click.option("--models", help="Models it may use, separated by commas; a name may end in *. Default: all.")
@config_option
@json_option
def create(
    name: str, account: str, quota: int | None, models: str | None, config_path: Path | None, as_json: bool
) -> None:
    """Create the key NAME and show its secret, this once."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    allowed = None if models is None else frozenset(filter(None, (model.strip() for model in models.split(","))))
    if allowed is not None and not allowed:
        raise click.BadParameter("--models names no model")
    setup = set_up(config_path)
    limit_nano = None if quota is None else to_nano(setup, quota)
    issued = run(_create(setup, name, account, limit_nano, allowed))
    if as_json:
        print_json({"key": issued.secret, **_shown(setup, issued.key)})
    else:
        click.echo(issued.secret)
        click.echo("This is the only time it is shown.", err=True)


async def _create(
    setup: Setup, name: str, account_name: str, limit_nano: int | None, models: frozenset[str] | None
) -> IssuedKey:
    async with open_store(setup) as store:
        if account_name == DEFAULT_ACCOUNT:
            await store.accounts.default()
        account = await store.accounts.get(account_name)
        return await issue_key(store.keys, name, account.id, limit_nano=limit_nano, models=models)


@keys.command("list")
@config_option
@json_option
def list_keys(config_path: Path | None, as_json: bool) -> None:
    """List the keys; their secrets are not known here."""
    setup = set_up(config_path)
    rows = [_shown(setup, key) for key in run(_all(setup))]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "hint", "account", "state", "quota", "used", "created")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="There is no key yet: relayhub keys create NAME",
    )


async def _all(setup: Setup) -> list[Key]:
    async with open_store(setup) as store:
        return await store.keys.all()


@keys.command()
@click.argument("name")
@config_option
@json_option
def revoke(name: str, config_path: Path | None, as_json: bool) -> None:
    """Revoke the key NAME (or id) for good. New calls with it fail within a second; open answers finish."""
    setup = set_up(config_path)
    key = run(_revoke(setup, name))
    if as_json:
        print_json(_shown(setup, key))
    else:
        click.echo(f"Revoked {key.name} ({key.hint}).")


async def _revoke(setup: Setup, name: str) -> Key:
    async with open_store(setup) as store:
        return await store.keys.revoke(name)


def _shown(setup: Setup, key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "account": key.account_name,
        "state": "revoked" if key.revoked_at is not None else "active",
        "quota": UNLIMITED if key.limit_nano is None else to_units(setup, key.limit_nano),
        "used": spent_units(setup, key.used_nano + key.held_nano),
        "models": None if key.models is None else sorted(key.models),
        "created": datetime.fromtimestamp(key.created_at, UTC).isoformat(timespec="seconds"),
    }
