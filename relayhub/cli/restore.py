"""``relayhub restore``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from relayhub.cli.actor import cli_actor
from relayhub.cli.backup import FILES, shown, told
from relayhub.cli.support import EXIT_FAILURE, config_option, fail, json_option, print_json, run, set_up
from relayhub.jobs.build import results_folder
from relayhub.jobs.file_copies import Copied, copy_results
from relayhub.store.backup_proof import prove, result_files
from relayhub.store.backup_restore import Restored
from relayhub.store.backup_restore import restore as put_back
from relayhub.store.errors import StoreError
from relayhub.store.vault import Vault
from relayhub.types.json import JsonObject


@click.command()
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Change nothing: prove that BACKUP is whole, exact and readable.")
@click.option(
    "--force", is_flag=True, help="Also where there is a database, which is kept beside it, or in spite of doubts."
)
@config_option
@json_option
def restore(backup: Path, check: bool, force: bool, config_path: Path | None, as_json: bool) -> None:
    """Put BACKUP in the place of the database (store.path) of a hub that is not running.

    What happened after the backup is forgotten: keys revoked since then work again, codes redeemed since then can be redeemed
    again. Nobody stays signed in. Exit code 1 if --check finds anything.
    """
    config = set_up(config_path).config
    database, results = config.store.path, results_folder(config)
    if check:
        _check(backup, database, as_json=as_json)
        return
    restored = run(put_back(backup, database, force=force, now=time.time(), actor=cli_actor()))
    files = _files(backup, results)
    report: JsonObject = {
        **shown(restored.proof),
        "database": str(database),
        "before": None if restored.kept is None else str(restored.kept),
        "files": None if files is None else {"files": files.files, "bytes": files.size, "missing": files.missing},
    }
    if as_json:
        print_json(report)
        return
    click.echo("\n".join([f"Restored: {database}", *told(report), *_more(restored, files)]))


def _check(backup: Path, database: Path, *, as_json: bool) -> None:
    try:
        proof = run(prove(backup, Vault.opening(database), time.time()))
    except StoreError as error:
        fail(str(error))
    report = shown(proof)
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join([*told(report), "The backup is sound." if proof.sound else "The backup is not sound."]))
    if not proof.sound:
        sys.exit(EXIT_FAILURE)


def _files(backup: Path, results: Path) -> Copied | None:
    """The results that were backed up with it; those that are there stay."""
    folder = backup.with_name(backup.name + FILES)
    if not folder.is_dir():
        return None
    try:
        return copy_results(folder, results, result_files(backup, time.time()))
    except OSError as error:
        fail(f"the database is restored, its results are not: {error.strerror}. Copy what is in {folder} to {results}.")


def _more(restored: Restored, files: Copied | None) -> list[str]:
    lines = [] if restored.kept is None else [f"What was there before: {restored.kept}"]
    return lines if files is None else [*lines, f"{files.files} results are back, {files.missing} are missing"]
