"""Calls that go on without their clients until their upstreams have said what they counted.

Such a call runs from its start in a task of the hub's own, so that nothing has to be handed over when its client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import structlog

from relayhub.gateway.call import Client, ClientLeft
from relayhub.gateway.departure import LeavingTerms
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tally import Tally
from relayhub.types.errors import RelayhubError
from relayhub.types.limits import SETTLEMENT_WAIT_S
from relayhub.types.on_disconnect import OnDisconnect

log = structlog.get_logger("relayhub.call")

Work = Callable[[Client], Coroutine[object, object, None]]
"""A call, given the client to answer to."""


class Shelter:
    """A :class:`relayhub.gateway.call.Client` behind which the real one may leave: from then on the answer goes nowhere."""

    def __init__(self, client: Client, tally: Tally, stays: Callable[[], bool]) -> None:
        """``stays``: told that the client is gone; whether the call goes on all the same."""
        self._client = client
        self._departure = tally.departure
        self._stays = stays

    @property
    def status(self) -> int | None:
        return self._client.status

    def note_dropped(self, names: Sequence[str]) -> None:
        self._client.note_dropped(names)

    async def reply(self, body: bytes, content_type: str) -> None:
        await self._unless_left(lambda: self._client.reply(body, content_type))

    def push(self, frames: bytes) -> bool:
        return self._departure.left or self._client.push(frames)

    async def write(self, frames: bytes) -> None:
        await self._unless_left(lambda: self._client.write(frames))

    async def end(self, frames: bytes) -> None:
        await self._unless_left(lambda: self._client.end(frames))

    async def _unless_left(self, send: Callable[[], Coroutine[object, object, None]]) -> None:
        if self._departure.left:
            return
        try:
            await send()
        except ClientLeft:
            if not self._stays():
                raise
        except RelayhubError:
            if not self._departure.left:  # it left meanwhile: what its end of the answer says is nobody's concern
                raise


class Drains:
    """The tasks of all such calls, also of earlier configs. :meth:`close` it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Calls whose clients have left."""
        return len(self._left)

    async def serve(self, work: Work, client: Client, tally: Tally, terms: LeavingTerms, open_calls: OpenCalls) -> None:
        """Run ``work``. Raises what it raises; if the caller is cancelled, the call goes on where it may, and is aborted
        where not. It counts among ``open_calls`` for as long as it runs."""
        task = asyncio.create_task(work(Shelter(client, tally, lambda: self._stays(task, tally, terms))))
        self._tasks.add(task)
        open_calls.enter(task, tally.call.principal.key_id)  # before its first step: a shutdown must find it
        task.add_done_callback(open_calls.leave)
        task.add_done_callback(lambda done: self._over(done, tally))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            by_hub = open_calls.cancelled_by_hub()
            if by_hub is None and (task.done() or self._stays(task, tally, terms)):
                raise
            await _cut(task)
            if by_hub is None:
                raise
            _uncancel()
            if task.cancelled():  # before its first step
                raise by_hub from None
            task.result()

    def _stays(self, task: asyncio.Task[None], tally: Tally, terms: LeavingTerms) -> bool:
        """The client has left: whether the call goes on. Idempotent."""
        departure = tally.departure
        if departure.left or tally.settled:
            return departure.left
        if not tally.sent or len(self._left) >= terms.drains:
            departure.policy = OnDisconnect.ABORT_AND_ESTIMATE
            return False
        departure.left = True
        self._left.add(task)
        log.info("call.draining", call_id=tally.call.id, model=tally.model, at_most_s=terms.drain_s)
        timer = asyncio.get_running_loop().call_later(terms.drain_s, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())
        return True

    def _over(self, task: asyncio.Task[None], tally: Tally) -> None:
        self._tasks.discard(task)
        self._left.discard(task)
        error = None if task.cancelled() else task.exception()  # whoever waits has it, too
        if error is not None and tally.departure.left and not isinstance(error, RelayhubError | ClientLeft):
            log.error("drain.failed", call_id=tally.call.id, exc_info=error)

    async def close(self) -> None:
        """Abort what still runs; each is accounted for."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=SETTLEMENT_WAIT_S)


async def _cut(task: asyncio.Task[None]) -> None:
    """End it and wait until it has settled. One that is being cut off already is not disturbed in that."""
    if not task.cancelling():
        task.cancel()
    await asyncio.wait({task})


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
