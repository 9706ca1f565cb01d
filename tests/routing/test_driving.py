"""Driving a wire's operation: after the paid request nothing that fails can be tried elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from relayhub.routing.capabilities import Capabilities
from relayhub.routing.driving import Driven
from relayhub.routing.provider import Provider
from relayhub.sdk import Steps
from relayhub.types.errors import ErrorKind, UpstreamError, invalid_request
from relayhub.types.http import Deadlines, Effect, HttpRequest
from relayhub.upstream.faults import broke_off, not_reached

FREE = HttpRequest("GET", "https://up.example/free", effect=Effect.NONE)
PAID = HttpRequest("POST", "https://up.example/paid")


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        yield b"{}"


@dataclass
class Line:
    """Fails at the request of this number, from 1."""

    fails_at: int
    failure: UpstreamError
    sent: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def send(self, request: HttpRequest, _deadlines: Deadlines) -> AsyncIterator[Reply]:
        self.sent.append(request.method)
        if len(self.sent) == self.fails_at:
            raise self.failure
        yield Reply()

    async def close(self) -> None:
        return


def steps(*requests: HttpRequest) -> Steps[str]:
    for request in requests:
        reply = yield request
        assert reply.status == 200
    return "done"


async def failure_of(line: Line, *requests: HttpRequest) -> UpstreamError:
    driven = Driven[str](Provider("up", "up", Capabilities({}), line, Deadlines(), {}, {}))
    with pytest.raises(UpstreamError) as failed:
        await driven.run(steps(*requests), 10)
    return failed.value


async def test_before_the_paid_request_nothing_was_delivered() -> None:
    error = await failure_of(Line(1, broke_off("x")), FREE, PAID)
    assert not error.delivered


async def test_a_paid_request_that_never_left_may_go_elsewhere() -> None:
    error = await failure_of(Line(2, not_reached("x")), FREE, PAID)
    assert (error.delivered, error.retryable) == (False, True)


async def test_a_paid_request_that_broke_off_may_not() -> None:
    assert (await failure_of(Line(2, broke_off("x")), FREE, PAID)).delivered


async def test_a_free_request_after_the_paid_one_that_fails_may_not_either() -> None:
    error = await failure_of(Line(3, not_reached("x")), FREE, PAID, FREE)
    assert (error.delivered, error.retryable) == (True, False)


async def test_a_second_paid_request_is_never_sent() -> None:
    line = Line(9, not_reached("x"))
    error = await failure_of(line, PAID, PAID)
    assert line.sent == ["POST"]
    assert (error.kind, error.delivered) == (ErrorKind.UPSTREAM_FAILED, True)


async def test_a_wires_complaint_about_the_request_after_the_paid_step_is_no_refusal() -> None:
    def complaining() -> Steps[str]:
        yield PAID
        raise invalid_request("too late")

    driven = Driven[str](Provider("up", "up", Capabilities({}), Line(9, not_reached("x")), Deadlines(), {}, {}))
    with pytest.raises(UpstreamError) as failed:
        await driven.run(complaining(), 10)
    assert (failed.value.delivered, failed.value.retryable) == (True, False)


RAISED = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, MemoryError, RuntimeError]


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("after", [0, 1])
async def test_whatever_a_wire_raises_is_its_providers_failure(kind: type[BaseException], after: int) -> None:
    def failing() -> Steps[str]:
        yield from steps(*[PAID] * after)
        raise kind("on purpose")

    driven = Driven[str](Provider("up", "up", Capabilities({}), Line(9, not_reached("x")), Deadlines(), {}, {}))
    with pytest.raises(UpstreamError) as failed:
        await driven.run(failing(), 10)
    assert (failed.value.code, failed.value.delivered) == ("provider_failed", bool(after))


@pytest.mark.parametrize("kind", RAISED)
async def test_what_a_wire_raises_as_it_is_closed_changes_nothing(kind: type[BaseException]) -> None:
    def tidying() -> Steps[str]:
        try:
            yield PAID
        finally:
            raise kind("on purpose")

    driven = Driven[str](Provider("up", "up", Capabilities({}), Line(1, broke_off("x")), Deadlines(), {}, {}))
    with pytest.raises(UpstreamError) as failed:
        await driven.run(tidying(), 10)
    assert (failed.value.code, failed.value.delivered) == ("upstream_disconnected", True)


async def test_a_cancellation_passes_through_a_wire() -> None:
    waiting = asyncio.Event()

    class Silent(Line):
        @asynccontextmanager
        async def send(self, _request: HttpRequest, _deadlines: Deadlines) -> AsyncIterator[Reply]:
            waiting.set()
            await asyncio.Event().wait()
            yield Reply()

    line = Silent(9, not_reached("x"))
    driven = Driven[str](Provider("up", "up", Capabilities({}), line, Deadlines(), {}, {}))
    running = asyncio.create_task(driven.run(steps(PAID), 10))
    await waiting.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
