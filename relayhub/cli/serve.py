"""``relayhub serve``."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable
from pathlib import Path

import click

from relayhub.accounts.issuing import replace_key
from relayhub.accounts.sign_in import offer_setup
from relayhub.app import Hub, open_hub
from relayhub.cli.logs import configure_logging
from relayhub.cli.support import Setup, config_option, fail, run, set_up
from relayhub.sdk.clock import SystemClock
from relayhub.store.steps import no_step

DEMO_KEY = "demo"


@click.command()
@config_option
@click.option("--host", help="Address to listen on; default: server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default: server.port.")
def serve(config_path: Path | None, host: str | None, port: int | None) -> None:
    """Run the hub.

    Without a config it runs in demo mode: a provider that needs no network, on loopback only, and a fresh key to try it.
    """
    flags = {"server.host": host, "server.port": None if port is None else str(port)}
    setup = set_up(config_path, {name: value for name, value in flags.items() if value is not None})
    if setup.demo and not _is_loopback(setup.config.server.host):
        fail(
            f"demo mode listens on loopback only, not on {setup.config.server.host}: anybody could use its key. "
            "Write a config first: relayhub init"
        )
    configure_logging(setup.config.logging.level, setup.config.logging.format)
    try:
        run(serve_hub(setup))
    except OSError as error:
        fail(f"cannot listen on {setup.config.server.host}:{setup.config.server.port}: {error.strerror or error}")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve_hub(setup: Setup, on_step: Callable[[str], None] = no_step) -> None:
    """Serve until told to stop. ``on_step``: see :mod:`relayhub.store.steps`."""
    async with open_hub(setup.config, setup.plugins, SystemClock(), on_step) as hub:
        stop = _stop_signal()
        address = await hub.listen()
        await _greet(setup, hub, address)
        await stop.wait()
        click.echo("Stopping: open answers may finish. Press Ctrl-C again to stop at once.", err=True)
        draining = asyncio.ensure_future(hub.drain())
        again = asyncio.ensure_future(_stop_signal().wait())
        await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not draining.done():
            await hub.open_calls.cut_off()
            await draining


def _stop_signal() -> asyncio.Event:
    """Set by the next SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _greet(setup: Setup, hub: Hub, address: str) -> None:
    """One screen on stdout: where it listens and, in demo mode, a line that works as it stands."""
    shown = setup.config.server.public_url or address
    click.echo(f"relayhub listens on {address}")
    if (token := await offer_setup(hub.store)) is not None:
        click.echo(f"No admin yet. Make the first: POST {shown}/api/admin/setup with name, password and token {token}")
    if not setup.demo:
        click.echo(f"Config: {setup.path}   Models: {len(hub.catalog.visible(None))} public   Base URL: {shown}/v1")
        return
    account = await hub.store.accounts.default()
    key = (await replace_key(hub.store.keys, DEMO_KEY, account.id)).secret
    await hub.keyring.refresh()
    model = hub.catalog.visible(None)[0].name
    click.echo(
        "Demo mode: no config was found, so a provider without network answers, and the key below works until the next "
        "start.\n\n"
        f"  API key:  {key}\n"
        f"  Base URL: {shown}/v1\n\n"
        "Try it:\n\n"
        f"  curl {shown}/v1/chat/completions \\\n"
        f'    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\\n'
        f"""    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}'\n\n"""
        "Your own providers: relayhub init writes a relayhub.yaml to start from."
    )
