"""Money is whole nano-USD, rounded up once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.accounts.pricing import Price
from relayhub.accounts.tariff import SINCE_EVER, Tariff
from relayhub.types.discount import percent_to_ppm, ppm_to_percent
from relayhub.types.media import MediaUsage
from relayhub.types.money import MAX_NANO, nano_per_unit, units_rounded_up, usd_to_nano
from relayhub.types.usage import Usage

MILLION = 1_000_000

counts = st.integers(0, 10**7)
prices = st.one_of(st.integers(0, 10**12), st.integers(0, 10**6).map(MILLION.__mul__))
"""Of a million tokens; for one, that is seldom whole nano-USD unless it is made so."""


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


@given(st.integers(-5, 10**9), st.integers(-5, 10**9), prices, prices, st.one_of(st.just(0), prices))
def test_plain_counts_are_never_below_nothing(read: int, made: int, inp: int, out: int, call: int) -> None:
    """Whatever a plugin says, nothing costs less than nothing."""
    price = Price(input=inp, output=out, call=call)
    exact = Fraction(max(read, 0) * inp + max(made, 0) * out, MILLION) + call
    assert price.cost_nano(Usage(read, made)) == -(-exact.numerator // exact.denominator)


@pytest.mark.parametrize("call", [0, 5])
def test_whole_nano_usd_for_each_token(call: int) -> None:
    assert Price(3 * MILLION, 7 * MILLION, call=call).cost_nano(Usage(100, 10)) == 100 * 3 + 10 * 7 + call


def test_cached_written_and_reasoning_tokens_have_their_own_price() -> None:
    price = Price(10 * MILLION, 20 * MILLION, cached_input=MILLION, cache_write=12 * MILLION, reasoning=30 * MILLION)
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=40)
    assert price.cost_nano(usage) == 30 * 10 + 60 * 1 + 10 * 12 + 10 * 20 + 40 * 30


def test_without_their_own_price_they_cost_what_input_and_output_cost() -> None:
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=40)
    assert Price(10 * MILLION, 20 * MILLION).cost_nano(usage) == 100 * 10 + 50 * 20


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
    held = price.estimate(size, 3, cap, choices)
    actual = price.cost_nano(Usage(input_tokens=size // 3, output_tokens=cap * choices))
    assert held[0] >= min(actual, MAX_NANO)


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 8), st.lists(prices, min_size=4, max_size=4))
def test_an_estimate_is_the_exact_sum_rounded_up_whatever_is_whole(
    size: int, cap: int, choices: int, some: list[int]
) -> None:
    for inp, out, written, thought in (some, [MILLION * each for each in some], [MILLION, *some[1:]]):
        price = Price(inp, out, cache_write=written, reasoning=thought, call=7)
        exact = Fraction(-(-size // 3) * max(inp, written) + cap * choices * max(out, thought), MILLION) + 7
        assert price.estimate(size, 3, cap, choices) == (min(ceil(exact), MAX_NANO), -(-size // 3) + cap * choices)


def test_an_absurd_estimate_stays_within_the_ledger() -> None:
    price = Price(output=10**15)
    assert price.estimate(1, 3, 10**18, 128)[0] == MAX_NANO


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


CENT = 10_000_000
FEN_RATE = 140_000_000
"""0.14 USD for one unit of another currency."""


@given(counts, counts, prices, prices, prices, st.integers(1, 10**12), st.integers(0, 10**6))
def test_rate_and_discount_are_exact_and_rounded_once_together(
    read: int, written: int, inp: int, out: int, call: int, rate: int, discount: int
) -> None:
    price = Price(inp, out, call=call, currency="CNY", rate_nano=rate, discount_ppm=discount)
    foreign = Fraction(read * inp + written * out, MILLION) + call
    exact = foreign * Fraction(rate, 10**9) * Fraction(10**6 - discount, 10**6)
    assert 0 <= price.cost_nano(Usage(read, written)) - exact < 1


def test_rounding_twice_would_charge_more() -> None:
    """The negative control of the test above: three times a third of a nano-USD is one, not three."""
    price = Price(input=1, output=1, call=1, currency="CNY", rate_nano=333_333_333)
    assert price.cost_nano(Usage(MILLION, MILLION)) == 1
    assert sum(-(-part * 333_333_333 // 10**9) for part in (1, 1, 1)) == 3


def test_media_have_rate_and_discount_too() -> None:
    price = Price(audio_second=CENT, call=CENT, currency="CNY", rate_nano=FEN_RATE, discount_ppm=500_000)
    assert price.media_nano(MediaUsage(audio_ms=3000)) == 4 * CENT * 14 // 100 // 2


def test_all_of_it_off_costs_nothing_and_none_of_it_changes_nothing() -> None:
    price, usage = Price(150_000_000, 600_000_000, call=1), Usage(1001, 77)
    assert price.discounted(1_000_000).cost_nano(usage) == 0
    assert price.discounted(0) is price
    assert price.discounted(100).cost_nano(usage) < price.cost_nano(usage)


def test_an_estimate_has_the_discount_of_the_charge() -> None:
    price = Price(10 * MILLION, call=10).discounted(250_000)
    cost_nano, tokens = price.estimate(300, 3, None, 1)
    assert (cost_nano, tokens) == ((1000 + 10) * 3 // 4 + 1, 100)


def test_what_the_upstream_charges_has_no_discount_and_its_own_currency() -> None:
    upstream = Price(input=100 * MILLION, currency="CNY", rate_nano=FEN_RATE)
    price = replace(Price(input=50 * MILLION), upstream=upstream).discounted(500_000)
    usage = Usage(input_tokens=1000)
    assert (price.cost_nano(usage), price.upstream_nano(usage)) == (25_000, 14_000)
    assert price.upstream_nano(None) == 0
    assert Price(input=1).upstream_nano(usage) is None
    assert price.upstream_media_nano(MediaUsage(input_tokens=1000)) == 14_000


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(2 * 10**9, currency="CNY", rate_nano=FEN_RATE), "input 2 CNY/1M tokens, 1 CNY = 0.14 USD"),
        (Price(10**9).discounted(125_000), "input 1 USD/1M tokens, less 12.5%"),
        (Price().discounted(125_000), "free"),
    ],
)
def test_rate_and_discount_are_part_of_the_formula(price: Price, text: str) -> None:
    assert price.describe() == text


def test_the_price_in_force_is_the_last_that_has_begun() -> None:
    tariff = Tariff.of([(200.0, Price(3)), (SINCE_EVER, Price(1)), (100.0, Price(2))])
    assert [tariff.at(now) for now in (0.0, 99.9, 100.0, 199.9, 200.0, 1e12)] == [
        Price(1),
        Price(1),
        Price(2),
        Price(2),
        Price(3),
        Price(3),
    ]
    assert Tariff.of([(100.0, Price(2))]).at(99.9) is None


def test_the_upstreams_prices_have_dates_of_their_own() -> None:
    tariff = Tariff.of([(100.0, Price(1))]).beside(Tariff.of([(50.0, Price(7)), (150.0, Price(8))]))
    assert [tariff.at(now) for now in (60.0, 100.0, 150.0)] == [
        None,
        Price(1, upstream=Price(7)),
        Price(1, upstream=Price(8)),
    ]
    plain = Tariff.of([(100.0, Price(1))])
    assert plain.beside(Tariff.of([])) is plain


@pytest.mark.parametrize(("text", "ppm"), [("0", 0), ("12.5", 125_000), ("0.0001", 1), ("100", 1_000_000)])
def test_discounts_are_read_exactly(text: str, ppm: int) -> None:
    assert percent_to_ppm(text) == ppm
    assert ppm_to_percent(ppm) == text


@pytest.mark.parametrize("text", ["", "x", "-1", "100.1", "NaN", "0.00001", "12,5"])
def test_what_is_no_discount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        percent_to_ppm(text)
