"""``relayhub audit``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from relayhub.cli.moments import shown_time
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
from relayhub.store.audit import AuditFilter, AuditRow


@click.group()
def audit() -> None:
    """Who changed what."""


@audit.command("list")
@click.option("--actor", help="Only what they did, such as person:alice or cli:root.")
@click.option("--action", help="Only these, such as key.create.")
@click.option("--subject", help="Only what was done to this id.")
@click.option("--after", type=click.IntRange(min=0), help="Rows after the last page, by the id that it ended with.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most rows.")
@config_option
@json_option
def list_audit(
    actor: str | None,
    action: str | None,
    subject: str | None,
    after: int | None,
    limit: int,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """List the changes, newest first. Secrets stand there as their hashes."""
    wanted = AuditFilter(actor, action, subject, after)
    rows = [_shown(row) for row in run(_rows(set_up(config_path), wanted, limit))]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "at", "actor", "action", "subject")
    print_table(
        [column.capitalize() for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty="Nothing was changed yet.",
    )


async def _rows(setup: Setup, wanted: AuditFilter, limit: int) -> list[AuditRow]:
    async with open_store(setup) as store:
        return await store.audit.rows(wanted, limit)


@audit.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Prove that no row of the log was altered or taken out. Exit code 1 if one was."""
    broken = run(_check(set_up(config_path)))
    if as_json:
        print_json({"whole": broken is None, "first_broken": broken})
    elif broken is None:
        click.echo("The audit log is whole.")
    else:
        click.echo(f"The audit log is not as it was written, from row {broken} on.", err=True)
    if broken is not None:
        sys.exit(EXIT_FAILURE)


async def _check(setup: Setup) -> int | None:
    async with open_store(setup) as store:
        return await store.audit.first_broken()


def _shown(row: AuditRow) -> dict[str, object]:
    return {
        "id": row.id,
        "at": shown_time(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "before": row.before,
        "after": row.after,
        "request_id": row.request_id,
        "client": row.client,
    }
