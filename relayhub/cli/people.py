"""``relayhub people``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from relayhub.accounts.passwords import Passwords
from relayhub.accounts.sign_in import SessionTerms, SignIn
from relayhub.accounts.throttle import Throttle
from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import shown_time
from relayhub.cli.support import Setup, config_option, json_option, open_store, print_json, print_table, run, set_up
from relayhub.store.people import Person, PersonChanges
from relayhub.store.sessions import Session
from relayhub.store.store import Store
from relayhub.types.role import Role

MOST_ROWS = 10_000

role_choice = click.Choice([role.value for role in Role])
password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@click.group()
def people() -> None:
    """Who may sign in, and as what."""


def sign_in_of(store: Store, setup: Setup) -> SignIn:
    """Beside a server; nobody registers here."""
    terms = setup.config.accounts
    return SignIn(
        store,
        Passwords(),
        Throttle(store.attempts),
        SessionTerms(terms.session_ttl, terms.session_idle),
        registration_open=False,
        invites=False,
    )


def ask_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@people.command()
@click.argument("name")
@click.option(
    "--role", type=role_choice, required=True, help="admin, operator, viewer, or user: their own account only."
)
@click.option("--account", help="Theirs. Default: a user gets one of the same name, staff none.")
@password_option
@config_option
@json_option
def create(
    name: str, role: str, account: str | None, password_stdin: bool, config_path: Path | None, as_json: bool
) -> None:
    """Create the person NAME, who then signs in with the password."""
    setup = set_up(config_path)
    person = run(_create(setup, name, ask_password(password_stdin), Role(role), account))
    if as_json:
        print_json(_shown(person))
    else:
        click.echo(f"Created {person.name} ({person.role.value}).")


async def _create(setup: Setup, name: str, password: str, role: Role, account: str | None) -> Person:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        return await sign_in_of(store, setup).create(name, password, role, account_id, cli_actor())


@people.command()
@click.argument("name")
@config_option
@json_option
def show(name: str, config_path: Path | None, as_json: bool) -> None:
    """Show the person NAME (or id)."""
    shown = _shown(run(_get(set_up(config_path), name)))
    if as_json:
        print_json(shown)
    else:
        print_table(["", ""], [[field, value] for field, value in shown.items() if value is not None], empty="")


async def _get(setup: Setup, name: str) -> Person:
    async with open_store(setup) as store:
        return await store.people.get(name)


@people.command("list")
@config_option
@json_option
def list_people(config_path: Path | None, as_json: bool) -> None:
    """List the people."""
    rows = [_shown(person) for person in run(_all(set_up(config_path)))]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "role", "state", "account_id", "created")
    print_table(
        ["Name", "Role", "State", "Account", "Created"],
        [[row[column] for column in columns] for row in rows],
        empty="There is nobody yet: relayhub people create NAME --role admin",
    )


async def _all(setup: Setup) -> list[Person]:
    async with open_store(setup) as store:
        return await store.people.page(None, MOST_ROWS)


@people.command()
@click.argument("name")
@click.option("--role", type=role_choice, help="Their new role.")
@click.option("--account", help="Their new account.")
@click.option("--disable/--enable", "disabled", default=None, help="Whether they may sign in.")
@config_option
@json_option
def update(
    name: str, role: str | None, account: str | None, disabled: bool | None, config_path: Path | None, as_json: bool
) -> None:
    """Change the person NAME (or id). Whoever loses rights is signed out everywhere."""
    person = run(_update(set_up(config_path), name, None if role is None else Role(role), account, disabled))
    if as_json:
        print_json(_shown(person))
    else:
        click.echo(f"{person.name}: {person.role.value}, {_state(person)}.")


async def _update(setup: Setup, name: str, role: Role | None, account: str | None, disabled: bool | None) -> Person:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        return await store.people.update(name, PersonChanges(role, disabled, account_id), cli_actor())


@people.command()
@click.argument("name")
@password_option
@config_option
@json_option
def password(name: str, password_stdin: bool, config_path: Path | None, as_json: bool) -> None:
    """Set the password of NAME (or id); it ends all their sessions."""
    setup = set_up(config_path)
    person = run(_password(setup, name, ask_password(password_stdin)))
    if as_json:
        print_json(_shown(person))
    else:
        click.echo(f"{person.name} has a new password and is signed out everywhere.")


async def _password(setup: Setup, name: str, new: str) -> Person:
    async with open_store(setup) as store:
        return await sign_in_of(store, setup).reset_password(name, new, cli_actor())


@people.command()
@click.argument("name")
@config_option
@json_option
def sessions(name: str, config_path: Path | None, as_json: bool) -> None:
    """List where NAME (or id) is signed in."""
    rows = [_session(session) for session in run(_sessions(set_up(config_path), name))]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "client", "agent", "begun", "seen", "expires")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="Nowhere.",
    )


async def _sessions(setup: Setup, name: str) -> list[Session]:
    async with open_store(setup) as store:
        person = await store.people.get(name)
        return await store.sessions.of(person.id, setup.config.accounts.session_idle)


def _session(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "client": session.client,
        "agent": session.agent,
        "begun": shown_time(session.created_at),
        "seen": shown_time(session.seen_at),
        "expires": shown_time(session.expires_at),
    }


@people.command("sign-out")
@click.argument("name")
@click.option("--session", "session_id", help="Only this session, by its id.")
@config_option
@json_option
def sign_out(name: str, session_id: str | None, config_path: Path | None, as_json: bool) -> None:
    """End all sessions of NAME (or id), at once."""
    ended = run(_sign_out(set_up(config_path), name, session_id))
    if as_json:
        print_json({"ended": ended})
    else:
        click.echo(f"Ended {ended} session{'' if ended == 1 else 's'}.")


async def _sign_out(setup: Setup, name: str, session_id: str | None) -> int:
    async with open_store(setup) as store:
        person = await store.people.get(name)
        if session_id is not None:
            await store.sessions.end(session_id, person.id, cli_actor())
            return 1
        return await store.sessions.end_all(person.id, cli_actor())


def _state(person: Person) -> str:
    return "active" if person.disabled_at is None else "disabled"


def _shown(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "name": person.name,
        "role": person.role.value,
        "state": _state(person),
        "account_id": person.account_id,
        "created": shown_time(person.created_at),
    }
