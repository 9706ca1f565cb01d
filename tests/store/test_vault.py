"""Sealed values, and the file with their key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relayhub.store.errors import StoreError
from relayhub.store.kept_turns import KEPT_S, KeptTurn
from relayhub.store.key_file import KEY_BYTES, key_path
from relayhub.store.store import Store
from relayhub.store.vault import Vault
from relayhub.testing import FakeClock


def test_a_value_opens_only_where_it_belongs_and_unchanged(tmp_path: Path) -> None:
    vault = Vault.beside(tmp_path / "hub.db")
    sealed = vault.seal(b"secret", "place:1")
    assert b"secret" not in sealed
    assert vault.unseal(sealed, "place:1") == b"secret"
    assert vault.unseal(sealed, "place:2") is None
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert vault.unseal(bytes(changed), "place:1") is None
    for length in range(len(sealed)):
        assert vault.unseal(sealed[:length], "place:1") is None


def test_equal_values_look_different(tmp_path: Path) -> None:
    vault = Vault.beside(tmp_path / "hub.db")
    assert vault.seal(b"x", "p") != vault.seal(b"x", "p")


def test_another_process_opens_it_with_the_same_file(tmp_path: Path) -> None:
    sealed = Vault.beside(tmp_path / "hub.db").seal(b"x", "p")
    assert Vault.beside(tmp_path / "hub.db").unseal(sealed, "p") == b"x"
    assert Vault.beside(tmp_path / "other.db").unseal(sealed, "p") is None


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        vaults = list(pool.map(lambda _: Vault.beside(tmp_path / "hub.db"), range(16)))
    sealed = vaults[0].seal(b"x", "p")
    assert all(vault.unseal(sealed, "p") == b"x" for vault in vaults)
    assert [path.name for path in tmp_path.iterdir()] == ["hub.db.key"]


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    Vault.beside(tmp_path / "hub.db")
    path = key_path(tmp_path / "hub.db")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        Vault.beside(tmp_path / "hub.db")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * (KEY_BYTES + 1)])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = key_path(tmp_path / "hub.db")
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a key file") as refused:
        Vault.beside(tmp_path / "hub.db")
    assert "xxx" not in str(refused.value)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    key_path(tmp_path / "hub.db").mkdir()
    with pytest.raises(StoreError):
        Vault.beside(tmp_path / "hub.db")


async def test_a_lost_key_stops_the_start_while_something_sealed_is_wanted(tmp_path: Path) -> None:
    database = tmp_path / "hub.db"
    clock = FakeClock()
    store = await Store.open(database, clock=clock)
    await store.kept_turns.keep("a", [KeptTurn("call:1", "p", b"x")], clock.now())
    await store.close()
    key_path(database).unlink()
    with pytest.raises(StoreError, match=r"key file is missing.*head -c 32 /dev/urandom"):
        await Store.open(database, clock=clock)
    assert not key_path(database).exists()
    clock.advance(KEPT_S + 1)
    await (await Store.open(database, clock=clock)).close()
    assert key_path(database).exists(), "what it was for has expired"


def test_a_key_that_another_process_made_meanwhile_is_no_loss(tmp_path: Path) -> None:
    made: list[Vault] = []

    def look() -> bool:
        made.append(Vault.beside(tmp_path / "hub.db"))
        return True

    vault = Vault.beside(tmp_path / "hub.db", look)
    assert vault.unseal(made[0].seal(b"x", "p"), "p") == b"x"
