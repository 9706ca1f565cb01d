"""A call served without a task, and the same one served in one, in hubs that are alike: nobody may tell them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from relayhub.web.quick.visit import Visit
from tests.support.inner_hub import Answer, InnerHub, Scripted, inner_hub
from tests.support.openai_wire import DONE, chunk, completion, usage_chunk
from tests.support.raw_upstream import chunked, http

FRAMES = (chunk("m-up", content="Hel"), chunk("m-up", content="lo."), chunk("m-up", finish="stop"))
USAGE = usage_chunk("m-up", 10, 5)
STREAM = chunked(*FRAMES, USAGE, DONE)
WHOLE = http(completion("m-up"))

Seen: TypeAlias = "dict[str, object]"
Make: TypeAlias = "Callable[[], asyncio.AbstractEventLoop]"


Lab: TypeAlias = "tuple[asyncio.Runner, InnerHub, Scripted]"
Test: TypeAlias = "Callable[[InnerHub, Scripted], Awaitable[Seen]]"


class Bench:
    """Two hubs on loops of their own: what the one serves without a task the other one serves in one."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, make: Make, settings: Mapping[str, str]) -> None:
        self._patch = patch
        self._stack = ExitStack()
        self._labs = [self._lab(folder / name, make, settings) for name in ("direct", "task")]

    def _lab(self, home: Path, make: Make, settings: Mapping[str, str]) -> Lab:
        home.mkdir(parents=True)
        runner = self._stack.enter_context(asyncio.Runner(loop_factory=make))
        opening = _opened(home, settings)
        inner, upstream = runner.run(opening.__aenter__())
        self._stack.callback(lambda: runner.run(opening.__aexit__(None, None, None)))
        return runner, inner, upstream

    def close(self) -> None:
        self._stack.close()

    def both(self, test: Test, *, always_direct: bool = True) -> Seen:
        """What was seen must be the same; returns it."""
        direct, task = self.each(test, always_direct=always_direct)
        assert direct == task
        return direct

    def each(self, test: Test, *, always_direct: bool = True) -> list[Seen]:
        """Served without a task, and in one. ``always_direct``: all calls of the first kind begin without."""
        begin, begun = Visit.direct, []

        def noted(visit: Visit) -> object:
            begun.append(begin(visit))
            return begun[-1]

        seen = []
        for (runner, inner, upstream), way in zip(self._labs, (noted, lambda _: None), strict=True):
            with self._patch.context() as patched:
                patched.setattr(Visit, "direct", way)
                seen.append(runner.run(self._one(test, inner, upstream)))
        assert begun
        assert None not in begun or not always_direct
        return seen

    async def _one(self, test: Test, inner: InnerHub, upstream: Scripted) -> Seen:
        """And everybody must have left in good order."""
        usage, ledger = len(inner.usage()), len(inner.ledger())
        upstream.requests.clear()
        upstream.answers.clear()
        seen = await test(inner, upstream)
        await inner.calm()
        circuits = inner.circuits()
        inner.forget_failures()
        assert await inner.hub.store.ledger.check() == []
        assert inner.troubles == []
        own = {"usage": inner.usage()[usage:], "ledger": inner.ledger()[ledger:], "circuits": circuits}
        return own | {"requests": len(upstream.requests)} | seen


@asynccontextmanager
async def _opened(home: Path, settings: Mapping[str, str]) -> AsyncIterator[tuple[InnerHub, Scripted]]:
    async with Scripted(WHOLE).serving() as upstream, inner_hub(home, upstream.url, **settings) as inner:
        yield inner, upstream


@contextmanager
def benches(folder: Path, make: Make, **settings: str) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch, closing(Bench(folder, patch, make, settings)) as bench:
        yield bench


def told(*answers: Answer) -> list[tuple[str, bool]]:
    return [(answer.plain, answer.whole) for answer in answers]
