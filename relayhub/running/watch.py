"""``--watch``: reload when the files that the config is made of have changed, and have been left alone again.

By looking, not by being told: that works for files that are replaced, for symbolic links that are switched over as
Kubernetes does it, and on network file systems; a dozen files cost next to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from relayhub.running.plugin_files import Stamp, plugin_files, stamps_of
from relayhub.running.source import ConfigSource
from relayhub.sdk.clock import Clock

LOOK_S = 0.5
"""Between two looks. What has changed must look the same twice: an editor, or a deployment, may need a moment."""


class Watcher:
    def __init__(self, source: ConfigSource, folders: tuple[Path, ...], clock: Clock) -> None:
        """``folders``: of dropped-in plugins."""
        self._source = source
        self._folders = folders
        self._clock = clock

    async def run(self, changed: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled."""
        before = await self._look()
        while True:
            await self._clock.sleep(LOOK_S)
            now = await self._look()
            if now == before:
                continue
            before = await self._settled(now)
            await changed()

    async def _settled(self, now: dict[Path, Stamp | None]) -> dict[Path, Stamp | None]:
        while True:
            await self._clock.sleep(LOOK_S)
            later = await self._look()
            if later == now:
                return now
            now = later

    async def _look(self) -> dict[Path, Stamp | None]:
        return await asyncio.to_thread(self._stamps)

    def _stamps(self) -> dict[Path, Stamp | None]:
        return stamps_of([*self._source.files(), *plugin_files(self._folders)])
