"""Usage as CSV. Names of models and users are what clients sent: no cell may be a formula to a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import orjson

from relayhub.types.json import Json

MEDIA_TYPE = "text/csv; charset=utf-8"

_FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""The wide signs too: some spreadsheets take them for the others."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Json]]) -> str:
    """A line of titles, then one per row, each ended by CRLF; of a row only the columns. ``None`` is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[column]) for column in columns] for row in rows)
    return text.getvalue()


def _cell(value: Json) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return _harmless(value)
        case _:
            return _harmless(orjson.dumps(value).decode())


def _harmless(text: str) -> str:
    """An apostrophe before what could begin a formula makes it text; blanks before that do not help it."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
