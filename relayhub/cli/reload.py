"""``relayhub reload``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from relayhub.cli.support import EXIT_FAILURE, config_option, fail, json_option, print_json, run
from relayhub.config import ConfigError, locate, read
from relayhub.config.load import read_demo
from relayhub.running.control import ControlError, ask
from relayhub.running.result import ReloadResult, of_dict
from relayhub.types.json import JsonObject


@click.command()
@config_option
@click.option(
    "--control", type=click.Path(path_type=Path), help="The hub's control socket; default: as its config says."
)
@json_option
def reload(config_path: Path | None, control: Path | None, as_json: bool) -> None:
    """Have the running hub read its config again, and show what has changed.

    No open answer is cut. A config that `relayhub validate` would refuse changes nothing: its problems are shown, the exit
    code is 1, and the hub serves on with the one before. A change that needs a restart is marked with `!` and waits for it.
    """
    try:
        socket = control or _control(config_path)
    except ConfigError as error:
        # Not even YAML: nobody can tell which hub is meant, and that hub would say the same.
        _end(ReloadResult(False, problems=error.render(color=False)), as_json=as_json)
        return
    try:
        answer = run(ask(socket, "reload"))
        result = _result(answer)
    except (ControlError, ValueError) as error:
        fail(str(error))
    _end(result, as_json=as_json)


def _control(config_path: Path | None) -> Path:
    env: Mapping[str, str] = os.environ
    path = locate(config_path, env, Path.cwd())
    return (read_demo({}, env) if path is None else read(path, env)).control()


def _result(answer: JsonObject) -> ReloadResult:
    """Raises ``ControlError`` where the hub could not do it, ``ValueError`` where it is no hub of ours."""
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return of_dict(answer)


def _end(result: ReloadResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.as_dict())
    else:
        click.echo(result.text(), err=not result.ok)
    if not result.ok:
        sys.exit(EXIT_FAILURE)
