"""New keys beside a running hub: at every moment everything can be opened, and in the end with the newest key alone."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary

from relayhub.jobs.links import Links
from relayhub.jobs.webhooks import secret_of, secrets_of
from relayhub.store import places, rotation
from relayhub.store.audit import Actor, AuditFilter
from relayhub.store.errors import StoreError
from relayhub.store.intents import OpenHold
from relayhub.store.kept_turns import KeptTurn
from relayhub.store.key_file import MAX_KEYS, KeyFile, VaultKey, key_path
from relayhub.store.named_calls import CallName, KeptAnswer
from relayhub.store.schema import metadata
from relayhub.store.sealed import SEALED
from relayhub.store.store import Store
from relayhub.store.tickets import NewEvents
from relayhub.store.vault import LOOK_S, Vault, head_of
from relayhub.testing import FakeClock
from tests.support.books import open_books
from tests.support.limited import a_job

ME = Actor("cli:tester")
NAME = CallName("key", "name", "body")
LATER_S = rotation.SETTLE_S + 1


class Kept:
    """A store with something sealed in each of the places, and the looks that open it."""

    def __init__(self, store: Store, path: Path, now: float) -> None:
        self.store = store
        self.path = path
        self.now = now

    async def opened(self) -> set[str]:
        """The names of the columns whose value can be opened."""
        turn = await self.store.kept_turns.find("a", ["call:1"], self.now)
        waiting = await self.store.tickets._waiting_request("waiting", self.now)
        progress = await self.store.tickets.progress("running", 0, self.now)
        named = await self.store.named_calls.begin(NAME, "other", self.now, serving=frozenset())
        job = await self.store.jobs.get("job_req_j")
        assert job is not None
        assert waiting is not None
        request = await self.store.jobs.request_of(job)
        address = self.value("webhooks")
        found = {
            "kept_turns.sealed": "call:1" in turn and turn["call:1"].state == b"thought",
            "stream_tickets.request": self.store.vault.unseal(waiting, places.ticket_request("waiting")) == b"asked",
            "stream_events.sealed": progress is not None and progress.events == [(1, b"said")],
            "named_calls.sealed": getattr(named, "answer", None) == KeptAnswer(b"answer", "text/plain"),
            "jobs.sealed": request == b"a film",
            "webhooks.sealed": self.store.vault.unseal(address, places.webhook_address(job.id)) == b"http://me.example",
        }
        return {name for name, right in found.items() if right}

    def value(self, table: str) -> bytes:
        with closing(sqlite3.connect(self.path)) as connection:
            return bytes(connection.execute(f"SELECT sealed FROM {table}").fetchone()[0])


ALL = {column.name for column in SEALED}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def kept(path: Path, clock: FakeClock) -> AsyncIterator[Kept]:
    async with open_books(path, clock=clock) as books:
        store, now = books.store, clock.now()
        await store.kept_turns.keep("a", [KeptTurn("call:1", "p", b"thought")], now)
        for ticket in ("waiting", "running"):
            await store.tickets.create(ticket, books.issued.key.id, None, b"asked", now)
        await store.tickets.claim("running", "req_t", now)
        await store.tickets.append([NewEvents("running", 1, (b"said",), "", end=False)], now)
        await store.named_calls.begin(NAME, "req_n", now, serving=frozenset())
        await store.named_calls.end(NAME, "req_n", KeptAnswer(b"answer", "text/plain"))
        new = books.new_hold(10, "req_j")
        await store.jobs.open(OpenHold(new, "{}"), a_job(new, now), b"a film", webhook="http://me.example")
        yield Kept(store, path, now)


async def test_every_sealed_column_of_the_database_is_known() -> None:
    columns = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert columns == ALL


async def test_a_rotation_beside_a_running_hub_ends_with_one_key_that_opens_everything(
    kept: Kept, path: Path, clock: FakeClock
) -> None:
    before = key_path(path).read_bytes()
    assert await kept.opened() == ALL
    key = await asyncio.to_thread(rotation.add_key, path, clock.now(), ME)
    assert await kept.opened() == ALL, "what the older key sealed"
    assert rotation.reseal(path) == rotation.Resealed(len(ALL), 0)
    assert await kept.opened() == ALL, "what the new key sealed, before the hub has looked at the file again"
    assert await asyncio.to_thread(rotation.retire, path, clock.now() + LATER_S, ME) != []
    assert await kept.opened() == ALL
    assert [one.id for one in KeyFile.of(path).read() or ()] == [key.id]
    assert before not in key_path(path).read_bytes()
    assert key_path(path).stat().st_mode & 0o777 == 0o600
    found = rotation.status(path)
    assert [(one.id, one.values) for one in found.keys] == [(key.id.hex(), len(ALL))]
    assert (found.unnamed, found.unknown) == (0, 0)


async def test_the_older_key_is_good_for_nothing_afterwards(kept: Kept, path: Path, clock: FakeClock) -> None:
    (old,) = KeyFile.of(path).read() or ()
    rotation.add_key(path, clock.now(), ME)
    rotation.reseal(path)
    thief = Vault(KeyFile(path.with_name("stolen")), [old])
    assert thief.unseal(kept.value("jobs"), places.job_request("job_req_j")) is None


async def test_values_of_a_release_with_one_key_are_opened_and_sealed_again(
    kept: Kept, path: Path, clock: FakeClock
) -> None:
    (key,) = KeyFile.of(path).read() or ()
    place, nonce = places.job_request("job_req_j"), bytes(12)
    old = b"\x01" + nonce + AESGCM(key.secret).encrypt(nonce, b"a film", place.encode())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE jobs SET sealed = ?", (old,))
    assert rotation.status(path).unnamed == 1
    assert await kept.opened() == ALL
    rotation.add_key(path, clock.now(), ME)
    assert await kept.opened() == ALL
    rotation.reseal(path)
    assert rotation.status(path).unnamed == 0
    assert await kept.opened() == ALL


async def test_older_keys_stay_while_a_call_may_still_write_with_them(kept: Kept, path: Path, clock: FakeClock) -> None:
    rotation.add_key(path, clock.now(), ME)
    rotation.reseal(path)
    with pytest.raises(StoreError, match="in 60 s"):
        rotation.retire(path, clock.now(), ME)
    assert len(KeyFile.of(path).read() or ()) == 2


async def test_a_key_that_something_needs_is_not_retired(kept: Kept, path: Path, clock: FakeClock) -> None:
    rotation.add_key(path, clock.now(), ME)
    with pytest.raises(StoreError, match=f"{len(ALL)} values are sealed with an older key"):
        rotation.retire(path, clock.now() + LATER_S, ME)
    assert await kept.opened() == ALL


async def test_values_that_no_key_opens_hold_nothing_up(kept: Kept, path: Path, clock: FakeClock) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE jobs SET sealed = ?", (b"\x02lost" + bytes(40),))
    assert rotation.status(path).unknown == 1
    rotation.add_key(path, clock.now(), ME)
    assert rotation.reseal(path) == rotation.Resealed(len(ALL) - 1, 1)
    assert len(rotation.retire(path, clock.now() + LATER_S, ME)) == 1


STOPS = ["before the key file", "after the key file", "in the middle", "before the older key goes"]


@pytest.mark.parametrize("stop", STOPS)
async def test_wherever_it_is_killed_everything_is_readable_and_it_can_be_begun_again(
    kept: Kept, path: Path, clock: FakeClock, stop: str
) -> None:
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("rotate_child.py")), str(path), stop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert await asyncio.to_thread(child.stdout.readline) == "still\n"
        child.kill()
    assert await kept.opened() == ALL
    fresh = await Store.open(path, clock=clock)
    assert await Kept(fresh, path, kept.now).opened() == ALL, "for a process that starts now"
    await fresh.close()
    rotation.add_key(path, clock.now(), ME)
    rotation.reseal(path)
    rotation.retire(path, clock.now() + LATER_S, ME)
    assert await kept.opened() == ALL
    assert len(KeyFile.of(path).read() or ()) == 1


def half_a_second_passes(vault: Vault) -> None:
    vault._looked_at -= LOOK_S


async def test_a_running_hub_seals_with_the_new_key_soon(kept: Kept, path: Path, clock: FakeClock) -> None:
    key = rotation.add_key(path, clock.now(), ME)
    half_a_second_passes(kept.store.vault)
    assert kept.store.vault.seal(b"x", "p").startswith(head_of(key))


async def test_a_key_file_that_is_lost_or_spoilt_keeps_the_hub_on_the_keys_it_has(kept: Kept, path: Path) -> None:
    sealed = kept.store.vault.seal(b"x", "p")
    for content in (b"spoilt", None):
        key_path(path).unlink() if content is None else key_path(path).write_bytes(content)
        half_a_second_passes(kept.store.vault)
        assert kept.store.vault.unseal(kept.store.vault.seal(b"y", "p"), "p") == b"y"
        assert kept.store.vault.unseal(sealed, "p") == b"x"


async def test_links_and_signatures_of_the_older_key_are_good_until_it_is_retired(
    kept: Kept, path: Path, clock: FakeClock
) -> None:
    links = Links(lambda: "", lambda: Vault(KeyFile.of(path), KeyFile.of(path).read() or ()).all_derived("links"))
    old_link = links.to_file("file_1", 10_000).partition("sign=")[2]
    old_secret = secret_of(kept.store.vault, "key")
    rotation.add_key(path, clock.now(), ME)
    new_link = links.to_file("file_1", 10_000).partition("sign=")[2]
    assert new_link != old_link
    assert links.allows("file_1", "10000", old_link, 0.0)
    assert links.allows("file_1", "10000", new_link, 0.0)
    both = secrets_of(Vault(KeyFile.of(path), KeyFile.of(path).read() or ()), "key")
    assert both[1:] == [old_secret]
    rotation.reseal(path)
    rotation.retire(path, clock.now() + LATER_S, ME)
    assert not links.allows("file_1", "10000", old_link, 0.0)
    assert links.allows("file_1", "10000", new_link, 0.0)


async def test_a_rotation_is_in_the_audit_log_without_the_keys(kept: Kept, path: Path, clock: FakeClock) -> None:
    key = rotation.add_key(path, clock.now(), ME)
    rotation.reseal(path)
    rotation.retire(path, clock.now() + LATER_S, ME)
    rows = await kept.store.audit.rows(AuditFilter(subject="vault"), 10)
    assert [row.action for row in rows] == ["vault.retire", "vault.rotate"]
    assert await kept.store.audit.first_broken() is None
    assert rows[0].after == {"keys": [key.id.hex()]}
    assert key.secret.hex() not in str(rows)
    assert key.secret.hex() not in repr(key)


def test_there_is_a_bound_on_keys(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "hub.db.key")
    keys = [VaultKey(bytes([number]) * 32, float(number)) for number in range(MAX_KEYS)]
    file.replace(keys)
    assert list(file.read() or ()) == keys
    file.replace([*keys, VaultKey(b"x" * 32, 9.0)])
    with pytest.raises(StoreError, match="not a key file"):
        file.read()


async def test_nine_rotations_in_a_row_are_stopped_before_keys_are_lost(
    kept: Kept, path: Path, clock: FakeClock
) -> None:
    for _ in range(MAX_KEYS - 1):
        rotation.add_key(path, clock.now(), ME)
    with pytest.raises(StoreError, match="--retire"):
        rotation.add_key(path, clock.now(), ME)
    assert await kept.opened() == ALL


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        rotation.add_key(tmp_path / "hub.db", 1.0, ME)
    assert list(tmp_path.iterdir()) == []
