"""How values become rows, for the writer's plain SQL. Statements name their columns; see :mod:`relayhub.store.usage_rows`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from relayhub.store.schema import metadata
from relayhub.types.money import MAX_NANO

Row: TypeAlias = "tuple[str | int | float | bytes | None, ...]"

MAX_COUNT = 2**62

_NONE: Mapping[str, str] = MappingProxyType({})


def insert_into(table: str, *, without: tuple[str, ...] = ()) -> str:
    """An INSERT with a placeholder for each column, in the order of the schema."""
    return _insert("INSERT", table, _columns(table, without))


def insert_or_fail(table: str, names: Sequence[str] = (), same: Mapping[str, str] = _NONE) -> str:
    """The same for these columns alone (none: for all); ``same``: SQL of what each row has alike, by its column. If a row of
    it is refused, those before it stay: for whoever rolls the whole transaction back then. SQLite need not keep copies of the
    pages that it changes."""
    return _insert("INSERT OR FAIL", table, names or _columns(table), same)


def _columns(table: str, without: tuple[str, ...] = ()) -> list[str]:
    return [column.name for column in metadata.tables[table].columns if column.name not in without]


def _insert(verb: str, table: str, names: Sequence[str], same: Mapping[str, str] = _NONE) -> str:
    values = [*("?" * len(names)), *same.values()]
    return f"{verb} INTO {table} ({', '.join([*names, *same])}) VALUES ({', '.join(values)})"


def storable(text: str) -> str:
    """Clients and upstreams can send lone surrogates, which no database takes."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def count(number: int) -> int:
    """Within what a column can hold; a row is never lost for an absurd number in it."""
    return number if 0 <= number <= MAX_COUNT else min(max(number, 0), MAX_COUNT)


def nano(amount: int) -> int:
    return amount if 0 <= amount <= MAX_NANO else min(max(amount, 0), MAX_NANO)
