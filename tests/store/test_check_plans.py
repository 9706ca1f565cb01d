"""``ledger check`` reads each table a few times, however long it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite import dialect

from relayhub.store.check import _rules
from relayhub.store.migrate import migrate


@pytest.mark.parametrize("place", range(len(_rules())), ids=[rule for rule, _ in _rules()])
def test_no_table_is_read_again_for_each_row(place: int, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    path.touch()
    migrate(path, 1.0)
    asked = _rules()[place][1].compile(dialect=dialect(paramstyle="named"), compile_kwargs={"render_postcompile": True})
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {asked}", asked.params).fetchall()
    each = {row[0] for row in plan if row[3].startswith("CORRELATED")}
    assert [row[3] for row in plan if row[1] in each and row[3].startswith("SCAN")] == []
