"""``relayhub keys``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from relayhub.accounts.issuing import IssuedKey, issue_key, rotate_key
from relayhub.accounts.key_use import running_counts, video_seconds
from relayhub.cli.actor import cli_actor
from relayhub.cli.key_limits import (
    INHERIT,
    LimitsSaid,
    QuotaType,
    limit_nano,
    limit_options,
    shown_limits,
    tag_option,
)
from relayhub.cli.moments import expires_option, shown_time, timestamp
from relayhub.cli.support import (
    Setup,
    config_option,
    json_option,
    open_store,
    print_json,
    print_table,
    run,
    set_up,
    with_setup,
)
from relayhub.cli.units import UNLIMITED, spent_units, to_units
from relayhub.sdk.clock import SystemClock
from relayhub.store.accounts import DEFAULT_ACCOUNT
from relayhub.store.keys import Key, KeyTerms
from relayhub.store.store import Store
from relayhub.store.windows import Calendar, Window
from relayhub.types.key_limits import NO_LIMITS


@click.group()
def keys() -> None:
    """Who may call. Changes act on a running server within a second."""


@keys.command()
@click.argument("name")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account that pays.")
@click.option(
    "--quota",
    type=QuotaType(),
    default=INHERIT,
    show_default=True,
    help="Units this key may spend in all; 'inherit': as much as its account has; 'unlimited': its account is given what"
    " it lacks.",
)
@click.option("--models", help="Models it may use, separated by commas; a name may end in *. Default: all.")
@expires_option
@limit_options
@tag_option
@config_option
@json_option
def create(
    name: str,
    account: str,
    quota: int | str,
    models: str | None,
    expires: datetime | None,
    said: LimitsSaid,
    tags: tuple[str, ...],
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Create the key NAME and show its secret, this once."""
    if not name.strip():
        raise click.BadParameter("the name must not be empty")
    allowed = None if models is None else _models(models)
    setup = set_up(config_path)
    terms = KeyTerms(
        name,
        limit_nano(setup, quota),
        allowed,
        timestamp(expires),
        quota == UNLIMITED,
        said.over(NO_LIMITS, setup),
        tags,
    )
    _show_issued(setup, run(_create(setup, account, terms)), as_json=as_json)


def _show_issued(setup: Setup, issued: IssuedKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": issued.secret, **_shown(setup, issued.key)})
    else:
        click.echo(issued.secret)
        click.echo("This is the only time it is shown.", err=True)


def _models(text: str) -> frozenset[str]:
    models = frozenset(filter(None, (model.strip() for model in text.split(","))))
    if not models:
        raise click.BadParameter("--models names no model")
    return models


async def _create(setup: Setup, account_name: str, terms: KeyTerms) -> IssuedKey:
    async with open_store(setup) as store:
        if account_name == DEFAULT_ACCOUNT:
            await store.accounts.default()
        account = await store.accounts.get(account_name)
        return await issue_key(
            store.keys,
            terms.name,
            account.id,
            limit_nano=terms.limit_nano,
            models=terms.models,
            expires_at=terms.expires_at,
            unlimited=terms.unlimited or False,
            limits=terms.limits or NO_LIMITS,
            tags=terms.tags or (),
            by=cli_actor(),
        )


@keys.command("list")
@click.option("--account", help="Of this account (name or id) only.")
@config_option
@json_option
def list_keys(account: str | None, config_path: Path | None, as_json: bool) -> None:
    """List the keys; their secrets are not known here."""
    setup = set_up(config_path)
    rows = [_shown(setup, key) for key in run(_all(setup, account))]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "hint", "account", "state", "quota", "used", "created")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="There is no key yet: relayhub keys create NAME",
    )


async def _all(setup: Setup, account: str | None) -> list[Key]:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        return [key for key in await store.keys.all() if account_id in (None, key.account_id)]


@keys.command()
@click.argument("name")
@config_option
@json_option
def revoke(name: str, config_path: Path | None, as_json: bool) -> None:
    """Revoke the key NAME (or id) for good. New calls with it fail within a second; what becomes of its open answers is
    quota.revoked_streams in the config."""
    setup = set_up(config_path)
    _say(setup, "Revoked", run(_revoke(setup, name)), as_json=as_json)


async def _revoke(setup: Setup, name: str) -> Key:
    async with open_store(setup) as store:
        return await store.keys.revoke(name, cli_actor())


