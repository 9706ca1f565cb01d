"""Money is whole nano-USD, rounded up once."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.accounts.estimate import estimate_nano
from relayhub.accounts.pricing import Price
from relayhub.types.money import MAX_NANO, nano_per_unit, units_rounded_up, usd_to_nano
from relayhub.types.usage import Usage

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("text", "nano"), [("0.15", 150_000_000), ("0", 0), ("3", 3_000_000_000), ("0.000000001", 1), ("1e-3", 1_000_000)]
)
def test_prices_are_read_exactly(text: str, nano: int) -> None:
    assert usd_to_nano(text) == nano


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "0.0000000001", "1e99", "1,5"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        usd_to_nano(text)


def test_units_divide_the_dollar_without_rest() -> None:
    assert nano_per_unit(500_000) == 2000
    with pytest.raises(ValueError, match="divide"):
        nano_per_unit(300_000)
    assert [units_rounded_up(nano, 2000) for nano in (0, 1, 2000, 2001)] == [0, 1, 1, 2]


def test_one_token_costs_at_least_something() -> None:
    assert Price(input=1).cost_nano(Usage(input_tokens=1)) == 1


def test_cached_written_and_reasoning_tokens_have_their_own_price() -> None:
    price = Price(10 * MILLION, 20 * MILLION, cached_input=MILLION, cache_write=12 * MILLION, reasoning=30 * MILLION)
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=40)
    assert price.cost_nano(usage) == 30 * 10 + 60 * 1 + 10 * 12 + 10 * 20 + 40 * 30


def test_without_their_own_price_they_cost_what_input_and_output_cost() -> None:
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=40)
    assert Price(10 * MILLION, 20 * MILLION).cost_nano(usage) == 100 * 10 + 50 * 20


counts = st.integers(0, 10**7)
prices = st.integers(0, 10**12)


@given(counts, counts, counts, counts, counts, prices, prices, st.one_of(st.none(), prices), prices)
def test_the_cost_is_the_exact_sum_rounded_up(
    fresh: int, cached: int, written: int, spoken: int, thought: int, inp: int, out: int, cheap: int | None, call: int
) -> None:
    usage = Usage(fresh + cached + written, spoken + thought, cached, written, thought)
    price = Price(inp, out, cached_input=cheap, call=call)
    exact = Fraction(
        fresh * inp + cached * (inp if cheap is None else cheap) + written * inp + (spoken + thought) * out, MILLION
    )
    assert 0 <= price.cost_nano(usage) - call - exact < 1


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 8), prices, prices, prices)
def test_an_estimate_covers_what_it_assumes(size: int, cap: int, choices: int, inp: int, out: int, call: int) -> None:
    price = Price(inp, out, call=call)
    estimate = estimate_nano(price, body_bytes=size, bytes_per_token=3, output_cap=cap, choices=choices)
    actual = price.cost_nano(Usage(input_tokens=size // 3, output_tokens=cap * choices))
    assert estimate >= min(actual, MAX_NANO)


def test_an_absurd_estimate_stays_within_the_ledger() -> None:
    price = Price(output=10**15)
    assert estimate_nano(price, body_bytes=1, bytes_per_token=3, output_cap=10**18, choices=128) == MAX_NANO


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(), "free"),
        (Price(150_000_000, 600_000_000), "input 0.15 + output 0.6 USD/1M tokens"),
        (Price(call=10_000_000), "0.01 USD/call"),
        (Price(1_000_000_000, call=1), "input 1 USD/1M tokens + 0.000000001 USD/call"),
    ],
)
def test_a_price_is_readable(price: Price, text: str) -> None:
    assert price.describe() == text
