"""One call from admission to settlement: the story of DESIGN's "One call, top to bottom", in that order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from relayhub.accounts.admission import Admission, Reservation
from relayhub.accounts.quote import Quote
from relayhub.gateway.attempt import Attempt
from relayhub.gateway.call import Call, Client, DirectClient
from relayhub.gateway.conversation import Conversation, Conversations
from relayhub.gateway.course import Courses
from relayhub.gateway.departure import Departure, LeavingTerms
from relayhub.gateway.direct import DirectCall, Done
from relayhub.gateway.draining import Drains
from relayhub.gateway.hedging import hedged
from relayhub.gateway.lanes import Codecs, Lane, choose_lane, view_of
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.settling import Settling
from relayhub.gateway.steady import SteadyWay, SteadyWays
from relayhub.gateway.tally import Tally, about_of
from relayhub.gateway.whole_call import WholeCall
from relayhub.plugins.isolation import is_own
from relayhub.routing.catalog import Catalog, Resolved, Route
from relayhub.routing.router import Router, Way
from relayhub.sdk.clock import Clock
from relayhub.types.call import Operation
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError, UpstreamError
from relayhub.types.on_disconnect import OnDisconnect

GENERATING = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.TRANSCRIPTION, Operation.TRANSLATION})
"""Operations whose output is tokens, which the hold must cover."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Serves calls. Everything it needs is handed in; it keeps no state of its own."""

    catalog: Catalog
    codecs: Codecs
    admission: Admission
    open_calls: OpenCalls
    clock: Clock
    bytes_per_token: int
    conversations: Conversations
    router: Router
    leaving: LeavingTerms = field(default_factory=LeavingTerms)
    drains: Drains = field(default_factory=Drains)
    steady_ways: SteadyWays = field(init=False)
    courses: Courses = field(init=False)
    settling: Settling = field(init=False)
    attempt: Attempt = field(init=False)

    def __post_init__(self) -> None:
        settling = Settling(self.open_calls)
        ways = SteadyWays(self.codecs)
        object.__setattr__(self, "steady_ways", ways)
        object.__setattr__(self, "courses", Courses(self.catalog, ways, self.leaving, self.clock))
        object.__setattr__(self, "settling", settling)
        object.__setattr__(self, "attempt", Attempt(self.conversations, settling))

    async def serve(self, call: Call, client: Client) -> None:
        """Answer ``call``. Raises :class:`RelayhubError` for the ingress to render: before the head was sent it becomes
        a status, after it the dialect's error event. However this ends, the call has left exactly one usage row if it
        was admitted, and its hold is settled or released."""
        resolved = self.catalog.resolve(call.envelope.model, call.principal, call.operation, call.provider)
        self.router.order(resolved.routes)  # where nobody can take it, it fails before anything is held
        may_drain = isinstance(call.body, bytes)  # any other body goes with its client
        departure = self.leaving.departure(call.principal, resolved.routes, may_drain=may_drain)
        tally = Tally(call, resolved, client, self.clock, departure)
        if departure.policy is not OnDisconnect.DRAIN:
            await self._serve(call, resolved, client, tally)
            return
        await self.drains.serve(
            lambda sheltered: self._serve(call, resolved, sheltered, tally),
            client,
            tally,
            self.leaving,
            self.open_calls,
        )

    def begin(self, call: Call, client: DirectClient, done: Done) -> DirectCall | None:
        """The same without a task: ``done`` is called with what :meth:`serve` would have raised. ``None``: nothing has
        happened, and the call needs :meth:`serve`. Raises what finding its way raises."""
        course = self.courses.of(call)
        if course is None or self.router.ordering is not None or not self.router.health.is_well(course.route):
            return None
        about, user = course.about, call.envelope.user
        if user is not None:
            about = about_of(call, course.resolved.model, course.route, user)
        amount_nano, tokens = self._estimate_one(call, course.route)
        direct: DirectCall
        if course.is_brief:
            direct = WholeCall(self.attempt, course, call, client, self.router, self.clock, done)
        else:
            tally = Tally(call, course.resolved, client, self.clock, Departure(course.policy))
            direct = DirectCall(self.attempt, course.way, tally, client, self.router, done)
        direct.begin(self.admission.ask(call.principal, amount_nano, call.id, about, tokens, direct.granted))
        return direct

    async def _serve(self, call: Call, resolved: Resolved, client: Client, tally: Tally) -> None:
        with self.open_calls.track(call.principal.key_id):
            amount_nano, tokens = self._estimate(call, resolved)
            admitted = self.admission.admit(call.principal, amount_nano, call.id, tally.about(), tokens=tokens)
            try:
                async with admitted as reservation:
                    work = self._attempts(resolved, call, client, tally, reservation)
                    await self.settling.attended(work, tally, reservation)
            except asyncio.CancelledError:
                self.settling.tell_cut(tally)  # if it was while it asked for its hold
                raise

    def quote(self, call: Call) -> Quote:
        """What the call would hold; nothing is held, and nothing is sent. Raises ``ClientError``."""
        resolved = self.catalog.resolve(call.envelope.model, call.principal, call.operation, call.provider)
        cost_nano, tokens = self._estimate(call, resolved)
        return Quote(resolved.model, resolved.routes[0].price, cost_nano, tokens)

    def _estimate(self, call: Call, resolved: Resolved) -> tuple[int, int]:
        """Cost and tokens, of the route that has most of them: any of them may have to serve it."""
        nano = tokens = 0
        for route in resolved.routes:
            cost, size = self._estimate_one(call, route)
            nano, tokens = max(nano, cost), max(tokens, size)
        hedges = self.router.hedge_after_s(call.operation) is not None and len(resolved.routes) > 1
        return (2 * nano if hedges else nano), tokens

    def _estimate_one(self, call: Call, route: Route) -> tuple[int, int]:
        envelope, per_token, body = call.envelope, self.bytes_per_token, call.body
        text_bytes = len(body) if envelope.text_bytes is None and type(body) is bytes else call.size()
        body_bytes = text_bytes + envelope.media_tokens * per_token
        output_cap = (envelope.output_cap or route.max_output_tokens) if call.operation in GENERATING else None
        return route.price.estimate(body_bytes, per_token, output_cap, envelope.choices)

    async def _attempts(
        self, resolved: Resolved, call: Call, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        """Try the routes in the router's order. The next one is tried only where this one certainly did not execute the
        request (or the operator chose to repeat chat), and nothing of its answer has been shown to the client (a
        keep-alive comment is not an answer); or where the request cannot be said in this one's language."""
        if len(resolved.routes) == 1 and (steady := self._steady(call, resolved.routes[0])) is not None:
            return await self._try_steady(steady, client, tally, reservation)
        failure: RelayhubError | None = None
        conversation = self._conversation(call)
        bound_to = None if len(resolved.routes) < 2 else await _bound_to(conversation)
        way = self.router.way(resolved.routes, call.operation, bound_to, lambda: call.view(resolved.model))
        for route in way:
            lane = self._lane(call, resolved.model, route, witness=len(resolved.routes) > 1)
            if lane is None:
                continue
            tally.begin(route)
            try:
                return await self._run(way, lane, conversation, client, tally, reservation)
            except ClientError as error:
                failure = failure or error
            except UpstreamError as error:
                self.settling.log.attempt_failed(tally, error)
                shown = tally.stream is not None and tally.stream.started
                if tally.departure.left or not way.goes_on(error, shown=shown):
                    raise
                failure = error
        raise failure or _not_spoken(resolved, call)

    def _steady(self, call: Call, route: Route) -> SteadyWay | None:
        if self.router.ordering is not None:
            return None  # a plugin may have something against it
        try:
            return self.steady_ways.of(call, route)
        except BaseException as error:
            if not is_own(error):
                raise
            return None  # the long way finds the same fault, and says whose it is

    async def _try_steady(self, steady: SteadyWay, client: Client, tally: Tally, reservation: Reservation) -> None:
        """The only attempt there can be, by a way whose requests are prepared but for their body."""
        route = tally.route
        tally.begin(route)
        way = Way(self.router, (route,), tally.call.operation)
        with way.trying(route) as tally.trial:
            await self.attempt.only(self._steadily(steady, client, tally, reservation), tally)

    async def _steadily(self, steady: SteadyWay, client: Client, tally: Tally, reservation: Reservation) -> None:
        lane = steady.lane(tally.call, tally.model, tally.route)
        await self.attempt.exchange(steady, lane, lane.body(), client, tally, reservation)

    def _lane(self, call: Call, model: str, route: Route, *, witness: bool) -> Lane | None:
        view = view_of(call, route.model or model, route, int(self.clock.now()))
        return choose_lane(self.codecs, call, view, route, witness=witness)

    async def _run(
        self,
        way: Way,
        lane: Lane,
        conversation: Conversation | None,
        client: Client,
        tally: Tally,
        reservation: Reservation,
    ) -> None:
        """One attempt; with hedging, perhaps a second one beside it."""
        attempt = self._try(way, lane, conversation, client, tally, reservation)
        after_s = self.router.hedge_after_s(tally.call.operation)
        if after_s is None:
            await attempt
            return
        model = tally.model

        def second() -> tuple[Tally, Coroutine[object, object, None]] | None:
            route = None if tally.departure.left else way.beside()
            other = None if route is None else self._lane(tally.call, model, route, witness=True)
            if route is None or other is None:
                return None
            fork = tally.fork(route)
            return fork, self._try(way, other, conversation, client, fork, reservation)

        await hedged(tally, attempt, after_s, second)

    async def _try(
        self,
        way: Way,
        lane: Lane,
        conversation: Conversation | None,
        client: Client,
        tally: Tally,
        reservation: Reservation,
    ) -> None:
        with way.trying(tally.route) as tally.trial:
            work = self.attempt.run(lane, conversation, client, tally, reservation)
            await self.attempt.isolated(work, tally)

    def _conversation(self, call: Call) -> Conversation | None:
        codec = self.codecs.client(call.dialect)
        return None if codec is None else self.conversations.of(codec, call)


async def _bound_to(conversation: Conversation | None) -> str | None:
    """Whose signed thinking the conversation carries: to any other it means nothing."""
    if conversation is None:
        return None
    try:
        return await conversation.last_provider()
    except ClientError:
        return None  # if it must be decoded, the lane that needs it says what is wrong


def _not_spoken(resolved: Resolved, call: Call) -> ClientError:
    """The model exists and its operation is allowed, but no provider of it has a way to do it."""
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"No provider of the model {resolved.model!r} serves {call.operation.value} in the API of this endpoint.",
        code="operation_not_supported",
        param="model",
    )
