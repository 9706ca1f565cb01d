"""The server's loop goes on whatever a task that a plugin left behind raises; its own end and a person end it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest
import uvloop
from structlog.testing import capture_logs

from relayhub.cli.steady import run_steadily

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(autouse=True)
def _interrupts() -> Iterator[None]:
    """A closed loop may leave its handler behind."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def leave(error: BaseException) -> None:
    raise error


@LOOPS
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_others_raise_ends_only_them(new_loop: NewLoop, kind: type[BaseException]) -> None:
    async def other() -> None:
        leave(kind(3))

    async def work() -> str:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # as a server does
        tasks = [asyncio.create_task(other()) for _ in range(3)]
        loop.call_soon(leave, kind(4))
        await asyncio.wait(tasks)
        assert all(task.exception() for task in tasks)
        return "done"

    with capture_logs() as logs:
        assert run_steadily(work(), new_loop) == "done"
    assert {entry["event"] for entry in logs} == {"loop.left"}
    assert {entry["raised"] for entry in logs} == {kind.__name__}


@LOOPS
@pytest.mark.parametrize("error", [SystemExit(3), ValueError("own")])
def test_its_own_end_is_its_end(new_loop: NewLoop, error: BaseException) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        leave(error)

    with pytest.raises(type(error)):
        run_steadily(work(), new_loop)


@LOOPS
def test_a_person_ends_it_before_it_takes_signals_itself(new_loop: NewLoop) -> None:
    cleaned: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_steadily(work(), new_loop)
    assert cleaned == [True]
