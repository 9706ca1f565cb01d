from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from tests.support.two_ways import Bench, benches


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def two_ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """On each of the loops that relayhub runs on: they tell of connections in another order."""
    make = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop
    with benches(tmp_path_factory.mktemp(request.param), make) as opened:
        yield opened
