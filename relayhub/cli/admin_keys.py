"""``relayhub admin-keys``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from relayhub.accounts.issuing import IssuedAdminKey, issue_admin_key
from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import expires_option, shown_time, timestamp
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.store.admin_keys import AdminKey
from relayhub.types.role import STAFF, Role

MOST_ROWS = 10_000


@click.group()
def admin_keys() -> None:
    """Credentials of programs for the admin API. They call no models."""


@admin_keys.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role if role in STAFF]),
    required=True,
    help="admin: everything; operator: accounts, keys, codes; viewer: looks only.",
)
@expires_option
@config_option
@json_option
def create(name: str, role: str, expires: datetime | None, config_path: Path | None, as_json: bool) -> None:
    """Create the admin key NAME and show its secret, this once."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    issued = run(_create(set_up(config_path), name, Role(role), timestamp(expires)))
    if as_json:
        print_json({"key": issued.secret, **_shown(issued.key)})
    else:
        click.echo(issued.secret)
        click.echo("This is the only time it is shown.", err=True)


async def _create(setup: Setup, name: str, role: Role, expires_at: float | None) -> IssuedAdminKey:
    async with open_store(setup) as store:
        return await issue_admin_key(store.admin_keys, name, role, expires_at=expires_at, by=cli_actor())


@admin_keys.command("list")
@config_option
@json_option
def list_admin_keys(config_path: Path | None, as_json: bool) -> None:
    """List the admin keys; their secrets are not known here."""
    rows = [_shown(key) for key in run(_all(set_up(config_path)))]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "hint", "role", "state", "expires", "created")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="There is no admin key yet: relayhub admin-keys create NAME --role admin",
    )


async def _all(setup: Setup) -> list[AdminKey]:
    async with open_store(setup) as store:
        return await store.admin_keys.page(None, MOST_ROWS)


@admin_keys.command()
@click.argument("name")
@config_option
@json_option
def revoke(name: str, config_path: Path | None, as_json: bool) -> None:
    """Revoke the admin key NAME (or id) for good, at once."""
    key = run(_revoke(set_up(config_path), name))
    if as_json:
        print_json(_shown(key))
    else:
        click.echo(f"Revoked {key.name} ({key.hint}).")


async def _revoke(setup: Setup, name: str) -> AdminKey:
    async with open_store(setup) as store:
        return await store.admin_keys.revoke(name, cli_actor())


def _shown(key: AdminKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "role": key.role.value,
        "state": "revoked" if key.revoked_at is not None else "active",
        "expires": shown_time(key.expires_at),
        "created": shown_time(key.created_at),
    }
