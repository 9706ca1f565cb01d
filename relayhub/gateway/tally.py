"""What is known of a call while it runs, and the usage row that it leaves."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from relayhub.gateway.answers import LaneStream, WholeAnswer
from relayhub.gateway.call import Call, Client
from relayhub.gateway.departure import Departure
from relayhub.gateway.lanes import CHARS_PER_TOKEN, Lane
from relayhub.routing.catalog import Resolved, Route
from relayhub.routing.router import Trial
from relayhub.sdk.clock import Clock
from relayhub.store.intents import HoldAbout
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.types.usage import Usage

ANSWERED = 200

NOTHING = Usage()

_COMPLETED, _LEFT = Outcome.COMPLETED, Outcome.CLIENT_LEFT
"""Bound once: to look a member of an enumeration up takes the time of several function calls."""

FAR_BEYOND = 4
"""So many times more was written than was counted: no tokens are so long, the count is an early one."""


class Claims(Protocol):
    """See :class:`relayhub.gateway.hedging.Race`."""

    def claim(self, tally: Tally) -> None: ...


def about_of(call: Call, model: str, route: Route, user: str | None) -> HoldAbout:
    """``model``: the public name."""
    return HoldAbout(
        operation=str(call.operation),
        dialect=str(call.dialect),
        model=model,
        provider=route.provider.name,
        upstream_model=route.upstream_model,
        stream=call.envelope.stream,
        price=route.price.describe(),
        user_identifier=user,
        price_version=route.price.version,
    )


def answered_row(call: Call, about: HoldAbout, route: Route, usage: Usage, clock: Clock, now: float) -> UsageRecord:
    """What :meth:`Tally.record` says of a call that its first attempt has answered in one piece at ``now`` (monotonic
    seconds), with a count of its own. ``about``: of calls like it."""
    price, took_ms = route.price, round((now - call.received_at) * 1000)
    return UsageRecord(  # by place, as there
        call.id,
        clock.now(),
        call.principal.account_id,
        call.principal.key_id,
        about.operation,
        about.dialect,
        about.model,
        about.provider,
        about.upstream_model,
        False,
        _COMPLETED,
        True,
        usage,
        price.cost_nano(usage),
        about.price,
        1,
        ANSWERED,
        None,
        call.envelope.user,
        took_ms,
        took_ms,
        0,
        None,
        about.price_version,
        None if price.upstream is None else price.upstream_nano(usage),
    )


class Tally:
    """The bookkeeping of one call. Whoever serves the call writes it; nothing else does."""

    __slots__ = (
        "_client",
        "_clock",
        "_resolved",
        "attempts",
        "call",
        "departure",
        "first_byte_at",
        "model",
        "race",
        "rival",
        "route",
        "sent",
        "settled",
        "stream",
        "trial",
        "usage",
        "whole_chars",
    )

    def __init__(
        self, call: Call, resolved: Resolved, client: Client, clock: Clock, departure: Departure | None = None
    ) -> None:
        self.call = call
        self.departure = departure or Departure()
        self.model = resolved.model
        """Public name; a fall-back's own once one is tried."""
        self.route: Route = resolved.routes[0]
        self._resolved = resolved
        self._client = client
        self._clock = clock
        self.trial: Trial | None = None
        self.race: Claims | None = None
        """Where two attempts run beside each other."""
        self.rival: Tally | None = None
        """The other attempt of such a race."""
        self.attempts = 0
        self.sent = False
        """The current attempt's request may have reached its upstream."""
        self.usage: Usage | None = None
        self.whole_chars = 0
        """What the model wrote in a whole answer without usage."""
        self.stream: LaneStream | None = None
        self.first_byte_at: float | None = None
        self.settled = False

    def begin(self, route: Route) -> None:
        """A new attempt; what the one before it saw no longer counts."""
        self.route = route
        self.model = route.model or self._resolved.model
        self.attempts += 1
        self.trial = self.usage = self.stream = None
        self.sent = False

    def begin_only(self, route: Route) -> None:
        """The same of the first attempt, before which nothing was seen, on the route that the call was made for."""
        if route.model:
            self.model = route.model
        self.attempts = 1

    def sending(self) -> None:
        """The current attempt has a connection."""
        self.sent = True

    def first_byte(self) -> None:
        trial = self.trial
        if trial is None and self.first_byte_at is not None:
            return
        now = self._clock.monotonic()
        if self.first_byte_at is None:
            self.first_byte_at = now
        if trial is not None:
            trial.first_byte(now)
            self.trial = None
            if self.race is not None:
                self.race.claim(self)

    def answered(self, lane: Lane, answer: WholeAnswer) -> None:
        """With a whole answer, of that lane."""
        self.usage = answer.usage
        if answer.usage is None:
            self.whole_chars = lane.spoken_chars(answer.body)

    def fork(self, route: Route) -> Tally:
        """Of a second attempt beside this one."""
        other = Tally(self.call, self._resolved, self._client, self._clock, self.departure)
        other.attempts = self.attempts
        other.begin(route)
        self.attempts = other.attempts
        self.rival, other.rival = other, self
        return other

    def adopt(self, winner: Tally) -> None:
        """That attempt is the call's."""
        if winner is self:
            return
        self.route, self.model, self.attempts = winner.route, winner.model, winner.attempts
        self.sent, self.usage, self.whole_chars = winner.sent, winner.usage, winner.whole_chars
        self.stream, self.first_byte_at, self.settled = winner.stream, winner.first_byte_at, winner.settled

    def _rivals_nano(self, usage: Usage) -> int:
        """What an attempt that lost has cost: its upstream has read the request, and was cut off before it answered."""
        rival = self.rival
        return rival.route.price.cost_nano(Usage(usage.input_tokens)) if rival is not None and rival.sent else 0

    @property
    def delivered_chars(self) -> int:
        return self.stream.delivered_chars if self.stream is not None else self.whole_chars

    def about(self) -> HoldAbout:
        """What the hold says of the call, should nothing more ever be heard of it."""
        return about_of(self.call, self.model, self.route, self.call.envelope.user)

    def record(self, outcome: Outcome, error: RelayhubError | None = None) -> UsageRecord:
        """The usage row. Charged: what was measured; else an estimate, for whatever the upstream may have executed;
        nothing where it failed before it delivered anything, or where the policy forgives what was not delivered."""
        departure, now = self.departure, self._clock.monotonic()
        left = departure.left or outcome is _LEFT
        forgiven = left and departure.is_void
        said = None if forgiven else self.usage if self.stream is None else self.stream.usage
        measured = said if said is None or outcome is _COMPLETED or self._measures(said) else None
        usage = measured if measured is not None or forgiven else self._estimated(outcome)
        if left and outcome is _COMPLETED:
            outcome = _LEFT
        call, route, price = self.call, self.route, self.route.price
        cost_nano = 0 if usage is None else price.cost_nano(usage)
        if usage is not None and self.rival is not None:
            cost_nano += self._rivals_nano(usage)
        return UsageRecord(  # by place: so many names would cost more than all else here
            call.id,
            self._clock.now(),
            call.principal.account_id,
            call.principal.key_id,
            str(call.operation),
            str(call.dialect),
            self.model,
            route.provider.name,
            route.upstream_model,
            call.envelope.stream,
            outcome,
            measured is not None,
            usage or NOTHING,
            cost_nano,
            price.describe(),
            self.attempts,
            ANSWERED if outcome is _COMPLETED else self._client.status,
            None if error is None else error.code,
            call.envelope.user,
            None if self.first_byte_at is None else round((self.first_byte_at - call.received_at) * 1000),
            round((now - call.received_at) * 1000),
            price_version=price.version,
            upstream_cost_nano=None if price.upstream is None else price.upstream_nano(usage),
            on_disconnect=departure.policy if left else None,
        )

    def _measures(self, said: Usage) -> bool:
        """Whether the upstream has counted all. A stream that did not come to its end may have said its first counts only:
        more was written than they say, then they are no measure of it."""
        return self._delivered_tokens() <= FAR_BEYOND * (said.output_tokens + 1)

    def _delivered_tokens(self) -> int:
        return -(-self.delivered_chars // CHARS_PER_TOKEN)

    def _estimated(self, outcome: Outcome) -> Usage | None:
        """``None``: nothing is charged."""
        match outcome:
            case Outcome.COMPLETED:
                charged = True
            case Outcome.CLIENT_LEFT:
                charged = self.sent
            case _:
                charged = self.delivered_chars > 0
        if not charged:
            return None
        said = self.stream.usage if self.stream is not None else None
        input_tokens = -(-self.call.size() // CHARS_PER_TOKEN) if said is None else said.input_tokens
        return replace(said or NOTHING, input_tokens=input_tokens, output_tokens=self._delivered_tokens())
