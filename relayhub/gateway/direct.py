"""A call on a steady way without a task of its own: each step is begun by what the one before has waited for.

Only the plain course is here: hold, request, answer, settlement. Whatever else happens (a failure, a client that is slow or
gone, an answer in several pieces) goes on in a task, by the same code as any other call's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import TypeAlias

from relayhub.accounts.admission import Asked
from relayhub.gateway.answers import WholeAnswer
from relayhub.gateway.attempt import Attempt
from relayhub.gateway.call import ClientLeft, DirectClient
from relayhub.gateway.lanes import NativeChat
from relayhub.gateway.relaying import StreamRelay
from relayhub.gateway.steady import SteadyWay
from relayhub.gateway.tally import Tally
from relayhub.routing.router import Router, Trial
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.upstream.lean.reply import LeanReply
from relayhub.upstream.lean.transport import Begun

Done: TypeAlias = "Callable[[BaseException | None], None]"


class Stage(Enum):
    ASKING = auto()
    """For the hold."""
    RELAYING = auto()
    SETTLING = auto()
    LONG = auto()
    """A task goes on with it."""
    OVER = auto()


ASKING, RELAYING, SETTLING, OVER = Stage.ASKING, Stage.RELAYING, Stage.SETTLING, Stage.OVER
_COMPLETED = Outcome.COMPLETED
"""Bound once: to look a member of an enumeration up takes the time of several function calls."""


class DirectCall:
    """``done`` is called once, from the loop, with what any other call's serving would have raised."""

    __slots__ = (
        "_answer",
        "_attempt",
        "_begun",
        "_call",
        "_cancelled",
        "_client",
        "_done",
        "_lane",
        "_last",
        "_record",
        "_relaying",
        "_reply",
        "_reservation",
        "_router",
        "_stage",
        "_tally",
        "_task",
        "_trial",
        "_way",
    )
    _lane: NativeChat
    _record: UsageRecord
    _relaying: StreamRelay
    _reply: LeanReply
    _reservation: Asked

    def __init__(
        self, attempt: Attempt, way: SteadyWay, tally: Tally, client: DirectClient, router: Router, done: Done
    ) -> None:
        self._attempt = attempt
        self._way = way
        self._tally = tally
        self._call = tally.call
        self._client = client
        self._router = router
        self._done = done
        self._stage = ASKING
        self._begun: Begun | None = None
        self._trial: Trial | None = None
        self._answer: WholeAnswer | None = None
        self._last = b""
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    def begin(self, asked: Asked) -> None:
        """``asked``: its hold, of which :meth:`granted` will be told. It counts as an open call from now on."""
        self._reservation = asked
        self._attempt.settling.open_calls.enter(self, self._call.principal.key_id)

    def cancel(self) -> None:
        """The client has left, or the hub ends the call. What is being settled is let come to its end."""
        match self._stage:
            case Stage.ASKING:
                self._reservation.give_up()
                by_hub = self._attempt.settling.open_calls.cancelled_by_hub(self)
                self._over(by_hub or ClientLeft())
            case Stage.RELAYING:
                assert self._begun is not None
                self._tally.sent = self._begun.sent
                self._long(None)
            case Stage.LONG if self._task is not None:
                self._task.cancel()
            case Stage.LONG:
                self._cancelled = True  # before its first step, a task would end without having tidied up
            case _:
                pass

    # The plain course

    def granted(self, refusal: RelayhubError | None) -> None:
        """What has become of its hold."""
        if refusal is not None:
            self._over(refusal)
            return
        self._stage = RELAYING
        tally, way = self._tally, self._way
        route = tally.route
        try:
            tally.begin_only(route)
            tally.trial = self._trial = self._router.alone(route)
            lane = self._lane = way.lane(self._call, tally.model, route)
            body = lane.body()
            if way.dropped:
                self._client.note_dropped(way.dropped)
            tally.sent = True
            self._begun = way.transport.begin(way.prepared, body, route.provider.deadlines, self)
        except BaseException as error:  # a plugin's, which may raise anything
            self._long(raising(error))

    def replied(self, reply: LeanReply) -> None:
        """The head of the answer is here."""
        if self._stage is not RELAYING:
            return
        self._reply = reply
        plain, stream = 200 <= reply.status < 300, self._call.envelope.stream
        body = reply.at_hand() if plain and not stream else None
        if body is not None:
            self._whole(reply, body)
        elif not (plain and stream):  # what comes in pieces may be large, and its memory must be counted
            self._long(self._attempt.answer(self._lane, reply, self._client, self._tally, self._reservation))
        else:
            try:
                read = self._tally.stream = self._lane.stream(reply.headers)
            except BaseException as error:  # a plugin's
                self._long(raising(error))
                return
            self._relaying = StreamRelay(read, self._client, self._tally)
            reply.pour(self, self._relaying.express())

    def failed(self, error: BaseException) -> None:
        """There is no answer, or no end of it."""
        if self._stage is RELAYING:
            self._long(raising(error))

    def _whole(self, reply: LeanReply, body: bytes) -> None:
        lane, tally = self._lane, self._tally
        try:
            tally.first_byte()
            answer = lane.passed_on(reply.headers, body)
            tally.answered(lane, answer)
            self._answer = answer
            self._settle()
        except BaseException as error:  # a plugin's
            self._long(raising(error))

    # The sink of a streamed answer

    def take(self, data: bytes) -> bool:
        """See :class:`relayhub.upstream.lean.sink.Sink`."""
        relaying = self._relaying
        if relaying.take(data):
            return True
        if relaying.waiting and self._stage is RELAYING:  # its client does not keep up
            self._long(self._attempt.rest(self._lane, self._reply, relaying, self._reservation))
        else:  # it says that it has ended, or was cancelled in this turn of the loop
            self.ended()
        return False

    def ended(self) -> None:
        """See :class:`relayhub.upstream.lean.sink.Sink`."""
        if self._stage is not RELAYING:
            return  # it was cancelled in this turn of the loop
        try:
            self._last = self._relaying.stream.finish()
            self._settle()
        except BaseException as error:  # a plugin's
            self._long(raising(error))

    # The end

    def _settle(self) -> None:
        record = self._record = self._tally.record(_COMPLETED)
        self._stage = SETTLING
        self._tally.settled = True
        self._reservation.end(record, self._settled)
        self._attempt.settling.waits.begin(self)

    def _settled(self, answer: object) -> None:
        """``answer``: of the ledger, which may say that it cannot."""
        if self._attempt.settling.waits.end(self):
            self._end(answer if isinstance(answer, BaseException) else None)

    def is_late(self) -> None:
        """See :class:`relayhub.gateway.equal_waits.Waiting`."""
        self._reservation.note_delayed(self._attempt.settling.waits.wait_s)
        self._end(None)

    def _end(self, problem: BaseException | None) -> None:
        """The client is given the end, unless there is a ``problem``."""
        answer = self._answer
        if problem is None:
            try:
                self._attempt.settling.log.finished(self._call, self._record)
                if answer is None:
                    self._client.give_end(self._last)
                else:
                    self._client.give(answer.body, answer.content_type)
            except Exception as error:
                problem = error
        try:
            if answer is None:  # else all of it was at hand, and its connection is free
                self._reply.leave()
            if self._trial is not None:
                self._trial.end(problem)
        finally:
            self._over(problem)

    def _over(self, problem: BaseException | None) -> None:
        self._stage = OVER
        self._attempt.settling.open_calls.leave(self)
        self._done(problem)

    # The long way

    def _long(self, work: Coroutine[object, object, None] | None) -> None:
        """Go on with ``work``; ``None``: it was cancelled."""
        self._stage = Stage.LONG
        asyncio.get_running_loop().create_task(self._go_on(work)).add_done_callback(self._gone_on)

    async def _go_on(self, work: Coroutine[object, object, None] | None) -> None:
        self._task = asyncio.current_task()
        rest = self._tried(work)
        try:
            await self._attempt.settling.attended(rest, self._tally, self._reservation, self)
        except asyncio.CancelledError:
            self._attempt.settling.tell_cut(self._tally, self)  # if it was while it settled
            raise
        finally:
            if not self._reservation.ended:
                await self._reservation.release()

    async def _tried(self, work: Coroutine[object, object, None] | None) -> None:
        problem: BaseException | None = None
        try:
            if work is None or self._cancelled:
                raise asyncio.CancelledError
            await self._attempt.only(work, self._tally)
        except BaseException as error:
            problem = error
            raise
        finally:
            if work is not None:
                work.close()
            self._let_go(problem)
            problem = None  # its traceback has this frame: each would keep the other, and all that the call has

    def _let_go(self, problem: BaseException | None) -> None:
        if problem is None:
            self._reply.leave()
        elif self._begun is not None:
            self._begun.abort()
        if self._trial is not None:
            self._trial.end(problem)

    def _gone_on(self, task: asyncio.Task[None]) -> None:
        problem = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._task = self._begun = None
        if isinstance(problem, (RelayhubError, ClientLeft)):
            without_frames(problem)
        self._over(problem)


def without_frames(error: BaseException | None) -> None:
    """Who is told of it has no use for where it was raised; and the frames have the call, which has them."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


async def raising(error: BaseException) -> None:
    try:
        raise error
    finally:
        del error  # its traceback has this frame
