"""The commonest of all calls: one answer in one piece, by a steady way, as the one before it and the one after."""

from __future__ import annotations

from relayhub.gateway.answers import WholeAnswer, unasked
from relayhub.gateway.attempt import Attempt
from relayhub.gateway.call import Call, DirectClient
from relayhub.gateway.course import Course
from relayhub.gateway.departure import Departure
from relayhub.gateway.direct import ASKING, RELAYING, SETTLING, DirectCall, Done, raising
from relayhub.gateway.tally import Tally, answered_row
from relayhub.routing.router import Router
from relayhub.sdk.clock import Clock
from relayhub.types.errors import RelayhubError
from relayhub.upstream.lean.reply import LeanReply

EVENT_STREAM = "text/event-stream"


class WholeCall(DirectCall):
    """A :class:`DirectCall` on a course that :attr:`~relayhub.gateway.course.Course.is_brief`. It makes its tally and its
    lane only where its course is not the plain one, which needs neither; what a stream needs it has not at all."""

    __slots__ = ("_clock", "_course", "_is_taken_up")

    def __init__(
        self,
        attempt: Attempt,
        course: Course,
        call: Call,
        client: DirectClient,
        router: Router,
        clock: Clock,
        done: Done,
    ) -> None:
        self._attempt = attempt
        self._course = course
        self._call = call
        self._client = client
        self._router = router
        self._clock = clock
        self._done = done
        self._stage = ASKING
        self._begun = self._trial = self._answer = self._task = None
        self._cancelled = self._is_taken_up = False

    def cancel(self) -> None:
        if self._stage is RELAYING:
            self._take_up()
        super().cancel()

    # The plain course

    def granted(self, refusal: RelayhubError | None) -> None:
        if refusal is not None:
            self._over(refusal)
            return
        self._stage = RELAYING
        call, route, way = self._call, self._course.route, self._course.way
        sent = False
        try:
            assert isinstance(call.body, bytes)
            self._trial = self._router.alone(route)
            body = way.codec.native_request(call.body, model=route.upstream_model, envelope=call.envelope)
            sent = True
            self._begun = way.transport.ask(way.prepared, body, route.provider.deadlines, self)
        except BaseException as error:  # a plugin's, which may raise anything
            self._take_up().sent = sent
            self._long(raising(error))

    def answered(self, media_type: str, body: bytes) -> None:
        """See :class:`relayhub.upstream.lean.brief.WholeListener`."""
        if self._stage is not RELAYING:
            return
        self._begun = None  # it is over, and has this
        call, course, now = self._call, self._course, self._clock.monotonic()
        route, way, trial = course.route, course.way, self._trial
        try:
            assert trial is not None
            trial.first_byte(now)
            if media_type == EVENT_STREAM:
                raise unasked(media_type)
            told, usage = way.codec.native_reply(body, way.view(call, course.resolved.model, route))
            answer = self._answer = WholeAnswer(told, usage)
            if usage is None:
                self._take_up(now).answered(self._lane, answer)
                self._settle()
                return
            record = self._record = answered_row(call, course.about, route, usage, self._clock, now)
            self._stage = SETTLING
            self._reservation.end(record, self._settled)
            self._attempt.settling.waits.begin(self)
        except BaseException as error:  # a plugin's
            self._take_up(now).settled = self._stage is SETTLING
            self._long(raising(error))

    # All others

    def replied(self, reply: LeanReply) -> None:
        if self._stage is RELAYING:
            self._take_up()
            super().replied(reply)

    def failed(self, error: BaseException) -> None:
        if self._stage is RELAYING:
            self._take_up()
            super().failed(error)

    def _take_up(self, first_byte_at: float | None = None) -> Tally:
        """As far as the call has come, by :class:`DirectCall`'s own means. ``first_byte_at``: of the answer, whose trial has
        heard of it."""
        if self._is_taken_up:
            return self._tally
        self._is_taken_up = True
        call, course = self._call, self._course
        tally = self._tally = Tally(call, course.resolved, self._client, self._clock, Departure(course.policy))
        tally.begin(course.route)
        tally.sent, tally.first_byte_at = True, first_byte_at
        tally.trial = self._trial if first_byte_at is None else None
        self._lane = course.way.lane(call, tally.model, course.route)
        return tally
