"""``relayhub serve``."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from relayhub.app import Hub, open_hub
from relayhub.cli.greeting import greet, opening
from relayhub.cli.logs import configure_logging
from relayhub.cli.serve_workers import count_of, post_of, serve_as_worker, set_up_worker, supervise
from relayhub.cli.support import Setup, config_option, fail, run, set_up
from relayhub.config import Config, control_of
from relayhub.running.collector import spare_the_collector
from relayhub.running.program import Program, steered
from relayhub.running.reload import Reloader
from relayhub.running.watch import Watcher
from relayhub.sdk.clock import SystemClock
from relayhub.store.steps import no_step


@click.command()
@config_option
@click.option("--host", help="Address to listen on; default: server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default: server.port.")
@click.option("--workers", metavar="N|auto", help="Processes that serve; default: server.workers.")
@click.option("--watch", is_flag=True, help="Reload when the config, its secret files or plugins change.")
@click.option("--as-worker", "post", hidden=True)
def serve(
    config_path: Path | None, host: str | None, port: int | None, workers: str | None, watch: bool, post: str | None
) -> None:
    """Run the hub.

    Without a config it runs in demo mode: a provider that needs no network, on loopback only, and a fresh key to try it.
    """
    flags = {"server.host": host, "server.port": None if port is None else str(port), "server.workers": workers}
    given = {name: value for name, value in flags.items() if value is not None}
    worker = None if post is None else post_of(post)
    setup = set_up(config_path, given) if worker is None else set_up_worker(config_path, given, worker)
    if setup.demo and not _is_loopback(setup.config.server.host):
        fail(
            f"demo mode listens on loopback only, not on {setup.config.server.host}: anybody could use its key. "
            "Write a config first: relayhub init"
        )
    configure_logging(setup.config.logging.level, setup.config.logging.format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody can reload; a start must not end by it
    try:
        if worker is not None:
            run(serve_as_worker(setup, worker))
        elif count_of(setup.config) > 1:
            sys.exit(run(supervise(setup, watch=watch)))
        else:
            run(serve_hub(setup, watch=watch))
    except OSError as error:
        fail(f"cannot listen on {setup.config.server.host}:{setup.config.server.port}: {error.strerror or error}")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve_hub(setup: Setup, on_step: Callable[[str], None] = no_step, *, watch: bool = False) -> None:
    """Serve until told to stop. ``on_step``: see :mod:`relayhub.store.steps`. ``watch``: reload when files change."""
    async with open_hub(setup.config, setup.plugins, SystemClock(), on_step) as hub:
        stop, clock = _stop_signal(), SystemClock()
        reloader = Reloader(hub, setup.source, _logging_of)
        program = Program(hub, reloader, stop, clock.now())
        watcher = Watcher(setup.source, setup.config.plugins.dirs, clock) if watch else None
        address = await hub.listen()
        async with steered(program.verbs(), reloader, control_of(setup.config.server, setup.config.store), watcher):
            await _greet(setup, hub, address)
            spare_the_collector()
            await stop.wait()
            await _end(hub)


async def _end(hub: Hub) -> None:
    """After the open answers, or at once when told so again."""
    click.echo("Stopping: open answers may finish. Press Ctrl-C again to stop at once.", err=True)
    draining = asyncio.ensure_future(hub.drain())
    again = asyncio.ensure_future(_stop_signal().wait())
    await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not draining.done():
        await hub.open_calls.cut_off()
        await draining


def _logging_of(config: Config) -> None:
    configure_logging(config.logging.level, config.logging.format)


def _stop_signal() -> asyncio.Event:
    """Set by the next SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _greet(setup: Setup, hub: Hub, address: str) -> None:
    opened = await opening(hub.store, demo=setup.demo)
    await hub.keyring.refresh()
    models = [card.name for card in hub.web.catalog.visible(None)]
    greet(address, setup.config.server.public_url or address, setup.path, models, opened)
