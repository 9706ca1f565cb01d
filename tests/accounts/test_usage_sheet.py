"""Usage as CSV, as a spreadsheet reads it."""

from __future__ import annotations

import csv
import io

import pytest

from relayhub.accounts.usage_sheet import csv_text
from relayhub.types.json import Json


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


WIDE_EQUALS = "\N{FULLWIDTH EQUALS SIGN}1"


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "  @x", WIDE_EQUALS, '=HYPERLINK("x","y")']
)
def test_what_clients_sent_is_never_a_formula(name: str) -> None:
    assert read(csv_text(["user", "calls"], [{"user": name, "calls": 1}]))[1:] == [[f"'{name}", "1"]]


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, ""), (True, "true"), (-5, "-5"), (1.5, "1.5"), ("a,b", "a,b"), ('"', '"'), ("m-1", "m-1"), ("", "")],
)
def test_other_values_are_as_they_are(value: Json, cell: str) -> None:
    assert read(csv_text(["x", "y"], [{"x": value, "y": 0}]))[1] == [cell, "0"]


def test_objects_are_json_in_one_cell_and_only_the_columns_are_shown() -> None:
    text = csv_text(["media"], [{"media": {"images": 2}, "secret": "s"}])
    assert text == 'media\r\n"{""images"":2}"\r\n'
