"""Changes are noticed once they have been left alone, however files are replaced."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayhub.running.source import ConfigSource
from relayhub.running.watch import Watcher
from relayhub.sdk.clock import SystemClock

CONFIG = "providers: {up: {type: openai, api_key_file: secret/key, models_file: models.yaml}}\n"


class Turns(SystemClock):
    """Whoever sleeps wakes when the test says so."""

    def __init__(self) -> None:
        self.asleep = asyncio.Semaphore(0)
        self.turn = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.asleep.release()
        await self.turn.acquire()


class Watched:
    """A watcher that looks when the test says so. ``times``: how often it has called for a reload."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Turns()
        self.times = 0
        self.watcher = Watcher(ConfigSource(home / "relayhub.yaml", {}, {}), (home / "plugins",), self.clock)

    async def changed(self) -> None:
        self.times += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From its first look on."""
        task = asyncio.create_task(self.watcher.run(self.changed))
        try:
            async with asyncio.timeout(10):
                await self.clock.asleep.acquire()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self, times: int = 1) -> None:
        """So many looks later."""
        async with asyncio.timeout(10):
            for _ in range(times):
                self.clock.turn.release()
                await self.clock.asleep.acquire()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    (tmp_path / "relayhub.yaml").write_text(CONFIG)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("sk-1")
    (tmp_path / "models.yaml").write_text("m: {free: true}\n")
    (tmp_path / "plugins").mkdir()
    return Watched(tmp_path)


async def test_nothing_happens_while_nothing_changes(watched: Watched) -> None:
    async with watched.running():
        await watched.look(5)
    assert watched.times == 0


CHANGES: dict[str, Callable[[Path], object]] = {
    "the config": lambda home: (home / "relayhub.yaml").write_text(CONFIG + "# more\n"),
    "a secret's file": lambda home: (home / "secret" / "key").write_text("sk-23"),
    "a secret's file, replaced by one of the same size": lambda home: replace(home / "secret" / "key", "sk-2"),
    "the list of models": lambda home: (home / "models.yaml").write_text("n: {free: true}, o: {free: true}\n"),
    "a new plugin": lambda home: (home / "plugins" / "acme.py").write_text("x = 1\n"),
    "a file that is gone": lambda home: (home / "models.yaml").unlink(),
}


def replace(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.rename(file)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_noticed_once(watched: Watched, change: str) -> None:
    async with watched.running():
        CHANGES[change](watched.home)
        await watched.look(5)
    assert watched.times == 1


async def test_a_directory_that_is_switched_over_as_kubernetes_does_it(watched: Watched) -> None:
    for name, key in (("one", "sk-1"), ("two", "sk-2")):
        (watched.home / name).mkdir()
        (watched.home / name / "key").write_text(key)
    (watched.home / "secret" / "key").unlink()
    (watched.home / "secret").rmdir()
    (watched.home / "secret").symlink_to("one")
    async with watched.running():
        (watched.home / "new").symlink_to("two")
        (watched.home / "new").rename(watched.home / "secret")
        await watched.look(5)
    assert watched.times == 1


async def test_while_it_is_still_being_written_nobody_reads_it(watched: Watched) -> None:
    async with watched.running():
        for number in range(4):
            (watched.home / "relayhub.yaml").write_text(CONFIG + "#" * number + "\n")
            await watched.look()
            assert watched.times == 0
        await watched.look()
        assert watched.times == 1


async def test_a_file_that_the_new_config_names_is_watched_from_then_on(watched: Watched) -> None:
    async with watched.running():
        (watched.home / "other").write_text("sk-3")
        (watched.home / "relayhub.yaml").write_text(CONFIG.replace("secret/key", "other"))
        await watched.look(4)
        (watched.home / "other").write_text("sk-44")
        await watched.look(4)
    assert watched.times == 2


async def test_a_config_that_cannot_be_read_is_watched_all_the_same(watched: Watched) -> None:
    async with watched.running():
        (watched.home / "relayhub.yaml").write_text("providers: {")
        await watched.look(4)
        (watched.home / "relayhub.yaml").write_text(CONFIG)
        await watched.look(4)
    assert watched.times == 2
