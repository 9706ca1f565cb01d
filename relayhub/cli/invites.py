"""``relayhub invites``."""

from __future__ import annotations

from pathlib import Path

import click

from relayhub.accounts.sign_in import IssuedInvite
from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import shown_time
from relayhub.cli.people import role_choice, sign_in_of
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.store.invites import Invite
from relayhub.types.role import Role

MOST_ROWS = 10_000
DAY_S = 86400


@click.group()
def invites() -> None:
    """Let somebody register who may not otherwise (accounts.registration: invite)."""


@invites.command()
@click.option("--role", type=role_choice, default=Role.USER.value, show_default=True, help="What they become.")
@click.option("--account", help="Theirs. Default: a user gets one of their own.")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long it is good.")
@config_option
@json_option
def create(role: str, account: str | None, days: int, config_path: Path | None, as_json: bool) -> None:
    """Make an invite and show its token, this once."""
    issued = run(_create(set_up(config_path), Role(role), account, days))
    if as_json:
        print_json({"token": issued.token, **_shown(issued.invite)})
    else:
        click.echo(issued.token)
        click.echo("This is the only time it is shown.", err=True)


async def _create(setup: Setup, role: Role, account: str | None, days: int) -> IssuedInvite:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        return await sign_in_of(store, setup).invite(role, account_id, days * DAY_S, cli_actor())


@invites.command("list")
@config_option
@json_option
def list_invites(config_path: Path | None, as_json: bool) -> None:
    """List the invites; their tokens are not known here."""
    rows = [_shown(invite) for invite in run(_all(set_up(config_path)))]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "role", "expires", "used", "person_id")
    print_table(
        ["Id", "Role", "Expires", "Used", "By"],
        [[row[column] for column in columns] for row in rows],
        empty="There is no invite.",
    )


async def _all(setup: Setup) -> list[Invite]:
    async with open_store(setup) as store:
        return await store.invites.page(None, MOST_ROWS)


@invites.command()
@click.argument("invite_id")
@config_option
@json_option
def revoke(invite_id: str, config_path: Path | None, as_json: bool) -> None:
    """Make an invite worthless."""
    invite = run(_revoke(set_up(config_path), invite_id))
    if as_json:
        print_json(_shown(invite))
    else:
        click.echo(f"Revoked {invite.id}.")


async def _revoke(setup: Setup, invite_id: str) -> Invite:
    async with open_store(setup) as store:
        return await store.invites.revoke(invite_id, cli_actor())


def _shown(invite: Invite) -> dict[str, object]:
    return {
        "id": invite.id,
        "role": invite.role.value,
        "account_id": invite.account_id,
        "created": shown_time(invite.created_at),
        "expires": shown_time(invite.expires_at),
        "used": shown_time(invite.used_at),
        "person_id": invite.person_id,
    }
