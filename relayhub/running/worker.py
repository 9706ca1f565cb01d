"""A worker: a hub that listens beside others on the same address, and does what its supervisor says."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping

import structlog

from relayhub.app import Hub, open_hub
from relayhub.config import Config
from relayhub.plugins.host import PluginHost
from relayhub.running.board import open_board
from relayhub.running.collector import spare_the_collector
from relayhub.running.control import MAX_LINE, Verb, answer_lines
from relayhub.running.post import Post
from relayhub.sdk.clock import Clock
from relayhub.store.steps import no_step
from relayhub.types.json import JsonObject

log = structlog.get_logger("relayhub.workers")


async def work(
    config: Config,
    plugins: PluginHost,
    clock: Clock,
    post: Post,
    verbs: Callable[[Hub, asyncio.Event], Mapping[str, Verb]],
    on_step: Callable[[str], None] = no_step,
) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; SIGINT cuts off what is open, and SIGHUP is the supervisor's.
    ``verbs``: what the supervisor may ask for, beside ``ready``; the event ends the worker. ``on_step``: see
    :mod:`relayhub.store.steps`."""
    board = open_board(post.board, post.share)
    door = None if post.door is None else socket.socket(fileno=post.door)
    async with open_hub(config, plugins, clock, on_step, post.share, board) as hub:
        stop, hasten = _on_signal(signal.SIGTERM), _on_signal(signal.SIGINT)
        _on_signal(signal.SIGHUP)
        await hub.listen(door)
        spare_the_collector()
        talking = asyncio.create_task(_talk(post, {"ready": lambda: _ready(hub), **verbs(hub, stop)}, stop))
        await stop.wait()
        await _drain(hub, hasten)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def _drain(hub: Hub, hasten: asyncio.Event) -> None:
    draining, hastened = asyncio.ensure_future(hub.drain()), asyncio.ensure_future(hasten.wait())
    await asyncio.wait((draining, hastened), return_when=asyncio.FIRST_COMPLETED)
    hastened.cancel()
    if not draining.done():
        await hub.open_calls.cut_off()
    await draining


async def _talk(post: Post, verbs: Mapping[str, Verb], stop: asyncio.Event) -> None:
    """Answer the supervisor. Once it is gone, however it went, there is nobody to serve for: the next one has workers of
    its own."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=post.channel), limit=MAX_LINE)
    try:
        await answer_lines(reader, writer, verbs)
    finally:
        if not stop.is_set():
            log.error("worker.abandoned", detail="the supervisor has died; open answers may finish")
            stop.set()


async def _ready(hub: Hub) -> JsonObject:
    return {"ok": True, "models": [card.name for card in hub.web.catalog.visible(None)]}


def _on_signal(number: signal.Signals) -> asyncio.Event:
    """Set by the next one."""
    came = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(number, came.set)
    return came
