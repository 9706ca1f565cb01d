"""Adding to a file of models that somebody has worked on."""

from __future__ import annotations

import pytest
import yaml

from relayhub.config import merged_models

TEXT = """# agreed with finance
a: {price: {input: "9"}}   # never touch
b: {}  # no price yet
c:
d: ~
e: {max_output_tokens: 5}  # kept
f:
  # said below
  operations: [chat]
g: {free: true}
h: &shared {}
i: *shared
j: &own
  operations: [chat]
gone: {free: true}
"""
NAMES = list("abcdefghij")
PRICES: dict[str, dict[str, object]] = {name: {"input": "1.00", "video": {"720p": "0.10"}} for name in NAMES}
PRICE = {"input": "1.00", "video": {"720p": "0.10"}}


def test_what_stands_there_stays_and_what_has_no_price_gets_one() -> None:
    merged = merged_models(
        TEXT, [*NAMES, "new", "needs: quotes"], {**PRICES, "new": {"input": "2"}}, "a page, as of 2026"
    )
    assert merged.priced == ("b", "c", "d", "e", "f", "j")
    assert merged.added == ("new", "needs: quotes")
    assert merged.unlisted == ("gone",)
    before, after = yaml.safe_load(TEXT), yaml.safe_load(merged.text)
    for name in "aghi":
        assert after[name] == before[name]
    for name in merged.priced:
        assert after[name] == {**(before[name] or {}), "price": PRICE}
    assert after["new"] == {"price": {"input": "2"}}
    assert after["needs: quotes"] == {}
    for line in ('a: {price: {input: "9"}}   # never touch', "# agreed with finance", "  # said below"):
        assert line in merged.text.splitlines()
    assert "# kept" in merged.text
    assert "# Prices: a page, as of 2026." in merged.text


def test_a_second_time_changes_nothing() -> None:
    once = merged_models(TEXT, [*NAMES, "new"], PRICES, "a page").text
    again = merged_models(once, [*NAMES, "new"], PRICES, "a page")
    assert (again.text, again.added, again.priced) == (once, (), ())


def test_a_price_that_is_decided_elsewhere_is_not_decided_here() -> None:
    assert merged_models("b: {}\n", ["b"], PRICES, "a page", settled={"b"}).text == "b: {}\n"


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_an_empty_file_is_begun_and_comments_stay(text: str) -> None:
    merged = merged_models(text, ["a"], PRICES, "a page")
    assert yaml.safe_load(merged.text) == {"a": {"price": PRICE}}
    assert merged.text.startswith(text or "# Models as the upstream lists them")


@pytest.mark.parametrize("text", ["- a\n", "{a: {}}\n", "  a: {}\n", "a: {}\n...\n", "a: [\n", "text\n"])
def test_what_cannot_be_added_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"list of models|at its end|valid YAML"):
        merged_models(text, ["b"], {}, None)


def test_a_file_without_a_last_line_end_is_added_to() -> None:
    assert merged_models("a: {free: true}", ["a", "b"], {}, None).text == 'a: {free: true}\n"b": {}\n'
