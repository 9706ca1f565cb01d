"""One worker process, as its supervisor has it: begun, asked, and ended."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from relayhub.running.control import MAX_LINE, ControlError, answer_of, question
from relayhub.running.post import Post
from relayhub.types.json import JsonObject

LAST_WORDS_S = 0.5
"""So long a process whose channel is closed may take to end."""


@dataclass(slots=True)
class Worker:
    """Begin one with :func:`begin`."""

    number: int
    process: asyncio.subprocess.Process
    began: float
    """Monotonic."""
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _asking: asyncio.Lock
    owed: int = 0
    """Answers that are still to come, those that nobody waits for any more among them."""
    ready: JsonObject | None = None
    """What it said when it began to serve."""

    @property
    def pid(self) -> int:
        return self.process.pid

    async def ask(self, verb: str, within_s: float) -> JsonObject:
        """One question at a time. Raises ``ControlError`` if it does not answer."""
        try:
            async with asyncio.timeout(within_s), self._asking:
                return await self._ask(verb)
        except TimeoutError as error:
            raise ControlError(f"worker {self.number} did not answer within {within_s:g} s") from error
        except OSError as error:
            raise ControlError(f"worker {self.number} has ended") from error

    async def _ask(self, verb: str) -> JsonObject:
        self.owed += 1
        self._writer.write(question(verb))
        await self._writer.drain()
        while True:
            line = await self._reader.readline()
            self.owed -= 1
            if not self.owed or not line:
                return answer_of(line)

    async def ended(self) -> int:
        """Its exit status; negative: the signal that ended it."""
        status = await self.process.wait()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        return status

    def drain(self) -> None:
        """Idempotent: it may have been told by somebody else."""
        self._signal(signal.SIGTERM)

    def hasten(self) -> None:
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def put_down(self) -> None:
        """End it, unless it is ending by itself: whoever sends a signal just then takes its exit status away."""
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.process.wait()
        except TimeoutError:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


async def begin(command: Sequence[str], post: Post, now: float) -> Worker:
    """``command``: what it is run with, without its post. It has a session of its own, so that a Ctrl-C is its supervisor's
    to pass on. ``post.channel`` is made here. Raises ``OSError``."""
    mine, its = socket.socketpair()
    with its:
        told = replace(post, channel=its.fileno())
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--as-worker",
                told.text(),
                stdin=subprocess.DEVNULL,
                pass_fds=told.descriptors,
                start_new_session=True,
            )
        except BaseException:
            mine.close()
            raise
    reader, writer = await asyncio.open_unix_connection(sock=mine, limit=MAX_LINE)
    return Worker(post.number, process, now, reader, writer, asyncio.Lock())
