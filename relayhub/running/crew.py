"""What several workers can be asked, and told, as one program: the same words as for a single process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from relayhub import __version__
from relayhub.config import Config, ConfigError
from relayhub.plugins.host import PluginHost
from relayhub.running.control import Verb
from relayhub.running.result import ReloadResult, of_dict
from relayhub.running.source import ConfigSource
from relayhub.running.supervisor import Rolled, Supervisor
from relayhub.types.json import JsonObject

log = structlog.get_logger("relayhub.workers")


@dataclass(slots=True)
class Crew:
    """``stop``: as the first SIGTERM does. ``on_reloaded``: told the config that all workers serve with from now on,
    and the text of its file. ``began``: unix seconds."""

    supervisor: Supervisor
    source: ConfigSource
    plugins: PluginHost
    config: Config
    url: str
    began: float
    stop: Callable[[], None]
    on_reloaded: Callable[[Config, str], None]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: asyncio.Task[ReloadResult] | None = None
    _reloads: int = 0

    def verbs(self) -> Mapping[str, Verb]:
        """For :mod:`relayhub.running.control`."""
        return {"status": self._status, "reload": self._reload, "drain": self._drain}

    async def _status(self) -> JsonObject:
        workers = await self.supervisor.statuses()
        return {
            "ok": True,
            "pid": os.getpid(),
            "version": __version__,
            "url": self.url,
            "began": self.began,
            "reloads": self._reloads,
            "state": "draining" if self.supervisor.stopping else "serving",
            "open_calls": sum(_number(worker.get("open_calls")) for worker in workers),
            "providers": list(self.config.providers),
            "workers": list(workers),
        }

    async def _reload(self) -> JsonObject:
        return (await self.reload()).as_dict()

    async def _drain(self) -> JsonObject:
        """As the first SIGTERM: answers at once. Idempotent."""
        open_calls = sum(_number(worker.get("open_calls")) for worker in await self.supervisor.statuses())
        if not self.supervisor.stopping:
            self.stop()
        return {"ok": True, "open_calls": open_calls}

    def request(self) -> None:
        """Reload soon. Asking again before it begins asks for nothing more."""
        if self._asked is None:
            self._asked = asyncio.create_task(self.reload())

    async def reload(self) -> ReloadResult:
        """Check the config once, then let one worker after another take it over; the first that does not ends it. Raises
        nothing but cancellation; what is wrong is in the result, and in the log."""
        async with self._turn:
            self._asked = None
            result = await self._result()
        if result.ok:
            log.info("config.reloaded_everywhere", changes=[str(change) for change in result.changes])
        else:
            log.error("config.refused", problems=result.problems, partly=list(result.partly))
        return result

    async def _result(self) -> ReloadResult:
        if self.supervisor.stopping:
            return ReloadResult(False, problems="The hub is stopping: it takes no other config any more.")
        try:
            text = await asyncio.to_thread(self.source.text)
            wanted = await asyncio.to_thread(self.source.config, self.plugins, self.config.plugins)
        except ConfigError as error:
            return ReloadResult(False, problems=error.render(color=False))
        rolled = await self.supervisor.reload()
        if rolled.stopped_at is not None:
            return ReloadResult(False, problems=_why(rolled), partly=rolled.done)
        self._reloads += 1
        self.config = wanted
        self.on_reloaded(wanted, text)
        return _first(rolled)


def _first(rolled: Rolled) -> ReloadResult:
    """The workers have the same config: one of them can speak for all. Without any, its successors begin with it."""
    try:
        return of_dict(rolled.answers[0])
    except (IndexError, ValueError):
        return ReloadResult(True)


def _why(rolled: Rolled) -> str:
    return f"Worker {rolled.stopped_at} did not take the config over:\n{rolled.why}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
