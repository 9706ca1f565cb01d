"""The audit log: added to in the change's own transaction, and nothing in it can be altered unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from relayhub.accounts.issuing import issue_key
from relayhub.store.audit import Actor, AuditFilter
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError

ALICE = Actor("person:alice", "req_1", "192.0.2.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path, durability="process", clock=FakeClock())
    yield store
    await store.close()


async def change_a_few(store: Store) -> None:
    account = await store.accounts.create("acme", by=ALICE)
    await store.ledger.grant(account.id, 500, actor=ALICE, reason="to begin with")
    await store.accounts.update(account.id, name="acme 2 é\u2028", unlimited=None, by=ALICE)
    await issue_key(store.keys, "k", account.id, by=ALICE)


async def test_every_change_says_who_from_where_and_from_what_to_what(store: Store) -> None:
    await change_a_few(store)
    rows = await store.audit.rows(AuditFilter(), 10)
    assert [row.action for row in rows] == ["key.create", "account.update", "account.grant", "account.create"]
    assert {(row.actor, row.request_id, row.client) for row in rows} == {("person:alice", "req_1", "192.0.2.1")}
    assert rows[1].before == {"name": "acme", "unlimited": False}
    assert rows[1].after == {"name": "acme 2 é\u2028", "unlimited": False}
    assert rows[2].after == {"total_nano": 500, "reason": "to begin with"}
    assert await store.audit.first_broken() is None


async def test_what_changes_nothing_is_not_written_down(store: Store) -> None:
    await change_a_few(store)
    account = await store.accounts.get("acme 2 é\u2028")
    await store.accounts.update(account.id, name=account.name, unlimited=False, by=ALICE)
    key = (await store.keys.all())[0]
    await store.keys.revoke(key.id, ALICE)
    await store.keys.revoke(key.id, ALICE)
    for _ in range(2):
        with pytest.raises(ClientError):
            await store.accounts.create(account.name, by=ALICE)
    with pytest.raises(ClientError):
        await store.ledger.adjust(account.id, -501, actor=ALICE, reason="too much")
    assert len(await store.audit.rows(AuditFilter(), 99)) == 5


async def test_rows_are_found_by_what_they_say(store: Store) -> None:
    await change_a_few(store)
    account = await store.accounts.get("acme 2 é\u2028")
    assert len(await store.audit.rows(AuditFilter(subject=account.id), 99)) == 3
    assert len(await store.audit.rows(AuditFilter(action="key.create"), 99)) == 1
    assert await store.audit.rows(AuditFilter(actor="person:bob"), 99) == []
    newest = (await store.audit.rows(AuditFilter(), 1))[0]
    assert [row.id for row in await store.audit.rows(AuditFilter(below=newest.id), 2)] == [newest.id - 1, newest.id - 2]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_database_takes_no_change_of_a_row(store: Store, path: Path, statement: str) -> None:
    await change_a_few(store)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE audit SET actor = 'person:bob' WHERE id = 2", 2),
        ("UPDATE audit SET after = '{}' WHERE id = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 2", 3),
        ("DELETE FROM audit WHERE id >= 3", 3),
        ("DELETE FROM audit", 1),
    ],
)
async def test_whoever_gets_around_that_is_seen(store: Store, path: Path, statement: str, first: int) -> None:
    await change_a_few(store)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("DROP TRIGGER audit_no_delete")
        connection.execute(statement)
    assert await store.audit.first_broken() == first
