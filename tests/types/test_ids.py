"""Identifiers are ULIDs: unique, of this moment, and readable by any library."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import SimpleNamespace

import pytest
from ulid import ULID

from relayhub.types import ids as module
from relayhub.types.ids import Ids, new_id

MOMENT = 1_790_000_040_123
"""In milliseconds."""

STOCK = 256
"""Identifiers that are made of one stock."""


def test_an_identifier_is_a_ulid_of_this_moment() -> None:
    before = time.time()
    for made in (new_id("req_"), Ids().new("req_")):
        prefix, _, text = made.partition("_")
        assert prefix == "req"
        assert before - 0.01 <= ULID.from_str(text).timestamp <= time.time() + 0.01


def test_none_comes_twice_also_when_the_stock_is_used_up() -> None:
    ids = Ids()
    made = [ids.new("") for _ in range(1000)] + [new_id("") for _ in range(1000)]
    assert len(set(made)) == len(made)


def test_they_sort_by_time() -> None:
    first = new_id("")
    until = time.time_ns() // 1_000_000 + 2
    while time.time_ns() // 1_000_000 < until:
        pass
    assert first < new_id("")


def test_those_of_one_source_are_in_the_order_of_their_making() -> None:
    ids = Ids()
    made = [ids.new("") for _ in range(5000)]
    assert made == sorted(made)


def made_at(moments: Iterable[int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By one source, one at each of them by the system's clock, in milliseconds."""
    ids, made = Ids(), list[str]()
    for moment in moments:
        monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=lambda now=moment: now * 1_000_000 + 999_999))
        made.append(ids.new(""))
    return made


def moments_of(made: Iterable[str]) -> list[int]:
    return [ULID.from_str(text).milliseconds for text in made]


@pytest.mark.parametrize("step", [1, 1023, 1024, 1 << 20])
def test_each_is_of_its_moment_however_far_that_is_from_the_one_before(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [MOMENT + number * step for number in range(STOCK)]
    assert moments_of(made_at(moments, monkeypatch)) == moments


@pytest.mark.parametrize("back", [1, 500, 1024, 3_600_000, MOMENT])
def test_a_clock_that_goes_back_changes_neither_order_nor_uniqueness(
    back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = range(MOMENT, MOMENT + 3 * STOCK)
    made = made_at([*forward, *(moment - back for moment in forward), *range(MOMENT, MOMENT + 6 * STOCK)], monkeypatch)
    assert made == sorted(set(made))
    assert moments_of(made[: len(forward)]) == [*forward]
    assert moments_of(made[-1:]) == [MOMENT + 6 * STOCK - 1]


@pytest.mark.parametrize("moment", [MOMENT, MOMENT | 31, MOMENT | 1023, (1 << 40) - 1])
def test_more_than_a_stock_within_a_millisecond_are_in_order_and_no_two_the_same(
    moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_at([moment] * (4 * STOCK + 1) + [moment + 5], monkeypatch)
    assert made == sorted(set(made))
    assert moments_of(made) == [*(moment + number // STOCK for number in range(4 * STOCK + 1)), moment + 5]
