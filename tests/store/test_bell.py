"""What wakes the ledger's thread: no ring is missed, many are one, and nothing stays open."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from relayhub.store.bell import Bell
from tests.support.books import open_books

DESCRIPTORS = Path("/dev/fd")


def test_a_ring_is_heard_by_whoever_waits_and_by_whoever_waits_next() -> None:
    bell, heard = Bell(), threading.Event()

    def wait() -> None:
        bell.wait(None)
        heard.set()

    for rings_first in (True, False):
        heard.clear()
        thread = threading.Thread(target=wait)
        if rings_first:
            bell.ring()
        thread.start()
        if not rings_first:
            assert not heard.wait(0.05)
            bell.ring()
        assert heard.wait(10)
        thread.join()
    bell.close()


def test_more_rings_than_a_pipe_takes_are_one() -> None:
    bell = Bell()
    for _ in range(70_000):
        bell.ring()
    bell.wait(None)
    before = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - before >= 0.049
    bell.close()


def test_a_closed_bell_rings_no_more_and_whatever_has_its_number_hears_nothing() -> None:
    bell = Bell()
    bell.close()
    heard, rung = os.pipe()
    os.set_blocking(heard, False)
    bell.ring()
    bell.close()
    with pytest.raises(BlockingIOError):
        os.read(heard, 1)
    os.close(heard)
    os.close(rung)


async def test_a_store_that_closes_leaves_no_descriptor_open(tmp_path: Path) -> None:
    async def opened(name: str) -> int:
        async with open_books(tmp_path / name) as books:
            await books.hold(10)
        return len([*DESCRIPTORS.iterdir()])

    before = await opened("first.db")
    assert [await opened(f"{n}.db") for n in range(3)] == [before] * 3
