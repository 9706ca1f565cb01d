from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.processes import Cpus
from tests.bench.rounds import mock_upstream


@pytest.fixture
def cpus() -> Cpus:
    return Cpus.choose()


@pytest.fixture
def upstream_port(cpus: Cpus) -> Iterator[int]:
    with mock_upstream(cpus) as port:
        yield port
