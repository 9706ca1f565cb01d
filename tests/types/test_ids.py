"""Identifiers are ULIDs: unique, of this moment, and readable by any library."""

from __future__ import annotations

import time

from ulid import ULID

from relayhub.types.ids import Ids, new_id


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
