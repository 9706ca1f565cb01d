"""Looks from the event loop: what others commit is seen at once, nobody is waited for, nobody is held up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relayhub.store import jobs, keys, named_calls, tickets
from relayhub.store.glance import Glance
from tests.support.books import open_books

ANY = "SELECT 1 FROM t WHERE n >= ? LIMIT 1"
NEWEST = "SELECT max(n) FROM t"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a b.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER)")
    return path


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's, as far as SQLite is concerned."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def glance(path: Path) -> Iterator[Glance]:
    glance = Glance(path)
    yield glance
    glance.close()


def test_what_others_commit_is_seen_by_the_next_look(glance: Glance, other: sqlite3.Connection) -> None:
    assert not glance.finds(ANY, 0)
    for n in range(3):
        other.execute("INSERT INTO t VALUES (?)", (n,))
        assert (glance.finds(ANY, n), glance.finds(ANY, n + 1), glance.number(NEWEST)) == (True, False, n)
    other.execute("DELETE FROM t")
    assert not glance.finds(ANY, 0)


def test_a_writer_in_the_midst_of_it_is_not_waited_for(glance: Glance, other: sqlite3.Connection) -> None:
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO t VALUES (1)")
    assert not glance.finds(ANY, 0)
    other.execute("COMMIT")
    assert glance.finds(ANY, 0)


def test_no_look_keeps_the_log_from_being_cut_back(glance: Glance, other: sqlite3.Connection) -> None:
    other.execute("INSERT INTO t VALUES (1)")
    assert glance.finds(ANY, 0)
    assert glance.number(NEWEST) == 1
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_where_one_has_the_whole_file_the_long_way_is_to_be_taken_and_later_looks_see_again(
    glance: Glance, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as alone:
        alone.execute("PRAGMA locking_mode = EXCLUSIVE")
        alone.execute("INSERT INTO t VALUES (1)")
        assert glance.finds(ANY, 99), "it cannot be seen that there is nothing"
        assert glance.number(NEWEST) is None
    assert not glance.finds(ANY, 99)
    assert glance.number(NEWEST) == 1


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    glance = Glance(tmp_path / "none.db")
    assert glance.finds(ANY, 0)
    assert glance.number(NEWEST) is None
    assert list(tmp_path.iterdir()) == []
    glance.close()


def test_a_look_changes_nothing(glance: Glance, other: sqlite3.Connection) -> None:
    glance.finds("INSERT INTO t VALUES (?) RETURNING 1", 1)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_closing_twice_is_once(glance: Glance) -> None:
    assert not glance.finds(ANY, 0)
    glance.close()
    glance.close()
    assert not glance.finds(ANY, 0), "and it opens again where it is asked"


async def test_every_question_is_a_step_along_an_index(tmp_path: Path) -> None:
    asked = {
        f"{module.__name__}.{name}": str(value)
        for module in (jobs, keys, named_calls, tickets)
        for name, value in vars(module).items()
        if name.endswith("_AT_A_GLANCE")
    }
    async with open_books(tmp_path / "b.db"):
        with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
            steps = {
                name: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", (1,) * text.count("?"))]
                for name, text in asked.items()
            }
    assert len(asked) == 6
    read = [step for plan in steps.values() for step in plan if step.startswith(("SCAN ", "SEARCH "))]
    assert [step for step in read if " INDEX " not in step and step != "SCAN CONSTANT ROW"] == [], steps
