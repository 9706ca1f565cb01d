"""Transports for tests that never send."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from relayhub.sdk.transport import UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest


class NoTransport:
    """A :class:`relayhub.sdk.Transport` that fails the test if anything is sent."""

    def send(self, request: HttpRequest, deadlines: Deadlines) -> AbstractAsyncContextManager[UpstreamReply]:
        raise AssertionError(f"nothing may be sent here: {request.method} {request.url} ({deadlines})")

    async def close(self) -> None:
        return
