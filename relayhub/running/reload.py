"""What a reload does: read, check, compare, build beside what serves, and put it in its place; or change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from relayhub.app import Hub
from relayhub.config import Change, Config, ConfigError, Problem, taken_over
from relayhub.config.differences import Kind
from relayhub.config.source import Source, Spot
from relayhub.plugins.isolation import is_own
from relayhub.running.plugin_files import changed_plugins, plugin_files, stamps_of
from relayhub.running.result import ReloadResult
from relayhub.running.source import ConfigSource
from relayhub.types.errors import HubError
from relayhub.web.certificate import Certificate

log = structlog.get_logger("relayhub.config")

MAX_LOGGED = 100
"""Changes of one reload; whoever asked for it sees them all."""


class Reloader:
    """One reload at a time. Create it when the hub has just begun: what plugin files are then is what was loaded."""

    def __init__(self, hub: Hub, source: ConfigSource, on_reloaded: Callable[[Config], None]) -> None:
        """``on_reloaded``: told the config that is in force a moment later."""
        self._hub = hub
        self._source = source
        self._on_reloaded = on_reloaded
        self._turn = asyncio.Lock()
        self._plugins = stamps_of(plugin_files(hub.config.plugins.dirs))
        self._asked: asyncio.Task[ReloadResult] | None = None

    async def reload(self) -> ReloadResult:
        """Raises nothing but cancellation; what is wrong is in the result, and in the log."""
        async with self._turn:
            self._asked = None
            result = await self._result()
        _note(result)
        return result

    def request(self) -> None:
        """Reload soon. Asking again before it begins asks for nothing more."""
        if self._asked is None:
            self._asked = asyncio.create_task(self.reload())

    async def _result(self) -> ReloadResult:
        if self._hub.draining:
            return ReloadResult(False, problems="The hub is stopping: it takes no other config any more.")
        running = self._hub.config
        try:
            wanted = await asyncio.to_thread(self._source.config, self._hub.plugins, running.plugins)
            config, changes = await asyncio.to_thread(taken_over, running, wanted)
            renewed = await asyncio.to_thread(_renewed, self._hub.certificate)
            prepared = await self._hub.generations.prepare(config)
            self._on_reloaded(config)
            await self._hub.generations.adopt(prepared)
        except ConfigError as error:
            return ReloadResult(False, problems=error.render(color=False))
        except HubError as error:
            return ReloadResult(False, problems=f"Error: {error}")
        except BaseException as error:
            # Broad on purpose: a plugin that cannot be built must not take what serves with it.
            if not is_own(error):
                raise
            log.exception("config.reload_broke")
            return ReloadResult(False, problems=f"Error: {type(error).__name__}: {error} (the hub's log says more)")
        for change in renewed:
            self._renew(change)
        return ReloadResult(True, (*changes, *renewed, *await asyncio.to_thread(self._changed_plugins)))

    def _renew(self, change: Change) -> None:
        assert self._hub.certificate is not None
        try:
            self._hub.certificate.renew()
        except OSError as error:  # replaced once more since it was looked at
            log.exception("config.not_renewed", path=change.path, detail=str(error))

    def _changed_plugins(self) -> list[Change]:
        now = stamps_of(plugin_files(self._hub.config.plugins.dirs))
        return list(changed_plugins(self._plugins, now))


def _renewed(certificate: Certificate | None) -> tuple[Change, ...]:
    """Whether its files hold another one now. Raises ``ConfigError`` where that cannot be used."""
    try:
        renewed = certificate is not None and certificate.check()
    except OSError as error:
        said = error.strerror or str(error)
        hint = "Both files must be readable, and the key must be the certificate's."
        problem = Problem(Spot(Source("config")), "server.tls", f"the renewed certificate cannot be used: {said}", hint)
        raise ConfigError([problem]) from error
    return (Change("server.tls", Kind.CHANGED, after="another certificate"),) if renewed else ()


def _note(result: ReloadResult) -> None:
    if result.ok:
        shown = [str(change) for change in result.changes[:MAX_LOGGED]]
        log.info("config.reloaded", count=len(result.changes), changes=shown)
    else:
        log.error("config.refused", problems=result.problems)
