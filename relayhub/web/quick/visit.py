"""One call at the front door: from the last byte of its request until everything has been said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Protocol

import msgspec
import structlog

from relayhub.gateway.answers import JSON
from relayhub.gateway.call import Call, ClientLeft
from relayhub.gateway.open_calls import Cancellable
from relayhub.plugins.isolation import is_own
from relayhub.types.call import Operation, Principal
from relayhub.types.errors import RelayhubError
from relayhub.web.context import Serving, WebContext
from relayhub.web.errors import internal, shown_path
from relayhub.web.ingress.serving import refuse_while_draining
from relayhub.web.quick.answer import JOINED, OK, QuickAnswer, taken
from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.head import QuickHead
from relayhub.web.quick.place import Place

log = structlog.get_logger("relayhub.web")

_CHAT = Operation.CHAT

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_EXPECTED = (RelayhubError, ClientLeft, asyncio.CancelledError)
"""What a client that is gone need not be told; anything else is a defect, and the log is."""


class Reception(Protocol):
    """See :class:`relayhub.web.quick.desk.QuickDesk`."""

    context: WebContext

    def client(self, head: QuickHead, peer: str) -> str:
        """Its address, for the log."""
        ...

    def date(self) -> str: ...
    def refuse(self, door: QuickDoor, head: QuickHead, request_id: str, error: RelayhubError) -> None: ...


class Visit(msgspec.Struct, eq=False):
    """It is also the client of a whole answer, and makes a :class:`QuickAnswer` only where there is more to it than giving
    it. ``_serving``: as it is when the call begins; a reload does not change a call that has begun.

    Made by position, which is cheaper than by name. The order matters, and is checked: of the fields that must be given, no
    two have the same type.
    """

    request_id: str
    _desk: Reception
    _door: QuickDoor
    _head: QuickHead
    _place: Place
    _serving: Serving
    _principal: Principal
    _body: bytes
    _received_at: float
    _call: Call | None = None
    _answer: QuickAnswer | None = None
    _status: int | None = None

    def direct(self) -> Cancellable | None:
        """Begin it without a task. ``None``: nothing has happened, and it needs one."""
        try:
            call = self._called()
            client = self._begun(call) if call.envelope.stream else self
            return self._serving.pipeline.begin(call, client, self._told)
        except BaseException:  # whatever it is, the long way finds the same, and says it
            return None

    def task(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._left)
        return task

    def _left(self, _: asyncio.Task[None]) -> None:
        self._door.served()

    def _told(self, problem: BaseException | None) -> None:
        """The call is over, and has raised ``problem``."""
        door = self._door
        if self._answer is not None:
            self._answer.close()
        if problem is None and not door.congested:
            door.served()
        elif door.transport is None and isinstance(problem, _EXPECTED):
            door.served()  # nobody hears it
        else:
            door.goes_on(self.task(self._tell(problem)))

    async def _tell(self, problem: BaseException | None) -> None:
        await self._attended(_raised(problem))

    async def serve(self) -> None:
        """Raises nothing but its own cancellation."""
        await self._attended(self._delivered())

    def _called(self) -> Call:
        """Raises what the codec raises."""
        if self._call is not None:
            return self._call
        head, place, context = self._head, self._place, self._desk.context
        dialect = place.dialect
        envelope = self._serving.codecs.chat[dialect].envelope(self._body)
        if context.draining:
            refuse_while_draining(context)
        self._call = Call(
            self.request_id,
            self._principal,
            _CHAT,
            dialect,
            self._body,
            envelope,
            self._received_at,
            self._desk.client(head, self._door.peer) if head.forwarded else self._door.peer,
            None,
            _NO_HEADERS if place.headers is None else place.headers(head.headers),
        )
        return self._call

    def answer(self) -> QuickAnswer:
        """Made, and begun, when it is first needed."""
        answer = self._answer
        return self._begun(self._called()) if answer is None else answer

    def _begun(self, call: Call) -> QuickAnswer:
        envelope, serving = call.envelope, self._serving
        answer = self._answer = QuickAnswer(
            self._door,
            self._place,
            self.request_id,
            envelope.framing if envelope.stream else None,
            serving.codecs.chat[call.dialect].keep_alive,
            serving.head_waits,
            serving.keep_alive_s,
        )
        answer.begin()
        return answer

    async def _delivered(self) -> None:
        call, answer = self._called(), self.answer()
        try:
            await self._serving.pipeline.serve(call, answer)
        finally:
            answer.close()

    async def _attended(self, work: Awaitable[None]) -> None:
        """Do it, and tell the client what it raises."""
        try:
            await self._said(work)
        except ClientLeft:
            return
        except RelayhubError as error:
            if self._unopened:  # else it was cut off once everything had been said
                self._desk.refuse(self._door, self._head, self.request_id, error)
        except BaseException as error:
            # Broad on purpose: the client gets its dialect's 500 and an id, the reason stays in the log.
            if not is_own(error):
                raise
            self._failed()
        with suppress(ClientLeft):
            await taken(self._door)  # whoever does not read its answers is not given further ones

    async def _said(self, work: Awaitable[None]) -> None:
        """An error after the head of a stream was sent can only be the dialect's error event; nothing comes after it."""
        try:
            await work
        except RelayhubError as error:
            if self._unopened or self._call is None or not self._call.envelope.stream:
                raise
            assert self._answer is not None
            await self._answer.end(self._desk.context.error_event(error, self._call))

    def _failed(self) -> None:
        log.exception("request.failed", request_id=self.request_id, method="POST", path=shown_path(self._head.path))
        if self._unopened:
            self._desk.refuse(self._door, self._head, self.request_id, internal())
        elif self._door.transport is not None:
            self._door.transport.abort()

    @property
    def _unopened(self) -> bool:
        return self.status is None

    # The client of a whole answer

    @property
    def status(self) -> int | None:
        return self._status if self._answer is None else self._answer.status

    def give(self, body: bytes, content_type: str) -> None:
        transport = self._door.transport
        if (
            self._answer is not None or len(body) > JOINED or content_type is not JSON
        ):  # another's word is checked there
            self.answer().give(body, content_type)
        elif transport is None or transport.is_closing():
            raise ClientLeft
        else:
            self._status = OK
            transport.write(self._place.whole_answer_head(self.request_id, len(body), self._desk.date()) + body)

    def note_dropped(self, names: Sequence[str]) -> None:
        self.answer().note_dropped(names)

    async def reply(self, body: bytes, content_type: str) -> None:
        given = self.answer().reply(body, content_type)
        del body  # as there
        await given

    def push(self, frames: bytes) -> bool:
        return self.answer().push(frames)

    async def write(self, frames: bytes) -> None:
        await self.answer().write(frames)

    async def end(self, frames: bytes) -> None:
        await self.answer().end(frames)

    def give_end(self, frames: bytes) -> None:
        self.answer().give_end(frames)


async def _raised(problem: BaseException | None) -> None:
    try:
        if problem is not None:
            raise problem
    finally:
        del problem  # its traceback has this frame
