"""What the commands share: finding the config, loading plugins, opening the store, and printing results."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click
import orjson

from relayhub.cli.steady import run_steadily
from relayhub.config import Config, ConfigError, Document, locate, read, read_demo
from relayhub.plugins.host import PluginHost
from relayhub.plugins.loaded import PluginError
from relayhub.running.source import ConfigSource
from relayhub.sdk.clock import SystemClock
from relayhub.store.errors import StoreError
from relayhub.store.store import Store
from relayhub.types.errors import RelayhubError

EXIT_FAILURE = 1
EXIT_CONFIG = 3

T = TypeVar("T")
P = ParamSpec("P")

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Config file; default: $RELAYHUB_CONFIG, then ./relayhub.yaml, then demo mode.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class Setup:
    """A validated config with the plugins it was validated against. ``path``: ``None`` in demo mode. ``overrides``: flags, as
    the config has them."""

    config: Config
    plugins: PluginHost
    path: Path | None
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> ConfigSource:
        """For reading it again."""
        return ConfigSource(None if self.path is None else self.path.absolute(), self.overrides)

    @property
    def demo(self) -> bool:
        return self.path is None


def set_up(config_path: Path | None, overrides: Mapping[str, str] | None = None, text: str | None = None) -> Setup:
    """Read the config and load its plugins. Ends the program with exit code 3 and every problem if it is invalid. ``text``:
    see :func:`relayhub.config.read`."""
    try:
        path = locate(config_path, os.environ, Path.cwd())
        document = read(path, os.environ, overrides or {}, text)
        host = load_plugins(document)
        if path is None:
            document = read_demo(host.demo_providers(), os.environ, overrides or {})
        return Setup(document.validate(host.settings_models(), host.why_missing), host, path, overrides or {})
    except ConfigError as error:
        invalid_config(error)
    except PluginError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_CONFIG)


def load_plugins(document: Document) -> PluginHost:
    """The plugins that the config's ``plugins:`` section asks for."""
    wanted = document.plugins()
    return PluginHost.load(dirs=wanted.dirs, modules=wanted.modules, disabled=wanted.disabled, allow=wanted.allow)


def run(work: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine; a relayhub error becomes one line and exit code 1."""
    import asyncio

    try:
        if sys.platform == "win32":
            return asyncio.run(work)
        import uvloop

        return run_steadily(work, uvloop.new_event_loop)
    except ConfigError as error:
        invalid_config(error)
    except (RelayhubError, StoreError) as error:
        fail(str(error))


@asynccontextmanager
async def open_store(setup: Setup) -> AsyncIterator[Store]:
    """The hub's store, beside a server that may be running on it."""
    store = await Store.open(setup.config.store.path, durability=setup.config.store.durability, clock=SystemClock())
    try:
        yield store
    finally:
        await store.close()


def invalid_config(error: ConfigError) -> NoReturn:
    """Every problem on stderr, exit code 3."""
    click.echo(error.render(color=sys.stderr.isatty()), err=True)
    sys.exit(EXIT_CONFIG)


def fail(message: str) -> NoReturn:
    """One line on stderr, exit code 1."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(EXIT_FAILURE)


def print_json(value: object) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table for people; ``empty`` is said instead of a table without rows."""
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Column, Table

    whole = (Column(name, overflow="fold") for name in columns)  # what does not fit is folded, never cut
    table = Table(*whole, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(soft_wrap=True).print(table)


def with_setup(command: Callable[P, T]) -> Callable[P, T]:
    """The two options that every command takes."""
    return config_option(json_option(command))
