"""Several processes that serve one hub: begun, watched, replaced when they die, reloaded in turn, and ended together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from relayhub.running.board import Board
from relayhub.running.control import ControlError
from relayhub.running.post import Post
from relayhub.running.workers import Worker, begin
from relayhub.sdk.clock import Clock
from relayhub.types.json import JsonObject

log = structlog.get_logger("relayhub.workers")

READY_S = 60.0
"""How long a worker may take until it serves."""

STEADY_S = 10.0
"""Whoever lives so long did not die of being begun."""

MOST_STRIKES = 5
"""Early deaths in a row of one worker."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
"""Between the death of a worker and its replacement; twice as long after each early death."""

END_S = 45.0
"""How long a worker may take to end after its open answers have: paid steps of jobs get 30 s."""

RELOAD_S = 60.0
ASK_S = 5.0


class WorkersFailed(Exception):
    """They cannot be kept alive. ``status``: the exit status of the one that showed it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Slot:
    """A worker's place. ``strikes``: early deaths in a row."""

    number: int
    worker: Worker | None = None
    strikes: int = 0
    restarts: int = 0

    @property
    def serving(self) -> Worker | None:
        return self.worker if self.worker is not None and self.worker.ready is not None else None


@dataclass(frozen=True, slots=True)
class Rolled:
    """``done``: the workers that did it, in turn, and their ``answers``. ``stopped_at``: the first that did not; it and those
    behind it serve as before. ``why``: in its words."""

    done: tuple[int, ...] = ()
    answers: tuple[JsonObject, ...] = ()
    stopped_at: int | None = None
    why: str = ""


