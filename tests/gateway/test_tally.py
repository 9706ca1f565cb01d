"""The usage row of a call that is answered in one piece at once is the one that its tally would have left."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from relayhub.accounts.pricing import Price
from relayhub.dialects.codec import Envelope
from relayhub.gateway.call import Call, Client
from relayhub.gateway.tally import Tally, about_of, answered_row
from relayhub.routing.catalog import Resolved
from relayhub.testing import FakeClock
from relayhub.types.call import Dialect, Operation, Outcome, Principal, UsageRecord
from relayhub.types.usage import Usage
from tests.routing.routes import route

DEAR = Price(
    input=3_000_001,
    output=15_000_007,
    cached_input=300_003,
    reasoning=20_000_011,
    call=17,
    discount_ppm=250_000,
    version="2026-09",
    upstream=Price(input=1_000_003, output=5_000_009, version="theirs"),
)


@pytest.mark.parametrize("price", [Price(), DEAR, replace(DEAR, upstream=None), replace(DEAR, version="")])
@pytest.mark.parametrize("user", [None, "u-1"])
@pytest.mark.parametrize("usage", [Usage(), Usage(1000, 101, 200, 0, 51)])
def test_an_answered_row_is_that_of_a_tally(price: Price, user: str | None, usage: Usage) -> None:
    clock = FakeClock()
    clock.advance(5)
    envelope = Envelope("alias", stream=False, include_usage=True, output_cap=None, choices=1, user=user)
    principal = Principal("key_1", "k", "acc_1")
    received_at = clock.monotonic()
    call = Call("req_1", principal, Operation.CHAT, Dialect.OPENAI_CHAT, b"{}", envelope, received_at, "10.0.0.1")
    way = replace(route(upstream="m-up"), price=price)
    tally = Tally(call, Resolved("m", (way,)), cast("Client", None), clock)
    tally.begin(way)
    tally.sent = True
    clock.advance(1.2346)
    tally.first_byte()
    tally.usage = usage
    expected = UsageRecord(
        call_id="req_1",
        at=clock.now(),
        account_id="acc_1",
        key_id="key_1",
        operation="chat",
        dialect="openai.chat",
        model="m",
        provider="up",
        upstream_model="m-up",
        stream=False,
        outcome=Outcome.COMPLETED,
        measured=True,
        usage=usage,
        cost_nano=price.cost_nano(usage),
        price=price.describe(),
        attempts=1,
        status=200,
        user_identifier=user,
        first_byte_ms=1235,
        duration_ms=1235,
        price_version=price.version,
        upstream_cost_nano=None if price.upstream is None else price.upstream_nano(usage),
    )
    row = answered_row(call, about_of(call, "m", way, None), way, usage, clock, clock.monotonic())
    assert row == tally.record(Outcome.COMPLETED) == expected
