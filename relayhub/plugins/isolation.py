"""Calling into plugins so that what one of them raises stays with it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

log = structlog.get_logger("relayhub.plugins")

FAILURES_BEFORE_MUTED = 5
"""A plugin whose hooks keep failing is no longer called: it would only fill the log."""

SLOW_S = 1.0
"""Hooks are called on the event loop: one that takes longer has held up everybody, which is a failure too."""

LIFESPAN_STEP_S = 30.0
"""How long a plugin may take to begin or to end; the hub does not wait longer for it."""


class PluginRaised(Exception):
    """What a plugin raised, which is its cause: some exceptions end whatever they are raised in, a loop or a generator."""


def is_own(error: BaseException) -> bool:
    """Whether code that was called raised this by itself. ``False`` for what was thrown into the current task from outside,
    which has to pass: it was cancelled, or is being closed. The server takes signals as events, so an interrupt is always
    somebody's own."""
    if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and not task.cancelling()


class Isolation:
    """Counts what each plugin has failed, and mutes it in the end."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()

    def call(self, plugin: str, hook: str, work: Callable[[], object]) -> None:
        """Do ``work`` unless ``plugin`` is muted. Raises nothing that is an error."""
        if self._failures[plugin] >= FAILURES_BEFORE_MUTED:
            return
        began = time.monotonic()
        try:
            work()
        except BaseException:
            # Broad on purpose: plugin isolation; nothing is awaited here.
            self._failed(plugin, hook)
        else:
            if (took_s := time.monotonic() - began) > SLOW_S:
                self._failed(plugin, hook, took_s=round(took_s, 3))

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
        except BaseException as error:
            # Broad on purpose: plugin isolation.
            if not is_own(error):
                raise
            self._failed(plugin, "relayhub_lifespan")
            return False
        return True

    def _failed(self, plugin: str, hook: str, **why: object) -> None:
        """``why``: where nothing was raised."""
        self._failures[plugin] += 1
        muted = self._failures[plugin] >= FAILURES_BEFORE_MUTED
        log.error("plugin.failed", plugin=plugin, hook=hook, muted=muted, exc_info=not why, **why)
