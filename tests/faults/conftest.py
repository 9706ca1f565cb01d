"""One server per file; after each test its books are looked at, after the file they are proved and health was quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relayhub.testing.faults import FaultUpstream
from tests.faults.bench import Bench, benched, config, provider
from tests.faults.ledger import check_balances


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(row, what): the row of the fault table that a test shows")


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultUpstream]:
    upstream = FaultUpstream()
    with upstream.in_thread():
        yield upstream
    assert not upstream.unknown, upstream.unknown


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    """Files with other needs have a fixture of their own by this name."""
    return config({"up": provider(upstream.url)})


@pytest.fixture(scope="module")
def shared_bench(hub_config: str, upstream: FaultUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with benched(tmp_path_factory.mktemp("hub"), hub_config, upstream) as bench:
        yield bench


@pytest.fixture
def bench(shared_bench: Bench) -> Iterator[Bench]:
    yield shared_bench
    check_balances(shared_bench.hub)