@dataclass(slots=True)
class Supervisor:
    """``command``: what a worker is run with. ``post``: what each of them inherits; its number is set here. ``drain_s``:
    asked for when they are to end. Use :meth:`run`; everything else is for while it runs."""

    command: Sequence[str]
    post: Callable[[int], Post]
    workers: int
    board: Board
    clock: Clock
    drain_s: Callable[[], float]
    slots: list[Slot] = field(init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _hastened: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: WorkersFailed | None = None
    _statuses: dict[int, int] = field(default_factory=dict)
    """How those that were told to end have ended."""
    _orders: int = 0

    def __post_init__(self) -> None:
        self.slots = [Slot(number) for number in range(1, self.workers + 1)]

    async def run(self, greet: Callable[[JsonObject], Awaitable[None]]) -> int:
        """Until all have ended, because :meth:`stop` was called; the exit status. ``greet``: once, when all serve, with what
        one of them says. Raises ``WorkersFailed``."""
        keepers = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        greeting = asyncio.create_task(self._greet(greet))
        ending = asyncio.create_task(self._end())
        try:
            await asyncio.gather(*keepers)
            if not greeting.done() and not self._ready.is_set():
                greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
        finally:
            for task in (*keepers, greeting, ending):
                task.cancel()
            await asyncio.gather(*keepers, greeting, ending, return_exceptions=True)
            for slot in self.slots:
                if slot.worker is not None:
                    slot.worker.kill()
                    await slot.worker.ended()
        if self._failed is not None:
            raise self._failed
        return 0 if not any(self._statuses.values()) else 1

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """The first time: all drain. The second time: they cut off what is open. From then on: they are killed."""
        self._orders += 1
        self._stopping.set()
        if self._orders > 1:
            self._hastened.set()
        for slot in self.slots:
            if slot.worker is not None:
                self._order(slot.worker)

    def _order(self, worker: Worker) -> None:
        match self._orders:
            case 1:
                worker.drain()
            case 2:
                worker.hasten()
            case _:
                worker.kill()

    async def _end(self) -> None:
        """Whoever does not end is ended."""
        await self._stopping.wait()
        await self._unless(self._hastened, self.drain_s())
        await self.clock.sleep(END_S)
        for slot in self.slots:
            if slot.worker is not None:
                log.error("worker.stuck", worker=slot.number, pid=slot.worker.pid)
                slot.worker.kill()

    # --- keeping them alive -------------------------------------------------------------------------------------------

    async def _keep(self, slot: Slot) -> None:
        while not self._stopping.is_set():
            try:
                worker = slot.worker = await begin(self.command, self.post(slot.number), self.clock.monotonic())
            except OSError as error:  # no process, no memory, no descriptor is free at the moment
                await self._not_begun(slot, error)
                continue
            if self._stopping.is_set():
                self._order(worker)
            learning = asyncio.create_task(self._learn(worker))
            status = await worker.ended()
            await asyncio.gather(learning)
            slot.worker = None
            self.board.clear(slot.number)
            if self._stopping.is_set():
                self._note_end(worker, status)
                return
            await self._after_death(slot, worker, status)

    async def _learn(self, worker: Worker) -> None:
        """Wait until it serves."""
        try:
            answer = await worker.ask("ready", READY_S)
        except ControlError as error:
            if worker.process.returncode is None and not self._stopping.is_set():
                log.error("worker.not_ready", worker=worker.number, pid=worker.pid, detail=str(error))  # noqa: TRY400
                await worker.put_down()
            return
        worker.ready = answer
        log.info("worker.ready", worker=worker.number, pid=worker.pid)
        if all(slot.serving for slot in self.slots):
            self._ready.set()

    def _note_end(self, worker: Worker, status: int) -> None:
        """Who had not begun to serve, and was told to end, has left nothing open."""
        self._statuses[worker.number] = 0 if worker.ready is None and status == -signal.SIGTERM else status
        if self._statuses[worker.number]:
            log.error("worker.ended", worker=worker.number, pid=worker.pid, **_told(status))

    async def _after_death(self, slot: Slot, worker: Worker, status: int) -> None:
        lived_s = self.clock.monotonic() - worker.began
        early = worker.ready is None or lived_s < STEADY_S
        slot.strikes = slot.strikes + 1 if early else 0
        slot.restarts += 1
        log.error("worker.ended", worker=slot.number, pid=worker.pid, lived_s=round(lived_s, 1), **_told(status))
        if not self._ready.is_set():
            self._give_up(f"worker {slot.number} ended before it served ({_said(status)}); its log says why", status)
        elif self._hopeless():
            self._give_up(f"no worker stays alive: each has died {MOST_STRIKES} times as it began", status)
        else:
            await self._unless(self._stopping, pause_s(slot.strikes))

    async def _not_begun(self, slot: Slot, error: OSError) -> None:
        slot.strikes += 1
        log.error("worker.not_begun", worker=slot.number, detail=str(error))
        if self._ready.is_set():
            await self._unless(self._stopping, pause_s(slot.strikes))
        else:
            self._give_up(f"worker {slot.number} could not be begun: {error}", 1)

    def _hopeless(self) -> bool:
        return all(slot.strikes >= MOST_STRIKES and not slot.serving for slot in self.slots)

    def _give_up(self, message: str, status: int) -> None:
        if self._failed is None:
            self._failed = WorkersFailed(message, status if status > 0 else 1)
            self.stop()

    async def _unless(self, sooner: asyncio.Event, wait_s: float) -> None:
        """Wait, or until ``sooner`` is set."""
        waiting = asyncio.create_task(sooner.wait())
        sleeping = asyncio.create_task(self.clock.sleep(wait_s))
        try:
            await asyncio.wait((waiting, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()

    async def _greet(self, greet: Callable[[JsonObject], Awaitable[None]]) -> None:
        await self._ready.wait()
        await greet(next(slot.serving.ready for slot in self.slots if slot.serving and slot.serving.ready))

    # --- asking them --------------------------------------------------------------------------------------------------

    async def reload(self) -> Rolled:
        """One after another; stops at the first that does not do it. One that is being replaced reads the config anyway."""
        rolled = Rolled()
        for slot in self.slots:
            worker = slot.serving
            if worker is None:
                continue
            try:
                answer = await worker.ask("reload", RELOAD_S)
            except ControlError as error:
                return replace(rolled, stopped_at=slot.number, why=str(error))
            if not answer.get("ok"):
                why = str(answer.get("problems") or answer.get("error") or "it does not say why")
                return replace(rolled, stopped_at=slot.number, why=why)
            rolled = Rolled((*rolled.done, slot.number), (*rolled.answers, answer))
        return rolled

    async def statuses(self) -> list[JsonObject]:
        """Of each, in order."""
        return list(await asyncio.gather(*(self._status(slot) for slot in self.slots)))

    async def _status(self, slot: Slot) -> JsonObject:
        worker = slot.worker
        told: JsonObject = {"worker": slot.number, "restarts": slot.restarts}
        if worker is None:
            return {**told, "state": "restarting", "pid": None}
        told = {**told, "pid": worker.pid}
        if worker.ready is None:
            return {**told, "state": "starting"}
        try:
            said = await worker.ask("status", ASK_S)
        except ControlError:
            return {**told, "state": "silent"}
        return {**said, **told, "state": "draining" if self._stopping.is_set() else "serving"}


def pause_s(strikes: int) -> float:
    """After so many early deaths in a row."""
    wanted: float = min(FIRST_PAUSE_S * 2.0**strikes, LONGEST_PAUSE_S)
    return wanted


def _told(status: int) -> dict[str, int | str]:
    return {"signal": signal.Signals(-status).name} if status < 0 else {"exit_code": status}


def _said(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit code {status}"
