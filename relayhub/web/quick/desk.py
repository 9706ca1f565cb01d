"""What all connections at the front door share: who may come in the short way, and how a call is served there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate

import structlog
from aiohttp import web

from relayhub.accounts.keyring import fingerprint
from relayhub.gateway.call import Call, ClientLeft
from relayhub.plugins.isolation import is_own
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ClientError, RelayhubError
from relayhub.types.ids import Ids
from relayhub.web.body import body_too_slow
from relayhub.web.client_address import nearest_address
from relayhub.web.context import Serving, WebContext
from relayhub.web.errors import REQUEST, answer_to, internal, note_refused, render, shown_path
from relayhub.web.ingress.serving import refuse_while_draining
from relayhub.web.mounts import manner_of
from relayhub.web.overload import Overload
from relayhub.web.quick.answer import QuickAnswer, taken
from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.head import QuickHead, read_head

log = structlog.get_logger("relayhub.web")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dialect's chat is served. ``headers``: those of a request that belong to it, all names lower case."""

    dialect: Dialect
    headers: Callable[[Mapping[str, str]], Mapping[str, str]]


class QuickDesk:
    """``idle_s``: how long a client may be silent between two requests."""

    def __init__(self, context: WebContext, overload: Overload, idle_s: float, places: Mapping[str, Place]) -> None:
        """``places``: by path."""
        self._context = context
        self._overload = overload
        self.idle_s = idle_s
        self._places = places
        self._doors: set[QuickDoor] = set()
        self._ids = Ids()
        self._date = ""
        self._date_at = 0

    @property
    def body_timeout_s(self) -> float:
        return self._context.server.body_timeout_s

    # Who may come in

    def accept(self, block: bytes, peer: str) -> QuickHead | None:
        """See :class:`relayhub.web.quick.door.Desk`."""
        head = read_head(block, fingerprint)
        return None if head is None or head.path not in self._places else head

    def admit(self, head: QuickHead, peer: str) -> Principal | None:
        """See :class:`relayhub.web.quick.door.Desk`. Whoever is to be refused is refused by the framework."""
        context = self._context
        if context.draining or head.length > context.server.body_limit or self._overload.reason() is not None:
            return None
        try:
            principal = context.keyring.recognise(head.fingerprint, context.clock.now())
        except ClientError:
            return None
        if principal.networks is not None and not principal.may_call_from(self._client(head, peer)):
            return None
        self._overload.in_flight += 1
        return principal

    def leave(self) -> None:
        self._overload.in_flight -= 1

    def _client(self, head: QuickHead, peer: str) -> str:
        return nearest_address(peer, head.forwarded, self._context.trusted_proxies)

    def opened(self, door: QuickDoor) -> None:
        self._doors.add(door)

    def closed(self, door: QuickDoor) -> None:
        self._doors.discard(door)

    async def close(self, _app: web.Application | None = None) -> None:
        """The server ends: idle connections are closed, and busy ones after their answer."""
        for door in tuple(self._doors):
            door.close()

    # A call

    async def serve(self, door: QuickDoor, head: QuickHead, principal: Principal, body: bytes) -> None:
        """Answer it, whatever happens. Raises nothing but its own cancellation."""
        context, place, request_id = self._context, self._places[head.path], self._ids.new(REQUEST)
        serving = context.serving  # a reload does not change a call that has begun
        dialect = place.dialect
        answer: QuickAnswer | None = None
        try:
            codec = serving.codecs.chat[dialect]
            envelope = codec.envelope(body)
            refuse_while_draining(context)
            call = Call(
                request_id,
                principal,
                Operation.CHAT,
                dialect,
                body,
                envelope,
                context.clock.monotonic(),
                self._client(head, door.peer),
                None,
                place.headers(head.headers),
            )
            answer = QuickAnswer(
                door,
                _answer_headers(request_id, dialect),
                framing=envelope.framing if envelope.stream else None,
                keep_alive=codec.keep_alive,
                head_wait_s=serving.server.head_wait_s,
                keep_alive_s=serving.server.keep_alive_s,
            )
            if envelope.stream:
                async with answer:
                    await _deliver(context, serving, call, answer)
            else:
                await serving.pipeline.serve(call, answer)
        except ClientLeft:
            return
        except RelayhubError as error:
            if answer is None or not answer.opened:  # else it was cut off once everything had been said
                self._refuse(door, head, request_id, error)
        except BaseException as error:
            # Broad on purpose: the client gets its dialect's 500 and an id, the reason stays in the log.
            if not is_own(error):
                raise
            log.exception("request.failed", request_id=request_id, method="POST", path=shown_path(head.path))
            if answer is None or not answer.opened:
                self._refuse(door, head, request_id, internal())
            elif door.transport is not None:
                door.transport.abort()
        with suppress(ClientLeft):
            await taken(door)  # whoever does not read its answers is not given further ones

    def _refuse(self, door: QuickDoor, head: QuickHead, request_id: str, error: RelayhubError) -> None:
        note_refused(error, request_id, "POST", shown_path(head.path), self._client(head, door.peer))
        manner = manner_of(head.path, head.headers, {}, self._context.server.base_path)
        told = answer_to(error, request_id, None if manner is None else render(error, request_id, manner))
        door.tell(told.status, told.headers, told.body)

    def too_slow(self, door: QuickDoor, head: QuickHead) -> None:
        """The body has not come in time."""
        self._refuse(door, head, self._ids.new(REQUEST), body_too_slow(self.body_timeout_s))

    def date(self) -> str:
        """See :class:`relayhub.web.quick.answer.Line`."""
        now = int(time.time())
        if now != self._date_at:
            self._date, self._date_at = formatdate(now, usegmt=True), now
        return self._date


async def _deliver(context: WebContext, serving: Serving, call: Call, answer: QuickAnswer) -> None:
    """An error after the head was sent can only be the dialect's error event; nothing comes after it."""
    try:
        await serving.pipeline.serve(call, answer)
    except RelayhubError as error:
        if not answer.opened:
            raise
        await answer.end(context.error_event(error, call))


def _answer_headers(request_id: str, dialect: Dialect) -> dict[str, str]:
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return {"x-request-id": request_id, "request-id": request_id}
    return {"x-request-id": request_id}


QUICK = web.AppKey("relayhub_quick", QuickDesk)
