"""``relayhub vault``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from relayhub.cli.actor import cli_actor
from relayhub.cli.moments import shown_time
from relayhub.cli.support import config_option, fail, json_option, print_json, print_table, set_up
from relayhub.store import rotation
from relayhub.store.errors import StoreError
from relayhub.store.key_file import key_path


@click.group()
def vault() -> None:
    """The keys that seal what the database keeps of conversations, and sign links and messages."""


@vault.command()
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> None:
    """Show the keys by id, the newest first, and how much each of them seals."""
    database = set_up(config_path).config.store.path
    try:
        found = rotation.status(database)
    except StoreError as error:
        fail(str(error))
    keys = [{"id": key.id, "made_at": shown_time(key.made_at), "values": key.values} for key in found.keys]
    if as_json:
        rest = {"unnamed_values": found.unnamed, "unknown_values": found.unknown}
        print_json({"file": str(key_path(database)), "keys": keys, **rest})
        return
    click.echo(f"Key file: {key_path(database)}")
    print_table(("Key", "Made", "Sealed values"), [tuple(key.values()) for key in keys], empty="")
    if found.unnamed:
        click.echo(f"{found.unnamed} values of an older release do not name their key; a rotation seals them again.")
    if found.unknown:
        click.echo(f"{found.unknown} values need a key that is not in the file; they cannot be opened.")


@vault.command()
@click.option("--retire", is_flag=True, help="Make no new key, but finish the last rotation: drop the older keys.")
@config_option
@json_option
def rotate(retire: bool, config_path: Path | None, as_json: bool) -> None:
    """Seal with a new key from now on, also beside a running hub, and seal again whatever older keys sealed.

    The older keys stay until --retire, at least a minute later: links, callbacks and webhook signatures made with them are
    good until then. Whenever this command is interrupted, nothing is lost; run it again.
    """
    database = set_up(config_path).config.store.path
    actor = cli_actor()
    try:
        made = None if retire else rotation.add_key(database, time.time(), actor).id.hex()
        resealed = rotation.reseal(database)
        dropped = rotation.retire(database, time.time(), actor) if retire else []
    except StoreError as error:
        fail(str(error))
    if as_json:
        counts = {"resealed": resealed.values, "unreadable": resealed.unreadable}
        print_json({"new_key": made, "retired_keys": dropped, **counts})
        return
    click.echo(f"{resealed.values} values sealed again.")
    if resealed.unreadable:
        click.echo(f"{resealed.unreadable} values need a key that is not in the file; they were left as they are.")
    if made is not None:
        click.echo(
            f"New key: {made}. Back up {key_path(database)} again. Webhook secrets follow the key: messages are signed with "
            "the new and the older ones until `relayhub vault rotate --retire`; "
            "`relayhub jobs webhook-secret NAME` shows the new ones."
        )
    elif retire:
        click.echo(f"Retired: {', '.join(dropped) or 'nothing, there is one key only'}.")
