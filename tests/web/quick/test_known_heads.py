"""A head that has come before is known by all but its length; whatever else it is, it is read as if it had not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.web.quick.head import read_head
from relayhub.web.quick.known_heads import KEPT_HEADS, LONGEST_KEPT, KnownHeads, around_length, length_between
from tests.web.test_quick_head import PLAIN, block

SECRET = "sk_live_key"


class Counted:
    """A fingerprint that is counted, as it is made for each head that is read."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, credential: str) -> str:
        self.made += 1
        return f"<{credential}>"


def with_length(length: object, name: str = "content-length") -> bytes:
    headers = {key: value for key, value in PLAIN.items() if key != "content-length"}
    return block({**headers, name: str(length), "x-last": "1"})


@pytest.mark.parametrize("name", ["content-length", "Content-Length"])
def test_only_the_first_of_its_kind_is_read(name: str) -> None:
    made = Counted()
    heads = KnownHeads(made)
    for length in (12, 0, 7, 12, 345_678):
        found = heads.read(with_length(length, name))
        assert found == read_head(with_length(length, name), lambda credential: f"<{credential}>")
        assert found is not None
        assert found[1] == length
    assert made.made == 1


def test_any_other_difference_is_read() -> None:
    made = Counted()
    heads = KnownHeads(made)
    first = with_length(12)
    for other in (
        first,
        first.replace(b"key", b"kez"),
        first.replace(b"/v1/", b"/v2/"),
        first.replace(b": 1\r", b": 2\r"),
    ):
        assert heads.read(other) == read_head(other, lambda credential: f"<{credential}>")
    assert made.made == 4


@pytest.mark.parametrize(
    "line",
    [
        b"content-length: 12\r\ncontent-length: 12",
        b"content-length: 12\r\nContent-Length: 13",
        b"Content-Length: 12\r\ncontent-length:12",
        b"CONTENT-LENGTH: 1\r\ncontent-length: 12",
        b"content-length: 12\r\nx-last2: 1\r\ncontent-length: ",
        b"content-length: +12",
        b"content-length: \xb2",
        b"content-length: 1_2",
        b"content-length: ",
        b"content-length: 1234567890123",
        b"content-length: 12\n",
        b"content-length: 12\r",
        b"content-length: 12 13",
        b"x-content-length: 12",
    ],
)
def test_what_is_refused_is_refused_however_well_the_rest_is_known(line: bytes) -> None:
    heads = KnownHeads(str)
    assert heads.read(with_length(12)) is not None
    assert heads.read(with_length(12, "Content-Length")) is not None
    wrong = with_length(12).replace(b"content-length: 12", line)
    assert read_head(wrong, str) is None
    assert heads.read(wrong) is None
    assert heads.read(wrong) is None


@pytest.mark.parametrize(
    "line", [b"content-length:12", b"CONTENT-LENGTH: 12", b"content-length:  12", b"content-length: 12 "]
)
def test_a_length_that_is_written_otherwise_is_read(line: bytes) -> None:
    heads = KnownHeads(str)
    other = with_length(12).replace(b"content-length: 12", line)
    for _ in range(2):
        head = heads.read(other)
        assert head == read_head(other, str)
        assert head is not None


@pytest.mark.parametrize("name", ["x-length", "X-Content-Length", "strength"])
def test_other_lengths_in_front_of_it_are_no_hindrance(name: str) -> None:
    made = Counted()
    heads = KnownHeads(made)
    lines = f"\r\n{name}: 7\r\ncontent-length".encode()
    for length in (12, 13):
        whole = with_length(length).replace(b"\r\ncontent-length", lines)
        assert heads.read(whole) == read_head(whole, lambda credential: f"<{credential}>")
    assert made.made == 1


def test_neither_many_nor_long_ones_fill_the_memory() -> None:
    made = Counted()
    heads = KnownHeads(made)
    for number in range(3 * KEPT_HEADS):
        assert heads.read(block({**PLAIN, "x-number": str(number)})) is not None
    assert len(heads) <= KEPT_HEADS
    long = block({**PLAIN, "x-long": "a" * LONGEST_KEPT})
    before = len(heads)
    assert heads.read(long) is not None
    assert len(heads) == before


@given(st.binary(max_size=40), st.integers(0, 150), st.integers(0, 30))
def test_damage_is_seen_as_without_it(noise: bytes, at: int, cut: int) -> None:
    heads = KnownHeads(str)
    whole = with_length(12)
    heads.read(whole)
    damaged = whole[:at] + noise + whole[at + cut :]
    for _ in range(2):
        assert heads.read(damaged) == read_head(damaged, str)


@given(st.binary(max_size=40), st.integers(0, 150), st.integers(0, 30))
def test_damage_beside_the_length_is_seen_on_the_same_connection(noise: bytes, at: int, cut: int) -> None:
    whole = with_length(12)
    before, digits, after = around_length(whole)
    known = read_head(whole, str)
    assert known is not None
    assert (before + digits + after, digits) == (whole, b"12")
    damaged = whole[:at] + noise + whole[at + cut :]
    length = length_between(damaged, before, after)
    if length is not None:
        assert read_head(damaged, str) == (known[0], length)


@pytest.mark.parametrize("digits", [b"", b"+1", b" 1", b"1 ", b"1_2", b"\xb2", b"1234567890123", b"1\r\nx: 1"])
def test_what_is_no_length_is_none_on_the_same_connection(digits: bytes) -> None:
    before, _, after = around_length(with_length(12))
    assert length_between(before + digits + after, before, after) is None
    assert length_between(before + b"013" + after, before, after) == 13
