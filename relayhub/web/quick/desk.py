"""What all connections at the front door share: who may come in the short way, and how a call is served there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate

from aiohttp import web

from relayhub.accounts.keyring import fingerprint
from relayhub.gateway.open_calls import Cancellable
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, RelayhubError
from relayhub.types.ids import Ids
from relayhub.upstream.memory import MODEST
from relayhub.web.body import KEPT, body_too_slow
from relayhub.web.client_address import nearest_address
from relayhub.web.context import WebContext
from relayhub.web.errors import REQUEST, answer_to, note_refused, render, shown_path
from relayhub.web.mounts import manner_of
from relayhub.web.overload import Overload
from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.head import QuickHead
from relayhub.web.quick.known_heads import KnownHeads
from relayhub.web.quick.open_doors import OpenDoors
from relayhub.web.quick.place import Place
from relayhub.web.quick.visit import Visit


class QuickDesk:
    """``idle_s``: see :class:`relayhub.web.quick.open_doors.OpenDoors`."""

    def __init__(self, context: WebContext, overload: Overload, idle_s: float, places: Mapping[str, Place]) -> None:
        """``places``: by path."""
        self.context = context
        self.clock = context.clock
        self._overload = overload
        self._places = places
        self._doors = OpenDoors(idle_s)
        self.opened = self._doors.add
        """See :class:`relayhub.web.quick.door.Desk`."""
        self._heads = KnownHeads(fingerprint)
        self._latest: QuickDoor | None = None
        """Whose head was the last one that had to be looked up, while it is open: the next connection is often the same
        client's."""
        self._ids = Ids()
        self._date = ""
        self._date_at = 0.0
        """The second whose date that is."""

    @property
    def body_timeout_s(self) -> float:
        return self.context.server.body_timeout_s

    # Who may come in

    def accept(self, block: bytes, door: QuickDoor) -> tuple[QuickHead, int] | None:
        """See :class:`relayhub.web.quick.door.Desk`."""
        latest = self._latest
        if (
            latest is not None
            and (head := latest.known) is not None
            and (length := latest.length_in(block)) is not None
        ):
            return head, length
        found = self._heads.read(block)
        if found is None or found[0].path not in self._places:
            return None
        self._latest = door
        return found

    def admit(self, head: QuickHead, length: int, door: QuickDoor, now: float) -> Principal | None:
        """See :class:`relayhub.web.quick.door.Desk`. Whoever is to be refused is refused by the framework."""
        context = self.context
        if context.draining or length > context.serving.body_limit or self._overload.reason(now) is not None:
            return None
        try:
            principal = context.keyring.recognise(head.fingerprint, self.clock)
        except ClientError:
            return None
        if principal.networks is not None and not principal.may_call_from(self.client(head, door.peer)):
            return None
        if length > MODEST and not self._has_room(length, door):
            return None
        self._overload.in_flight += 1
        return principal

    def _has_room(self, length: int, door: QuickDoor) -> bool:
        """For a body that is not small; counted until the call is over."""
        lease = self._overload.memory.lease()
        if not lease.take(length):
            return False
        door.lease = lease
        return True

    def leave(self, door: QuickDoor) -> None:
        self._overload.in_flight -= 1
        if door.lease is not None:
            door.lease.settle(0)
            door.lease = None

    def client(self, head: QuickHead, peer: str) -> str:
        return nearest_address(peer, head.forwarded, self.context.trusted_proxies)

    def closed(self, door: QuickDoor) -> None:
        self._doors.discard(door)
        if door is self._latest:
            self._latest = None  # what a credential stands in is not kept

    async def close(self, _app: web.Application | None = None) -> None:
        """The server ends: idle connections are closed, and busy ones after their answer."""
        self._doors.close()

    # A call

    def serve(self, door: QuickDoor, head: QuickHead, principal: Principal, body: bytes, now: float) -> Cancellable:
        """See :class:`relayhub.web.quick.door.Desk`."""
        if door.lease is not None:
            door.lease.settle(KEPT * len(body))
        request_id, place = self._ids.new(REQUEST), self._places[head.path]
        visit = Visit(request_id, self, door, head, place, self.context.serving, principal, body, now)
        return visit.direct() or visit.task(visit.serve())

    def refuse(self, door: QuickDoor, head: QuickHead, request_id: str, error: RelayhubError) -> None:
        note_refused(error, request_id, "POST", shown_path(head.path), self.client(head, door.peer))
        manner = manner_of(head.path, head.headers, {}, self.context.server.base_path)
        told = answer_to(error, request_id, None if manner is None else render(error, request_id, manner))
        door.tell(told.status, told.headers, told.body)

    def too_slow(self, door: QuickDoor, head: QuickHead) -> None:
        """The body has not come in time."""
        self.refuse(door, head, self._ids.new(REQUEST), body_too_slow(self.body_timeout_s))

    def date(self) -> str:
        """See :class:`relayhub.web.quick.answer.Line`."""
        now = time.time()
        if not 0.0 <= now - self._date_at < 1.0:
            self._date_at = float(int(now))
            self._date = formatdate(self._date_at, usegmt=True)
        return self._date


QUICK = web.AppKey("relayhub_quick", QuickDesk)