@keys.command()
@click.argument("name")
@click.option("--name", "new_name", help="Its new name.")
@click.option("--quota", type=QuotaType(), help="Units it may spend in all, or 'inherit': as much as its account has.")
@click.option("--unlimited", is_flag=True, help="Its account is given what it lacks.")
@click.option("--models", help="Models it may use, separated by commas; a name may end in *.")
@click.option("--all-models", is_flag=True, help="Any model.")
@expires_option
@click.option("--never-expires", is_flag=True, help="Valid until it is revoked.")
@limit_options
@tag_option
@click.option("--no-tags", is_flag=True, help="Take its tags away.")
@config_option
@json_option
def update(
    name: str,
    new_name: str | None,
    quota: int | str | None,
    unlimited: bool,
    models: str | None,
    all_models: bool,
    expires: datetime | None,
    never_expires: bool,
    said: LimitsSaid,
    tags: tuple[str, ...],
    no_tags: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Change the key NAME (or id); what is not said stays. It acts on a running server within a second."""
    for both, names in (
        (quota is not None and unlimited, "--quota and --unlimited"),
        (models is not None and all_models, "--models and --all-models"),
        (expires is not None and never_expires, "--expires and --never-expires"),
        (bool(tags) and no_tags, "--tag and --no-tags"),
    ):
        if both:
            raise click.UsageError(f"{names} contradict each other")
    setup = set_up(config_path)

    def changed(key: Key) -> KeyTerms:
        asked = UNLIMITED if unlimited else quota
        return KeyTerms(
            new_name or key.name,
            key.limit_nano if asked is None else limit_nano(setup, asked),
            None if all_models else key.models if models is None else _models(models),
            None if never_expires else key.expires_at if expires is None else timestamp(expires),
            None if asked is None else asked == UNLIMITED,
            said.over(key.limits, setup),
            tags if tags or no_tags else None,
        )

    _say(setup, "Changed", run(_update(setup, name, changed)), as_json=as_json)


def _say(setup: Setup, what: str, key: Key, *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(setup, key))
    else:
        click.echo(f"{what} {key.name} ({key.hint}).")


async def _update(setup: Setup, name: str, changed: Callable[[Key], KeyTerms]) -> Key:
    async with open_store(setup) as store:
        key = await store.keys.named(name)
        return await store.keys.update(key.id, changed, cli_actor())


def _shown(setup: Setup, key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "account": key.account_name,
        "state": key.state,
        "quota": _quota(setup, key),
        "used": spent_units(setup, key.used_nano + key.held_nano),
        "models": None if key.models is None else sorted(key.models),
        "expires": shown_time(key.expires_at),
        "created": shown_time(key.created_at),
        "previous_secret_until": shown_time(key.previous_until),
        "tags": [*key.tags],
        "limits": shown_limits(setup, key.limits),
    }


def _quota(setup: Setup, key: Key) -> int | str:
    if key.limit_nano is not None:
        return to_units(setup, key.limit_nano)
    return UNLIMITED if key.unlimited else INHERIT


@keys.command()
@click.argument("name")
@with_setup
def show(name: str, config_path: Path | None, as_json: bool) -> None:
    """Show the key NAME (or id), its limits, and what it has used of them in the windows that run now."""
    setup = set_up(config_path)
    key, used = run(_look(setup, name))
    shown = {**_shown(setup, key), "use": used}
    if as_json:
        print_json(shown)
        return
    flat = {**shown, **shown_limits(setup, key.limits), "tags": ", ".join(key.tags) or None}
    del flat["limits"], flat["use"]
    flat |= {f"used: {window}": amount for window, amount in used.items()}
    print_table(
        ["", ""], [[_label(field), _text(value)] for field, value in flat.items() if value is not None], empty=""
    )


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _text(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


async def _look(setup: Setup, name: str) -> tuple[Key, dict[str, int]]:
    async with open_store(setup) as store:
        key = await store.keys.named(name)
        return key, await _used(setup, store, key)


async def _used(setup: Setup, store: Store, key: Key) -> dict[str, int]:
    """Requests and tokens in this minute, seconds of video and units today and this month."""
    calendar = Calendar(setup.config.quota.zone)
    running = await running_counts(store.keys, key.id, calendar, SystemClock().now())
    shown = {
        "requests_per_minute": running.get(Window.REQUESTS),
        "tokens_per_minute": running.get(Window.TOKENS),
        "video_seconds_per_day": None if Window.VIDEO not in running else video_seconds(running[Window.VIDEO]),
        "spend_per_day": None if Window.DAY not in running else spent_units(setup, running[Window.DAY]),
        "spend_per_month": None if Window.MONTH not in running else spent_units(setup, running[Window.MONTH]),
    }
    return {name: amount for name, amount in shown.items() if amount is not None}


@keys.command()
@click.argument("name")
@click.option(
    "--overlap",
    type=click.IntRange(min=0, max=366 * 86400),
    default=86400,
    show_default=True,
    help="For how many seconds the secret before stays good.",
)
@with_setup
def rotate(name: str, overlap: int, config_path: Path | None, as_json: bool) -> None:
    """Give the key NAME (or id) another secret and show it, this once. Limits, quota and history stay; the secret before goes
    on working for a while, so that nobody's calls fail while it is replaced."""
    setup = set_up(config_path)
    _show_issued(setup, run(_rotate(setup, name, overlap)), as_json=as_json)


async def _rotate(setup: Setup, name: str, overlap_s: int) -> IssuedKey:
    async with open_store(setup) as store:
        return await rotate_key(store.keys, name, SystemClock().now() + overlap_s, by=cli_actor())


@keys.command()
@click.argument("name")
@with_setup
def disable(name: str, config_path: Path | None, as_json: bool) -> None:
    """Refuse the key NAME (or id) until it is enabled again. Acts within a second; as to open answers, see `revoke`."""
    setup = set_up(config_path)
    _say(setup, "Disabled", run(_switch(setup, name, on=False)), as_json=as_json)


@keys.command()
@click.argument("name")
@with_setup
def enable(name: str, config_path: Path | None, as_json: bool) -> None:
    """Let the key NAME (or id) in again after `disable`."""
    setup = set_up(config_path)
    _say(setup, "Enabled", run(_switch(setup, name, on=True)), as_json=as_json)


async def _switch(setup: Setup, name: str, *, on: bool) -> Key:
    async with open_store(setup) as store:
        return await (store.keys.enable if on else store.keys.disable)(name, cli_actor())
