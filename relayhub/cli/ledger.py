"""``relayhub ledger``."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from relayhub.cli.moments import shown_time, timestamp
from relayhub.cli.support import (
    EXIT_FAILURE,
    Setup,
    config_option,
    json_option,
    open_store,
    print_json,
    print_table,
    run,
    set_up,
)
from relayhub.store.check import Violation
from relayhub.store.intents import LedgerKind
from relayhub.store.ledger_report import LedgerFilter, LedgerRow


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("list")
@click.option("--account", help="Of this account (name or id) only.")
@click.option("--key", help="Of this key (name or id) only.")
@click.option("--kind", type=click.Choice([kind.value for kind in LedgerKind]), help="Of this kind only.")
@click.option("--call", "call_id", help="Of this call only.")
@click.option("--actor", help="Grants and adjustments of theirs only, such as person:alice or cli:root.")
@click.option("--since", type=click.DateTime(), help="From this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Before this time (UTC).")
@click.option("--after", type=click.IntRange(min=0), help="Rows after the last page, by the id that it ended with.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most rows.")
@config_option
@json_option
def list_rows(
    account: str | None,
    key: str | None,
    kind: str | None,
    call_id: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
    limit: int,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """List the rows, newest first; amounts are nano-USD."""
    wanted = LedgerFilter(
        kind=None if kind is None else LedgerKind(kind),
        below=after,
        call_id=call_id,
        actor=actor,
        since=timestamp(since),
        until=timestamp(until),
    )
    rows = [_shown(row) for row in run(_rows(set_up(config_path), account, key, wanted, limit))]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "at", "kind", "account_id", "amount_nano", "actor", "reason")
    print_table(
        [column.replace("_", " ").capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="The ledger has no such row.",
    )


async def _rows(
    setup: Setup, account: str | None, key: str | None, wanted: LedgerFilter, limit: int
) -> list[LedgerRow]:
    async with open_store(setup) as store:
        account_id = None if account is None else (await store.accounts.get(account)).id
        key_id = None if key is None else (await store.keys.named(key)).id
        return await store.ledger_report.rows(replace(wanted, account_id=account_id, key_id=key_id), limit)


def _shown(row: LedgerRow) -> dict[str, object]:
    return {
        "id": row.id,
        "at": shown_time(row.at),
        "kind": row.kind.value,
        "account_id": row.account_id,
        "key_id": row.key_id,
        "hold_id": row.hold_id,
        "call_id": row.call_id,
        "amount_nano": row.amount_nano,
        "actor": row.actor,
        "reason": row.reason,
    }


@ledger.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Prove that the books are exact: total = used + held + remaining for each account and key, every hold ended once.

    Exit code 1 if they are not.
    """
    violations = run(_check(set_up(config_path)))
    if as_json:
        print_json({"exact": not violations, "violations": [str(violation) for violation in violations]})
    elif violations:
        click.echo("\n".join(str(violation) for violation in violations), err=True)
    else:
        click.echo("The ledger is exact.")
    if violations:
        sys.exit(EXIT_FAILURE)


async def _check(setup: Setup) -> list[Violation]:
    async with open_store(setup) as store:
        return await store.ledger.check()
