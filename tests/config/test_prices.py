"""Prices in the config: currencies, dates, the upstream's own, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from relayhub.accounts.price_book import tariff_of
from relayhub.accounts.pricing import Price
from relayhub.config import Config, Model, discovered_yaml, effective
from relayhub.types.usage import Usage
from tests.config.support import at, only_problem, problems, valid

RATES = 'currencies: {CNY: "0.14", EUR: "1.1"}\n'
JULY = 1_782_864_000.0
"""2026-07-01, midnight UTC."""
MILLION = Usage(input_tokens=1_000_000)


def config(folder: Path, price: str, more: str = "", rates: str = RATES) -> Config:
    return valid(folder, f"{rates}providers: {{demo: {{models: {{m: {{price: {price}{more}}}}}}}}}")


def text_of(price: str, rates: str = RATES) -> str:
    return f"{rates}providers: {{demo: {{models: {{m: {{price: {price}}}}}}}}}"


def model(found: Config) -> Model:
    return found.providers["demo"].models[0]


def price_at(found: Config, now: float) -> Price | None:
    return tariff_of(model(found), found.currencies).at(now)


def cost(found: Config, now: float = JULY) -> int:
    price = price_at(found, now)
    assert price is not None
    return price.cost_nano(MILLION)


def test_a_price_in_another_currency_is_charged_by_its_fixed_rate(tmp_path: Path) -> None:
    found = config(tmp_path, '{currency: CNY, input: "2.00"}')
    assert cost(found) == 280_000_000
    # the negative control: the same amounts in USD
    assert cost(config(tmp_path, '{input: "2.00"}')) == 2_000_000_000


def test_a_price_may_be_a_list_with_dates_in_any_order(tmp_path: Path) -> None:
    prices = '[{from: "2026-07-01", input: "2"}, {input: "1"}, {from: "2026-07-01T08:00:00+08:00", input: "3"}]'
    assert "begin at the same time" in only_problem(tmp_path, text_of(prices)).message
    found = config(tmp_path, prices.replace("T08:00", "T09:00"))
    assert [cost(found, JULY + later) // 10**9 for later in (-1, 0, 3599, 3600)] == [1, 2, 2, 3]


def test_before_its_first_date_a_model_has_no_price(tmp_path: Path) -> None:
    found = config(tmp_path, '{from: "2026-07-01", input: "2"}')
    assert price_at(found, JULY - 1) is None
    assert cost(found, JULY) == 2 * 10**9


def test_a_version_names_the_date_and_changes_with_price_and_rate_only(tmp_path: Path) -> None:
    def version(price: str, rates: str = RATES) -> str:
        found = price_at(config(tmp_path, price, rates=rates), JULY)
        assert found is not None
        return found.version

    plain = version('{input: "2"}')
    assert version('{input: "2.00"}') == plain
    assert version('{from: "2026-07-01", input: "2"}').startswith("2026-07-01#")
    foreign = version('{currency: CNY, input: "2"}')
    others = [version('{input: "3"}'), foreign, version('{currency: CNY, input: "2"}', 'currencies: {CNY: "0.15"}\n')]
    assert len({plain, *others}) == 4
    assert version('{currency: CNY, input: "2"}', 'currencies: {CNY: "0.14", EUR: "9"}\n') == foreign


def test_what_the_upstream_charges_stands_beside_the_price(tmp_path: Path) -> None:
    found = config(tmp_path, '{input: "2"}', ', cost: [{input: "1"}, {from: "2026-07-01", currency: CNY, input: "5"}]')
    before, after = price_at(found, JULY - 1), price_at(found, JULY)
    assert before is not None
    assert after is not None
    assert (before.upstream_nano(MILLION), after.upstream_nano(MILLION)) == (10**9, 700_000_000)
    assert before.version == after.version


def test_what_a_free_model_costs_upstream_is_known_too(tmp_path: Path) -> None:
    found = valid(tmp_path, 'providers: {demo: {models: {m: {free: true, cost: {input: "1"}}}}}')
    price = price_at(found, 0.0)
    assert price is not None
    assert (price.cost_nano(MILLION), price.upstream_nano(MILLION)) == (0, 10**9)


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ('{currency: JPY, input: "1"}', "there is no rate for the currency JPY"),
        ('[{input: "1"}, {from: "2026-07-01", currency: JPY, input: "1"}]', "there is no rate for the currency JPY"),
        ('{currency: yen, input: "1"}', "this is not the code of a currency"),
        ('[{from: "soon", input: "1"}]', "this is not a date"),
        ('[{from: 2026, input: "1"}]', "this is not a date"),
        ('[{input: "1"}, {input: "2"}]', "two entries of its `price:` begin at the same time"),
        ('[{input: "1"}, {from: "2026-07-01"}]', "this model has no price"),
        ("[]", "it must not be empty"),
        ("[{input: 0.5}]", "a price must be in quotes"),
        ('[{input: "1", fron: "2026-07-01"}]', "unknown key `fron`"),
    ],
)
def test_prices_that_are_wrong(tmp_path: Path, price: str, words: str) -> None:
    assert words in only_problem(tmp_path, text_of(price)).message


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ('currencies: {USD: "1"}\n', "USD needs no rate"),
        ("currencies: {CNY: 0.14}\n", "must be in quotes"),
        ('currencies: {CNY: "0"}\n', "a rate is above zero"),
        ('currencies: {cny: "1"}\n', "not the code of a currency"),
    ],
)
def test_rates_that_are_wrong(tmp_path: Path, rates: str, words: str) -> None:
    assert [problem for problem in problems(tmp_path, text_of('{input: "1"}', rates)) if words in problem.message]


def test_a_mistake_in_a_dated_price_is_located_there(tmp_path: Path) -> None:
    text = 'providers:\n  demo:\n    models:\n      m:\n        price:\n          - {input: "1"}\n          - {from: "x"}\n'
    assert at(only_problem(tmp_path, text)) == (7, 20)


def test_what_is_in_force_shows_them_as_the_file_says_them(tmp_path: Path) -> None:
    shown = effective(config(tmp_path, '[{input: "1"}, {from: "2026-07-01", currency: CNY, input: "2"}]'))
    assert shown["currencies"] == {"CNY": "0.14", "EUR": "1.1"}
    providers = yaml.safe_load(yaml.safe_dump(shown["providers"]))
    assert providers["demo"]["models"]["m"]["price"] == [
        {"input": "1"},
        {"from": "2026-07-01", "currency": "CNY", "input": "2"},
    ]


def test_what_discover_writes_with_prices_charges_by_them(tmp_path: Path) -> None:
    prices = {"a": {"currency": "CNY", "input": "2.00"}, "b": {"video": {"720p": "0.10"}}}
    text = discovered_yaml(["a", "b", "c"], prices, "the upstream's page,\nas of 2026-07-01")
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    whole = f"{RATES}providers: {{demo: {{models_file: m.yaml, models: {{c: {{free: true}}}}}}}}"
    found = valid(tmp_path, whole)
    charged = {one.name: one.price.in_usd() if one.price else None for one in found.providers["demo"].models}
    assert charged == {"c": None, "a": {"currency": "CNY", "input": "2"}, "b": {"video": {"720p": "0.1"}}}
    assert "# Prices: the upstream's page, as of 2026-07-01." in text
