"""Driving a wire's operation, and knowing at every moment whether money may have been spent."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import structlog

from relayhub.dialects.redact import without_places
from relayhub.plugins.isolation import is_own
from relayhub.routing.provider import Provider
from relayhub.sdk.provider import Steps
from relayhub.types.errors import ErrorKind, RelayhubError, UpstreamError
from relayhub.types.http import Effect, HttpReply, HttpRequest
from relayhub.upstream.body import read_whole
from relayhub.upstream.memory import Lease
from relayhub.upstream.steps import MAX_STEPS

T = TypeVar("T")

UNAVAILABLE = 503
_WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")
"""What an upstream's codes and the names of its fields look like."""

log = structlog.get_logger("relayhub.provider")


@dataclass(slots=True)
class Driven(Generic[T]):
    """``hosts``: which upstream hosts were asked; links to them are the upstream's own. ``taken``: the paid request was
    answered, and not with a refusal: from then on nothing can be asked for elsewhere."""

    provider: Provider
    paid_sent: bool = False
    taken: bool = False
    ambiguous: bool = False
    hosts: set[str] = field(default_factory=set)
    lease: Lease = field(init=False)
    """Of the answers: of the largest, as most operations have one at most that counts."""

    def __post_init__(self) -> None:
        self.lease = self.provider.memory.lease()

    async def run(self, steps: Steps[T], total_s: float) -> T:
        """To the end, within ``total_s`` seconds. Raises ``RelayhubError``; an ``UpstreamError`` says in ``delivered``
        whether the paid request may have been executed, and whatever else goes wrong in a wire becomes one."""
        try:
            async with asyncio.timeout(total_s):
                return await self._run(steps)
        except TimeoutError as error:
            raise _too_long(total_s, delivered=self.paid_sent) from error
        except UpstreamError as error:
            self._judge(error)
            raise
        except RelayhubError as error:
            if not self.taken:
                raise
            raise _broken(self.provider, delivered=True) from error
        except BaseException as error:
            # Plugin isolation: a wire's own bug is that provider's failure, never the hub's.
            if not is_own(error):
                raise
            log.exception("provider.failed", provider=self.provider.name)
            raise _broken(self.provider, delivered=self.paid_sent) from error
        finally:
            self._close(steps)
            self.lease.settle(0)

    def _close(self, steps: Steps[T]) -> None:
        """A wire may clean up, but not change what came of its operation."""
        try:
            steps.close()
        except BaseException:
            # Plugin isolation; nothing is awaited here.
            log.exception("provider.failed", provider=self.provider.name)

    def _judge(self, error: UpstreamError) -> None:
        """Only a connection that was never made, a 4xx and a 503 are refusals, whatever a wire makes of the answer; but a
        200 may hold a refusal, which only the wire can read."""
        if self.ambiguous:
            error.delivered, error.retryable = True, False
        else:
            error.delivered = error.delivered and self.paid_sent
        error.message = without_places(error.message)
        for name in ("code", "param", "type"):
            said = getattr(error, name)
            if said is not None and not _WORD.fullmatch(said):
                setattr(error, name, None if name != "code" else "upstream_rejected")

    async def _run(self, steps: Steps[T]) -> T:
        try:
            request = next(steps)
            for _ in range(MAX_STEPS):
                request = steps.send(await self._exchange(request))
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError(f"the operation did not end within {MAX_STEPS} requests")

    async def _exchange(self, request: HttpRequest) -> HttpReply:
        self.hosts.add(host_of(request.url))
        if request.effect is not Effect.PAID:
            return await self._send_unpaid(request)
        if self.paid_sent:
            raise RuntimeError("a second paid request within one operation")
        self.paid_sent = True
        try:
            reply = await self._send(request)
        except UpstreamError as error:
            self.paid_sent = error.delivered
            raise
        refused = 400 <= reply.status < 500 or reply.status == UNAVAILABLE
        self.taken = not refused
        self.ambiguous = self.taken and not 200 <= reply.status < 300
        return reply

    async def _send_unpaid(self, request: HttpRequest) -> HttpReply:
        """Before the paid request it changes nothing; after it, the money is spent whatever becomes of this one."""
        try:
            return await self._send(request)
        except UpstreamError as error:
            if self.paid_sent:
                error.delivered, error.retryable = True, False
            raise

    async def _send(self, request: HttpRequest) -> HttpReply:
        async with self.provider.send(request) as reply:
            return await read_whole(reply, self.lease)


def host_of(url: str) -> str:
    """Scheme, name and port."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _too_long(total_s: float, *, delivered: bool) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_TIMEOUT,
        f"The upstream did not answer within {total_s:g} s.",
        code="upstream_timeout",
        retryable=not delivered,
        delivered=delivered,
    )


def _broken(provider: Provider, *, delivered: bool) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The provider of this model failed while handling the request; the operator's log has the reason.",
        code="provider_failed",
        retryable=False,
        delivered=delivered,
        detail=f"the plugin of provider {provider.name!r} raised",
    )
