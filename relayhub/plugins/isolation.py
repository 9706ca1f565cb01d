"""Calling into plugins so that what one of them raises stays with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

log = structlog.get_logger("relayhub.plugins")

FAILURES_BEFORE_MUTED = 5
"""A plugin whose hooks keep failing is no longer called: it would only fill the log."""

LIFESPAN_STEP_S = 30.0
"""How long a plugin may take to begin or to end; the hub does not wait longer for it."""


class Isolation:
    """Counts what each plugin has failed, and mutes it in the end."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()

    def call(self, plugin: str, hook: str, work: Callable[[], object]) -> None:
        """Do ``work`` unless ``plugin`` is muted. Raises nothing that is an error."""
        if self._failures[plugin] >= FAILURES_BEFORE_MUTED:
            return
        try:
            work()
        except (Exception, SystemExit):
            # Broad on purpose: plugin isolation.
            self._failed(plugin, hook)

    @asynccontextmanager
    async def lifespan(
        self, plugin: str, inner: AbstractAsyncContextManager[None], limit_s: float = LIFESPAN_STEP_S
    ) -> AsyncIterator[None]:
        """Around ``inner``: where it cannot be entered or left, the hub goes on without it. Cancellation passes."""
        entered = await self._step(plugin, lambda: inner.__aenter__(), limit_s)
        try:
            yield
        finally:
            if entered:
                await self._step(plugin, lambda: inner.__aexit__(None, None, None), limit_s)

    async def _step(self, plugin: str, step: Callable[[], Awaitable[object]], limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await step()
        except (Exception, SystemExit):
            # Broad on purpose: plugin isolation.
            self._failed(plugin, "relayhub_lifespan")
            return False
        return True

    def _failed(self, plugin: str, hook: str) -> None:
        self._failures[plugin] += 1
        muted = self._failures[plugin] >= FAILURES_BEFORE_MUTED
        log.exception("plugin.failed", plugin=plugin, hook=hook, muted=muted)
