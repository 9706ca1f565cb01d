"""``relayhub ledger``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from relayhub.cli.support import EXIT_FAILURE, Setup, config_option, json_option, open_store, print_json, run, set_up
from relayhub.store.check import Violation


@click.group()
def ledger() -> None:
    """The books."""


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
