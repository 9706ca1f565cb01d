"""``relayhub backup``."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from relayhub.cli.moments import shown_time
from relayhub.cli.support import Setup, config_option, fail, json_option, print_json, run, set_up
from relayhub.jobs.build import results_folder
from relayhub.jobs.file_copies import Copied, copy_results, drop_others
from relayhub.store.backup import Progress, back_up
from relayhub.store.backup_proof import Proof, result_files
from relayhub.store.key_file import key_path
from relayhub.types.json import JsonObject

FILES = ".files"
"""The folder beside a backup with the results that belong to it."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--with-files", is_flag=True, help="Copy the results of jobs too, into PATH.files.")
@click.option("--force", is_flag=True, help="Replace PATH if it is there.")
@config_option
@json_option
def backup(path: Path, with_files: bool, force: bool, config_path: Path | None, as_json: bool) -> None:
    """Copy the database to PATH while the hub runs, and prove the copy. In a folder it gets a name with the date.

    Inside are accounts, keys, codes and passwords (as hashes), the ledger, usage, jobs and the audit log. Not inside: the
    config, the upstreams' keys, and the key file that opens what is sealed; keep those elsewhere.
    """
    setup = set_up(config_path)
    now = time.time()
    target = (
        path / f"relayhub-{datetime.fromtimestamp(now, UTC).strftime('%Y%m%dT%H%M%SZ')}.db" if path.is_dir() else path
    )
    folder = target.with_name(target.name + FILES)
    names: list[str] = []
    copied: list[Copied] = []

    def copy_files(copy: Path) -> None:
        if with_files:
            names.extend(result_files(copy, now))
            copied.append(copy_results(results_folder(setup.config), folder, names))

    database = setup.config.store.path
    proof = run(
        back_up(
            database, target, replace=force, now=now, on_progress=_progress(quiet=as_json), before_naming=copy_files
        )
    )
    if with_files:
        _drop_others(folder, names)
    report = {**shown(proof), "backup": str(target), "files": _shown_files(copied)}
    if as_json:
        print_json({**report, "not_inside": _not_inside(setup, with_files=with_files)})
    else:
        _tell(report, setup, with_files=with_files)
    if proof.doubts:
        fail("the backup was made, but its database is not as it should be; see above")


def _drop_others(folder: Path, names: list[str]) -> None:
    """Of an earlier backup by this name."""
    try:
        drop_others(folder, names)
    except OSError as error:
        fail(f"{folder}: the backup was made, but older files cannot be deleted: {error.strerror}")


def shown(proof: Proof) -> JsonObject:
    """What a proof found, for people and programs."""
    return {
        "bytes": proof.size,
        "revision": proof.revision,
        "newest_row": None if proof.newest_at is None else shown_time(proof.newest_at),
        "counts": dict(proof.counts),
        "sealed_values": proof.sealed,
        "sound": proof.sound,
        "problems": [*proof.damage, *proof.doubts],
    }


def told(report: JsonObject) -> list[str]:
    """The same in lines."""
    counts = report["counts"]
    assert isinstance(counts, dict)
    lines = [f"{report['bytes']} bytes, revision {report['revision']}, newest row {report['newest_row'] or 'none'}"]
    lines.append(", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in counts.items()))
    problems = report["problems"]
    assert isinstance(problems, list)
    return [*lines, *(f"Problem: {problem}" for problem in problems)]


def _shown_files(copied: list[Copied]) -> JsonObject | None:
    return {"files": copied[0].files, "bytes": copied[0].size, "missing": copied[0].missing} if copied else None


def _not_inside(setup: Setup, *, with_files: bool) -> list[str]:
    """Paths that a restore needs besides."""
    results = [] if with_files else [str(results_folder(setup.config))]
    return [*([] if setup.path is None else [str(setup.path)]), str(key_path(setup.config.store.path)), *results]


def _tell(report: JsonObject, setup: Setup, *, with_files: bool) -> None:
    click.echo(f"Backup: {report['backup']}")
    click.echo("\n".join(told(report)))
    files = report["files"]
    if isinstance(files, dict):
        click.echo(f"{files['files']} results ({files['bytes']} bytes), {files['missing']} were gone")
    click.echo(f"Not inside, keep them elsewhere: {', '.join(_not_inside(setup, with_files=with_files))}")


def _progress(*, quiet: bool) -> Progress:
    """A line that counts up where a person looks at it."""
    if quiet or not sys.stderr.isatty():
        return lambda _done, _all: None
    return lambda done, pages: click.echo(f"\r{100 * done // max(pages, 1)} %", nl=done == pages, err=True)
