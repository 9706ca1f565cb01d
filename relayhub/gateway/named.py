"""Calls that their clients named (``Idempotency-Key``): served once, answered as often as asked, never charged twice.

A whole answer is made in a task of the hub's own: a client that gave its call a name and lost the connection finds the
answer when it asks again. A streamed one ends with its client, as without a name; only its request id is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, assert_never

import structlog

from relayhub.gateway.call import Call, Client
from relayhub.gateway.open_calls import OpenCalls
from relayhub.sdk.clock import Clock
from relayhub.store.named_calls import Begun, CallName, Ended, Found, KeptAnswer, NamedCalls, OtherBody, UnderWay
from relayhub.types.errors import ClientError, ErrorKind, HubError
from relayhub.types.limits import SETTLEMENT_WAIT_S

SWEEP_S = 60.0

RETRY_S = 1.0

log = structlog.get_logger("relayhub.call")

T = TypeVar("T")


class Serve(Protocol):
    """See :meth:`relayhub.gateway.pipeline.Pipeline.serve`."""

    async def __call__(self, call: Call, client: Client) -> None: ...


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer from before. ``call_id``: of the call that it was made for."""

    call_id: str
    answer: KeptAnswer


class NamedServing:
    """First :meth:`begin`, then, unless that answers already, :meth:`serve`."""

    def __init__(self, serve: Serve, names: NamedCalls, open_calls: OpenCalls, clock: Clock) -> None:
        self._serve = serve
        self._names = names
        self._open_calls = open_calls
        self._clock = clock
        self._serving: set[str] = set()
        self._tasks: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The background work; on leaving, what is still to be written is waited for, a little."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=SETTLEMENT_WAIT_S)

    async def _sweep(self) -> None:
        while True:
            try:
                while await self._names.sweep(self._clock.now()):
                    pass
            except HubError as error:
                log.warning("named_calls.unswept", detail=error.detail)
            await self._clock.sleep(SWEEP_S)

    async def begin(self, name: CallName, call_id: str) -> Replay | None:
        """``None``: the name is this call's, which must be served now. Raises ``ClientError``: UNPROCESSABLE for another
        request's name, CONFLICT while the first is served or where its answer was not kept; ``HubError``."""
        self._serving.add(call_id)
        beginning = self._owned(self._names.begin(name, call_id, self._clock.now(), serving=self._serving))
        try:
            found = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._owned(self._undo(beginning, name, call_id))
            raise
        except BaseException:
            self._serving.discard(call_id)
            raise
        if not isinstance(found, Begun):
            self._serving.discard(call_id)
        return _replay(found)

    async def _undo(self, beginning: asyncio.Task[Found], name: CallName, call_id: str) -> None:
        try:
            if isinstance(await beginning, Begun):
                await self._give_up(name, call_id)
        finally:
            self._serving.discard(call_id)

    async def serve(self, call: Call, name: CallName, client: Client) -> None:
        """See :meth:`relayhub.gateway.pipeline.Pipeline.serve`. A body that is not in memory goes with its client, and so
        does the call."""
        if call.envelope.stream or not isinstance(call.body, bytes):
            await self._attended(call, name, client)
            return
        answer = await asyncio.shield(self._owned(self._whole(call, name)))
        client.note_dropped(answer.dropped)
        await client.reply(answer.body, answer.content_type)

    async def _attended(self, call: Call, name: CallName, client: Client) -> None:
        buffer = None if call.envelope.stream else _Buffer()
        try:
            await self._serve(call, buffer or client)
        except BaseException:
            await asyncio.shield(self._owned(self._give_up(name, call.id)))
            raise
        await asyncio.shield(self._owned(self._end(name, call.id, None if buffer is None else buffer.answer())))
        if buffer is not None:
            client.note_dropped(buffer.dropped)
            await client.reply(buffer.body, buffer.content_type)

    async def _whole(self, call: Call, name: CallName) -> KeptAnswer:
        buffer = _Buffer()
        with self._open_calls.track(call.principal.key_id):
            try:
                await self._serve(call, buffer)
            except BaseException:
                await asyncio.shield(self._owned(self._give_up(name, call.id)))
                raise
            await asyncio.shield(self._owned(self._end(name, call.id, buffer.answer())))
        return buffer.answer()

    async def _end(self, name: CallName, call_id: str, answer: KeptAnswer | None) -> None:
        """A store in trouble takes nothing from the client but the replay."""
        try:
            await self._names.end(name, call_id, answer)
        except HubError as error:
            log.warning("named_call.not_kept", call_id=call_id, detail=error.detail)
        finally:
            self._serving.discard(call_id)

    async def _give_up(self, name: CallName, call_id: str) -> None:
        try:
            await self._names.give_up(name, call_id)
        except HubError as error:
            log.warning("named_call.not_given_up", call_id=call_id, detail=error.detail)
        finally:
            self._serving.discard(call_id)

    def _owned(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Goes on if whoever waits for it is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody is told twice


class _Buffer:
    """A :class:`relayhub.gateway.call.Client` for whole answers."""

    def __init__(self) -> None:
        self.body = b""
        self.content_type = ""
        self.dropped: tuple[str, ...] = ()
        self.status: int | None = None

    def answer(self) -> KeptAnswer:
        return KeptAnswer(self.body, self.content_type, self.dropped)

    def note_dropped(self, names: Sequence[str]) -> None:
        self.dropped = tuple(names)

    async def reply(self, body: bytes, content_type: str) -> None:
        self.body, self.content_type, self.status = body, content_type, 200

    def push(self, frames: bytes) -> bool:
        self.body += frames
        return True

    async def write(self, frames: bytes) -> None:
        self.body += frames

    async def end(self, frames: bytes) -> None:
        self.body += frames


def _replay(found: Found) -> Replay | None:
    match found:
        case Begun():
            return None
        case Ended(call_id, answer):
            if answer is None:
                raise _not_kept(call_id)
            return Replay(call_id, answer)
        case OtherBody():
            raise ClientError(
                ErrorKind.UNPROCESSABLE,
                "This Idempotency-Key was used with another request; use a new one for a new request.",
                code="idempotency_key_reused",
            )
        case UnderWay():
            raise ClientError(
                ErrorKind.CONFLICT,
                "The first request with this Idempotency-Key is still being served; ask again in a moment.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_S,
            )
        case _:
            assert_never(found)


def _not_kept(call_id: str) -> ClientError:
    return ClientError(
        ErrorKind.CONFLICT,
        f"The request with this Idempotency-Key was served before, as {call_id}, and is not charged again; its answer was"
        " not kept (it was streamed, larger than 1 MiB, or its client left). Use a new key to have it served anew.",
        code="idempotency_answer_not_kept",
        headers=(("x-relayhub-first-request", call_id),),
    )
