"""What is known of a call while it runs, and the usage row that it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

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
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage

ANSWERED = 200

FAR_BEYOND = 4
"""So many times more was written than was counted: no tokens are so long, the count is an early one."""


class Claims(Protocol):
    """See :class:`relayhub.gateway.hedging.Race`."""

    def claim(self, tally: Tally) -> None: ...


class Tally:
    """The bookkeeping of one call. The pipeline writes it; nothing else does."""

    def __init__(
        self, call: Call, resolved: Resolved, client: Client, clock: Clock, departure: Departure | None = None
    ) -> None:
        self.call = call
        self.departure = departure or Departure()
        self.model = resolved.model
        """Public name; a fall-back's own once one is tried."""
        self.route: Route = resolved.routes[0]
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
        self._resolved = resolved
        self._asked = resolved.model
        self._client = client
        self._clock = clock

    def begin(self, route: Route) -> None:
        """A new attempt; what the one before it saw no longer counts."""
        self.route = route
        self.model = route.model or self._asked
        self.trial = None
        self.attempts += 1
        self.sent = False
        self.usage = None
        self.stream = None

    def first_byte(self) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self._clock.monotonic()
        if self.trial is not None:
            self.trial.first_byte()
            self.trial = None
            if self.race is not None:
                self.race.claim(self)

    def answered(self, lane: Lane, reply: HttpReply) -> WholeAnswer:
        """With a whole answer. Raises what the lane raises."""
        self.first_byte()
        answer = lane.whole(reply)
        self.usage = answer.usage
        if answer.usage is None:
            self.whole_chars = lane.spoken_chars(answer.body)
        return answer

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
        call, route = self.call, self.route
        return HoldAbout(
            operation=call.operation.value,
            dialect=str(call.dialect),
            model=self.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            stream=call.envelope.stream,
            price=route.price.describe(),
            user_identifier=call.envelope.user,
            price_version=route.price.version,
        )

    def record(self, outcome: Outcome, error: RelayhubError | None = None) -> UsageRecord:
        """The usage row. Charged: what was measured; else an estimate, for whatever the upstream may have executed;
        nothing where it failed before it delivered anything, or where the policy forgives what was not delivered."""
        departure = self.departure
        left = departure.left or outcome is Outcome.CLIENT_LEFT
        forgiven = left and departure.is_void
        measured = None if forgiven else self._measured(outcome)
        usage = measured if measured is not None or forgiven else self._estimated(outcome)
        if left and outcome is Outcome.COMPLETED:
            outcome = Outcome.CLIENT_LEFT
        call, route = self.call, self.route
        return UsageRecord(
            call_id=call.id,
            at=self._clock.now(),
            account_id=call.principal.account_id,
            key_id=call.principal.key_id,
            operation=call.operation.value,
            dialect=str(call.dialect),
            model=self.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            stream=call.envelope.stream,
            outcome=outcome,
            measured=measured is not None,
            usage=usage or Usage(),
            cost_nano=route.price.cost_nano(usage) + self._rivals_nano(usage) if usage is not None else 0,
            price=route.price.describe(),
            attempts=self.attempts,
            status=ANSWERED if outcome is Outcome.COMPLETED else self._client.status,
            error_code=error.code if error is not None else None,
            user_identifier=call.envelope.user,
            first_byte_ms=self._ms(self.first_byte_at),
            duration_ms=self._ms(self._clock.monotonic()) or 0,
            price_version=route.price.version,
            upstream_cost_nano=route.price.upstream_nano(usage),
            on_disconnect=departure.policy if left else None,
        )

    def _measured(self, outcome: Outcome) -> Usage | None:
        """What the upstream counted. A stream that did not come to its end may have said its first counts only: more was
        written than they say, then they are no measure of it."""
        usage = self.stream.usage if self.stream is not None else self.usage
        if usage is None or outcome is Outcome.COMPLETED:
            return usage
        return usage if self._delivered_tokens() <= FAR_BEYOND * (usage.output_tokens + 1) else None

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
        input_tokens = -(-self.call.size // CHARS_PER_TOKEN) if said is None else said.input_tokens
        return replace(said or Usage(), input_tokens=input_tokens, output_tokens=self._delivered_tokens())

    def _ms(self, moment: float | None) -> int | None:
        return None if moment is None else round((moment - self.call.received_at) * 1000)
