"""``relayhub init``, ``validate`` and ``config``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from relayhub.build.catalog import build_catalog
from relayhub.build.providers import build_providers
from relayhub.cli.support import (
    EXIT_CONFIG,
    Setup,
    config_option,
    fail,
    invalid_config,
    json_option,
    load_plugins,
    print_json,
    set_up,
)
from relayhub.config import Config, ConfigError, effective, example_text, json_schema, locate, read
from relayhub.plugins.host import PluginHost
from relayhub.sdk.clock import SystemClock


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("relayhub.yaml"))
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@json_option
def init(path: Path, force: bool, as_json: bool) -> None:
    """Write a commented config to PATH (default: relayhub.yaml) to start from."""
    if path.exists() and not force:
        fail(f"{path} exists; choose another path, or overwrite it with --force.")
    path.write_text(example_text(), encoding="utf-8")
    path.chmod(0o600)
    if as_json:
        print_json({"path": str(path)})
        return
    click.echo(f"Wrote {path}. Set the keys it asks for, then: relayhub validate && relayhub serve")


@click.command()
@config_option
@json_option
def validate(config_path: Path | None, as_json: bool) -> None:
    """Check the config, its plugins and their settings; report every problem at once."""
    if not as_json:
        setup = set_up(config_path)
        try:
            _check_models(setup.config, setup.plugins)
        except ConfigError as error:
            invalid_config(error)
        click.echo(f"{setup.path or 'demo mode'}: ok ({_count(setup)})")
        return
    problems = _problems(config_path)
    print_json({"valid": not problems, "problems": problems})
    if problems:
        sys.exit(EXIT_CONFIG)


def _count(setup: Setup) -> str:
    models = sum(len(entry.models) for entry in setup.config.providers.values())
    return f"{len(setup.config.providers)} providers, {models} models"


def _check_models(config: Config, plugins: PluginHost) -> None:
    """What only the built providers can tell: whether they serve what their models promise. Raises ``ConfigError``."""
    clock = SystemClock()
    build_catalog(config, build_providers(config, plugins, clock), created=0)


def _problems(config_path: Path | None) -> list[dict[str, object]]:
    try:
        path = locate(config_path, os.environ, Path.cwd())
        document = read(path, os.environ, {})
        host = load_plugins(document)
        _check_models(document.validate(host.settings_models(), host.why_missing), host)
    except ConfigError as error:
        return [problem.as_dict() for problem in error.problems]
    return []


@click.group()
def config() -> None:
    """The effective config, and the schema of what may be in it."""


@config.command()
@config_option
@json_option
def show(config_path: Path | None, as_json: bool) -> None:
    """Show the effective config: defaults, file, environment and overrides together; secrets are masked."""
    from relayhub.config import effective_yaml

    setup = set_up(config_path)
    if as_json:
        print_json(effective(setup.config))
    else:
        click.echo(effective_yaml(setup.config), nl=False)


@config.command()
@config_option
@json_option
def schema(config_path: Path | None, as_json: bool) -> None:  # it is JSON either way
    """Print the JSON schema of the config, the installed plugins' settings included (for editors)."""
    setup = set_up(config_path)
    print_json(json_schema(setup.plugins.settings_models()))
