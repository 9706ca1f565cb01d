"""Many rows in few statements: however many there are, each is written, or taken out, once."""

from __future__ import annotations

import sqlite3

import pytest

from relayhub.store.many import delete_many, insert_many

INSERT = "INSERT INTO rows (id, word) VALUES (?, ?)"


@pytest.mark.parametrize("number", [*range(70), 80, 81, 127, 128, 129, 144, 200])
def test_so_many_rows_are_written_and_all_but_one_taken_out_again(number: int) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    statements: list[str] = []
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, word TEXT)")
    connection.set_trace_callback(statements.append)
    rows = [(n, f"word {n}") for n in range(number)]
    insert_many(connection.cursor(), INSERT, rows)
    assert connection.execute("SELECT id, word FROM rows ORDER BY id").fetchall() == rows
    delete_many(connection.cursor(), "DELETE FROM rows WHERE id IN (?)", [n for n in range(number) if n != 7])
    assert connection.execute("SELECT id FROM rows").fetchall() == ([(7,)] if number > 7 else [])
    assert len(statements) <= 2 + 2 * (1 + number // 64 + 1)


def test_what_follows_the_rows_stands_behind_all_of_them() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, word TEXT)")
    again = "ON CONFLICT (id) DO UPDATE SET word = excluded.word"
    for word in ("old", "new"):
        insert_many(connection.cursor(), INSERT, [(n, word) for n in range(50)], again)
    assert connection.execute("SELECT count(*), min(word), max(word) FROM rows").fetchone() == (50, "new", "new")
