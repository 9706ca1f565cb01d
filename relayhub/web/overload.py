"""Refusing early what would be too much: nothing waits in a queue, and health checks are always answered."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relayhub.sdk.clock import Clock
from relayhub.types.errors import ErrorKind, HubError
from relayhub.types.share import WHOLE, Share
from relayhub.upstream.memory import GIVE_BACK_S, BodyMemory, Lease
from relayhub.web.machine import MOST_MEMORY, Machine

HEALTH_PATHS = ("/api/health", "/livez", "/readyz")

MEMORY_PER_REQUEST = 1 << 20
"""Bytes; a stream has a quarter of that, a large body more."""

KEPT_DESCRIPTORS = 64
"""For the store, logs, files in use, and clients who only want to know whether the hub is well."""

PER_CLIENT = 2
"""Descriptors: one to the client, one to its upstream."""

HEALTH_ROOM = 16
"""Connections beyond the limit that are let in, to be asked for health and nothing else."""

LEASE = web.RequestKey("relayhub_memory", Lease)
"""Counts a request's body, until the request is over."""

LOOK_S = 0.25
"""Between two looks at the machine."""

RETRY_AFTER_S = 1.0
SHORT = "memory is short"

SHED = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nx-should-retry: true\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)
"""To a connection that is not even read."""


class Overload:
    """What is under way, against what this process can carry. ``max_in_flight``, ``max_clients``: the operator's own
    limits; by default they follow the machine, also when its limits change. ``share``: of the processes for which they are
    meant together. ``memory``: for bodies that are held whole."""

    def __init__(
        self,
        clock: Clock,
        max_in_flight: int | None = None,
        max_clients: int | None = None,
        machine: Machine | None = None,
        share: Share = WHOLE,
        memory: BodyMemory | None = None,
    ) -> None:
        self._clock = clock
        self._machine = machine or Machine(share=share.of)
        self._share = share
        self.memory = memory or BodyMemory()
        self._looked_at = self._gave_back_at = float("-inf")
        self._memory_short = False
        self._by_memory = max(1, self._machine.memory() // MEMORY_PER_REQUEST)
        self._by_descriptors = self._descriptors_allow()
        self.limit(max_in_flight, max_clients)
        self.clients = 0
        self.in_flight = 0

    def max_clients(self) -> int:
        return self._by_descriptors if self._max_clients is None else self._max_clients

    def _descriptors_allow(self) -> int:
        return max(1, (self._machine.descriptors() - KEPT_DESCRIPTORS) // PER_CLIENT)

    def max_in_flight(self) -> int:
        if self._max_in_flight is not None:
            return self._max_in_flight
        return min(self._by_memory, self.max_clients())

    def limit(self, max_in_flight: int | None, max_clients: int | None) -> None:
        """Other limits from now on; nobody is sent away for them."""
        self._max_in_flight = None if max_in_flight is None else self._share.part(max_in_flight)
        self._max_clients = None if max_clients is None else self._share.part(max_clients)
        self._work_out()

    def _work_out(self) -> None:
        self._most_clients, self._most_in_flight = self.max_clients(), self.max_in_flight()

    def enter(self) -> bool:
        """A client connects. ``False``: there is no room, not even for a health check; :meth:`leave` is not to be called
        then."""
        if self.clients >= self._most_clients + HEALTH_ROOM:
            return False
        self.clients += 1
        return True

    def leave(self) -> None:
        self.clients -= 1

    def reason(self, now: float | None = None) -> str | None:
        """Why no request can be taken now. ``now``: the caller's monotonic seconds, from the same clock."""
        if now is None:
            now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._look(now)
        if self.in_flight >= self._most_in_flight:
            return "as many requests as it may are under way"
        if self.clients > self._most_clients:
            return "as many clients as it may are connected"
        return SHORT if self._memory_short or self.memory.crowded() else None

    def _look(self, now: float) -> None:
        self._looked_at = now
        self._memory_short = self._machine.memory_share() > MOST_MEMORY and not self._helped(now)
        self._by_descriptors = self._descriptors_allow()
        self._work_out()

    def _helped(self, now: float) -> bool:
        """Whether it was enough to hand back what nobody uses."""
        if now - self._gave_back_at < GIVE_BACK_S:
            return False
        self._gave_back_at = now
        self._machine.give_back()
        return self._machine.memory_share() <= MOST_MEMORY


OVERLOAD = web.AppKey("relayhub_overload", Overload)


def shedding(overload: Overload, base_path: str) -> Middleware:
    """Below the rendering of errors, above everything that does work: a body that is refused is not read."""
    exempt = frozenset(f"{base_path}{path}" for path in HEALTH_PATHS)

    @web.middleware
    async def shed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in exempt:
            return await handler(request)
        reason = overload.reason()
        if reason is not None:
            raise overloaded(reason)
        overload.in_flight += 1
        try:
            with overload.memory.lease() as request[LEASE]:
                return await handler(request)
        finally:
            overload.in_flight -= 1

    return shed


def overloaded(reason: str) -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server is busy at the moment; try again in a second.",
        code="overloaded",
        detail=reason,
        retry_after_s=RETRY_AFTER_S,
    )
