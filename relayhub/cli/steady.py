"""Running the server so that nothing but its own end, and a person, ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger("relayhub.loop")


def run_steadily(work: Coroutine[object, object, T], new_loop: Callable[[], asyncio.AbstractEventLoop]) -> T:
    """As ``asyncio.run``; but where some other task or callback, which a plugin has left behind, raises ``SystemExit`` or
    ``KeyboardInterrupt``, that ends itself only, and the loop goes on."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        task = runner.get_loop().create_task(work)
        while not task.done():
            try:
                runner.run(_until_over(task))
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done() or (isinstance(error, KeyboardInterrupt) and not _signals_are_events()):
                    raise
                log.exception("loop.left", raised=type(error).__name__)
        return task.result()


async def _until_over(task: asyncio.Task[T]) -> None:
    """Cancelling this cancels the task."""
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        raise


def _signals_are_events() -> bool:
    """Whether the loop itself takes Ctrl-C, so that no person can have raised anything: neither Python's own handler nor
    that of ``asyncio.Runner``, which is a partial, is in place any more."""
    handler = signal.getsignal(signal.SIGINT)
    return handler is not signal.default_int_handler and not isinstance(handler, partial)
