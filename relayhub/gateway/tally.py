"""What is known of a call while it runs, and the usage row that it leaves."""

from __future__ import annotations

from relayhub.gateway.answers import LaneStream
from relayhub.gateway.call import Call, Client
from relayhub.gateway.lanes import CHARS_PER_TOKEN
from relayhub.routing.catalog import Resolved, Route
from relayhub.sdk.clock import Clock
from relayhub.store.intents import HoldAbout
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.types.usage import Usage

ANSWERED = 200


class Tally:
    """The bookkeeping of one call. The pipeline writes it; nothing else does."""

    def __init__(self, call: Call, resolved: Resolved, client: Client, clock: Clock) -> None:
        self.call = call
        self.model = resolved.model
        self.route: Route = resolved.routes[0]
        self.attempts = 0
        self.sent = False
        """The current attempt's request may have reached its upstream."""
        self.usage: Usage | None = None
        self.whole_chars = 0
        """What the model wrote in a whole answer without usage."""
        self.stream: LaneStream | None = None
        self.first_byte_at: float | None = None
        self.settled = False
        self._client = client
        self._clock = clock

    def begin(self, route: Route) -> None:
        """A new attempt; what the one before it saw no longer counts."""
        self.route = route
        self.attempts += 1
        self.sent = False
        self.usage = None
        self.stream = None

    def first_byte(self) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self._clock.monotonic()

    @property
    def delivered_chars(self) -> int:
        return self.stream.delivered_chars if self.stream is not None else self.whole_chars

    def about(self) -> HoldAbout:
        """What the hold says of the call, should nothing more ever be heard of it."""
        call, route = self.call, self.route
        return HoldAbout(
            operation=call.operation.value,
            dialect=call.dialect.value,
            model=self.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            stream=call.envelope.stream,
            price=route.price.describe(),
            user_identifier=call.envelope.user,
        )

    def record(self, outcome: Outcome, error: RelayhubError | None = None) -> UsageRecord:
        """The usage row. Charged: what was measured; else an estimate, for whatever the upstream may have executed;
        nothing where it failed before it delivered anything."""
        measured = self._measured()
        usage = measured if measured is not None else self._estimated(outcome)
        call, route = self.call, self.route
        return UsageRecord(
            call_id=call.id,
            at=self._clock.now(),
            account_id=call.principal.account_id,
            key_id=call.principal.key_id,
            operation=call.operation.value,
            dialect=call.dialect.value,
            model=self.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            stream=call.envelope.stream,
            outcome=outcome,
            measured=measured is not None,
            usage=usage or Usage(),
            cost_nano=route.price.cost_nano(usage) if usage is not None else 0,
            price=route.price.describe(),
            attempts=self.attempts,
            status=ANSWERED if outcome is Outcome.COMPLETED else self._client.status,
            error_code=error.code if error is not None else None,
            user_identifier=call.envelope.user,
            first_byte_ms=self._ms(self.first_byte_at),
            duration_ms=self._ms(self._clock.monotonic()) or 0,
        )

    def _measured(self) -> Usage | None:
        return self.stream.usage if self.stream is not None else self.usage

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
        return Usage(
            input_tokens=-(-self.call.size // CHARS_PER_TOKEN),
            output_tokens=-(-self.delivered_chars // CHARS_PER_TOKEN),
        )

    def _ms(self, moment: float | None) -> int | None:
        return None if moment is None else round((moment - self.call.received_at) * 1000)
