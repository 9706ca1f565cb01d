"""What a program that serves can be asked, and told, while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from relayhub import __version__
from relayhub.app import Hub
from relayhub.running.control import ControlError, Verb, listening
from relayhub.running.reload import Reloader
from relayhub.running.result import ReloadResult
from relayhub.running.watch import Watcher
from relayhub.types.json import JsonObject

log = structlog.get_logger("relayhub.control")


@dataclass(frozen=True, slots=True)
class Program:
    """``stop``: set once it is to end, after its open answers. ``began``: unix seconds."""

    hub: Hub
    reloader: Reloader
    stop: asyncio.Event
    began: float

    def verbs(self) -> Mapping[str, Verb]:
        """For :mod:`relayhub.running.control`."""
        return {"status": self.status, "reload": self.reload, "drain": self.drain}

    async def status(self) -> JsonObject:
        current = self.hub.generations.current
        return {
            "ok": True,
            "pid": os.getpid(),
            "version": __version__,
            "url": self.hub.url,
            "began": self.began,
            "reloads": current.number,
            "state": "draining" if self.hub.draining or self.stop.is_set() else "serving",
            "open_calls": len(self.hub.open_calls),
            "providers": list(current.providers),
            "tasks": len(asyncio.all_tasks()),
        }

    async def reload(self) -> JsonObject:
        """See :class:`relayhub.running.result.ReloadResult`."""
        return (await self.reloader.reload()).as_dict()

    async def drain(self) -> JsonObject:
        """As SIGTERM: answers at once, and ends when the open answers have."""
        self.stop.set()
        return {"ok": True, "open_calls": len(self.hub.open_calls)}


class Reloads(Protocol):
    """Whoever can read the config again: see :class:`Reloader`."""

    def request(self) -> None: ...
    async def reload(self) -> ReloadResult: ...


@asynccontextmanager
async def steered(
    verbs: Mapping[str, Verb], reloads: Reloads, control: Path, watcher: Watcher | None = None
) -> AsyncIterator[None]:
    """While the block runs, the program listens to its control socket and to SIGHUP, and to ``watcher``. Without the socket
    it serves as well: that it cannot be had is in the log."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        stack.callback(
            signal.signal, signal.SIGHUP, signal.SIG_IGN
        )  # what is still to be written then must not be lost
        loop.add_signal_handler(signal.SIGHUP, reloads.request)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        if watcher is not None:
            watching = asyncio.create_task(watcher.run(reloads.reload))
            stack.push_async_callback(_ended, watching)
        try:
            await stack.enter_async_context(listening(control, verbs))
        except ControlError as error:
            log.warning("control.unavailable", detail=str(error))
        yield


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
