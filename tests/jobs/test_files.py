"""The folder of results, and what goes wrong there."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayhub.jobs.files import ABANDONED_S, PARTIAL, FileStore
from relayhub.types.errors import HubError
from tests.jobs.bench import Bench

NAME = "file_01ABANDONED00000000000000AB"


async def test_what_a_crash_left_half_written_is_deleted_once_it_is_old(bench: Bench) -> None:
    left = bench.files.path(NAME).with_name(NAME + PARTIAL)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a film")
    await bench.engine.sweep()
    assert left.exists(), "it may still be on its way"
    old = time.time() - ABANDONED_S - 60
    os.utime(left, (old, old))
    await bench.engine.sweep()
    assert not left.exists()


async def test_a_source_that_breaks_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    """aiohttp's timeouts and resets are ``OSError``s too: a result that its server never delivers must be given up some
    day, and a disk that is full must not."""

    async def stalls() -> AsyncIterator[bytes]:
        yield b"half a film"
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await FileStore(tmp_path, 100).write("file_1", stalls())
    assert list(tmp_path.glob("*/*")) == []


async def test_a_disk_that_takes_no_more_is_the_hubs_trouble(tmp_path: Path) -> None:
    (tmp_path / "_1").write_bytes(b"a file where a folder is wanted")

    async def film() -> AsyncIterator[bytes]:
        yield b"film"

    with pytest.raises(HubError) as full:
        await FileStore(tmp_path, 100).write("file_1", film())
    assert full.value.code == "result_not_stored"


async def test_one_file_that_cannot_be_deleted_keeps_no_other_one(bench: Bench) -> None:
    job = await bench.until_over(await bench.submit())
    other = await bench.until_over(await bench.submit())
    (stuck,), (result,) = await bench.jobs.results(job.id), await bench.jobs.results(other.id)
    path = bench.files.path(stuck.file or "")
    path.unlink()
    path.mkdir()
    bench.clock.advance(7 * 86400 + 1)
    await bench.engine.sweep()
    assert not bench.files.path(result.file or "").exists()
    assert [one.file for one in await bench.jobs.results(other.id)] == [None]
    assert [one.file for one in await bench.jobs.results(job.id)] == [stuck.file], "it is tried again"
