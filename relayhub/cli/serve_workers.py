"""``relayhub serve`` with several workers: what the supervisor does once, and what each worker does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

import click

from relayhub.app import Hub
from relayhub.cli.greeting import greet, opening
from relayhub.cli.logs import configure_logging
from relayhub.cli.support import Setup, fail, open_store, set_up
from relayhub.config import Config, control_of, read
from relayhub.config.model_entries import read_text
from relayhub.running.board import make_board
from relayhub.running.control import Verb
from relayhub.running.cpus import usable_cpus
from relayhub.running.crew import Crew
from relayhub.running.doorway import Doorway, open_doorway
from relayhub.running.kept_config import KeptConfig, keep, kept_at
from relayhub.running.log_lines import LogLines
from relayhub.running.post import Post
from relayhub.running.program import Program, steered
from relayhub.running.reload import Reloader
from relayhub.running.supervisor import Supervisor, WorkersFailed
from relayhub.running.watch import Watcher
from relayhub.running.worker import work
from relayhub.sdk.clock import SystemClock
from relayhub.types.json import JsonObject

STDERR = 2


def count_of(config: Config) -> int:
    """How many workers it asks for."""
    wanted = config.server.workers
    return usable_cpus() if wanted == "auto" else wanted


async def supervise(setup: Setup, *, watch: bool) -> int:
    """Serve with several workers until told to stop; the exit status. ``watch``: reload when files change. Raises
    ``OSError`` where the address is taken, and as :func:`open_store`."""
    async with AsyncExitStack() as stack:
        log, kept = (stack.enter_context(file) for file in (_unnamed_file(), _unnamed_file()))
        _write_log(setup.config, log.fileno())
        doorway = open_doorway(setup.config.server)
        stack.callback(doorway.close)
        async with open_store(setup) as store:
            opened = await opening(store, demo=setup.demo)
        crew = _crew(setup, doorway, log.fileno(), kept)
        watcher = Watcher(setup.source, setup.config.plugins.dirs, SystemClock()) if watch else None
        await stack.enter_async_context(
            steered(crew.verbs(), crew, control_of(setup.config.server, setup.config.store), watcher)
        )

        async def all_serve(said: JsonObject) -> None:
            models = said.get("models")
            names = [str(model) for model in models] if isinstance(models, list) else []
            shown = setup.config.server.public_url or doorway.url
            greet(doorway.url, shown, setup.path, names, opened)

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, crew.stop)
        try:
            return await crew.supervisor.run(all_serve)
        except WorkersFailed as error:
            click.echo(f"Error: {error}", err=True)
            return error.status


def _unnamed_file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _crew(setup: Setup, doorway: Doorway, log: int, kept: IO[bytes]) -> Crew:
    count, started = count_of(setup.config), _text_of(setup)
    board, clock = make_board(count), SystemClock()
    config = None if started is None else kept.fileno()
    if started is not None:
        keep(kept, KeptConfig(started, started))
    door = None if doorway.door is None else doorway.door.fileno()
    supervisor = Supervisor(
        command=[sys.executable, "-m", "relayhub", "serve", *_flags(setup, doorway)],
        post=lambda number: Post(number, count, -1, board.descriptor, log, config, door),
        workers=count,
        board=board,
        clock=clock,
        drain_s=lambda: crew.config.server.drain_s,
    )

    def reloaded(now: Config, text: str) -> None:
        _write_log(now, log)
        keep(kept, KeptConfig(started or text, text))

    crew = Crew(
        supervisor,
        setup.source,
        setup.plugins,
        setup.config,
        doorway.url,
        clock.now(),
        stop=lambda: _stop(supervisor, doorway),
        on_reloaded=reloaded,
    )
    return crew


def _text_of(setup: Setup) -> str | None:
    """What the config's file says; ``None`` in demo mode."""
    return None if setup.path is None else read_text(setup.path)


def _stop(supervisor: Supervisor, doorway: Doorway) -> None:
    if not supervisor.stopping:
        click.echo("Stopping: open answers may finish. Press Ctrl-C again to stop at once.", err=True)
    doorway.close()
    supervisor.stop()


def _write_log(config: Config, lock: int, worker: int | None = None) -> None:
    configure_logging(config.logging.level, config.logging.format, LogLines(STDERR, lock), worker)


def _flags(setup: Setup, doorway: Doorway) -> Iterator[str]:
    """What makes workers read the config as this process did, with the port that it got."""
    if setup.path is not None:
        yield from ("--config", str(setup.path))
    for name, value in {**setup.overrides, "server.port": str(doorway.port)}.items():
        yield from (f"--{name.removeprefix('server.')}", value)


def set_up_worker(config_path: Path | None, overrides: Mapping[str, str], post: Post) -> Setup:
    """With the config that the other workers serve with, whatever its file says now."""
    if post.config is None:
        return set_up(config_path, overrides)
    kept = kept_at(post.config)
    setup = set_up(config_path, overrides, kept.current)
    if kept.current == kept.started:
        return setup
    started = read(setup.path, os.environ, overrides, kept.started)
    return replace(setup, config=started.holding(setup.config))


def post_of(text: str) -> Post:
    """Ends the program where a person has made it up."""
    try:
        return Post.of_text(text)
    except ValueError:
        fail("--as-worker is for `relayhub serve --workers`, which begins its own workers with it")


async def serve_as_worker(setup: Setup, post: Post) -> None:
    """Until the supervisor says so, or has died."""
    clock = SystemClock()

    def write_log(config: Config) -> None:
        _write_log(config, post.log, post.number)

    def verbs(hub: Hub, stop: asyncio.Event) -> Mapping[str, Verb]:
        return Program(hub, Reloader(hub, setup.source, write_log), stop, clock.now()).verbs()

    write_log(setup.config)
    await work(setup.config, setup.plugins, clock, post, verbs)
