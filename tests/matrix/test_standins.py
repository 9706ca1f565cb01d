"""The stand-ins by themselves: every official SDK gets along with the one of its vendor, feature by feature and without
any loss; so a loss that the table shows is the hub's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.matrix.cell import Cell, observe
from tests.matrix.clients import CLIENTS, Client
from tests.matrix.features import FEATURES
from tests.matrix.outcome import ABSENT, EXACT
from tests.matrix.upstreams import Kind, upstream
from tests.support.standins.base import KEY, StandIn

HOME = {
    "chat-python": Kind.COMPATIBLE,
    "chat-node": Kind.COMPATIBLE,
    "responses-python": Kind.RESPONSES,
    "responses-node": Kind.RESPONSES,
    "messages": Kind.CLAUDE,
    "generate": Kind.GEMINI,
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.node if "node" in name else ()) for name in CLIENTS]
)
def at_home(request: pytest.FixtureRequest, standins: Mapping[Kind, StandIn]) -> Iterator[tuple[Client, Kind]]:
    kind = HOME[request.param]
    client = CLIENTS[request.param](standins[kind].url, KEY)
    yield client, kind
    client.close()


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated")
@pytest.mark.parametrize("feature", FEATURES)
def test_a_client_and_the_service_of_its_vendor(
    at_home: tuple[Client, Kind], feature: str, standins: Mapping[Kind, StandIn]
) -> None:
    client, kind = at_home
    outcome = observe(FEATURES[feature], Cell(client, upstream(kind, client.speaks, standins), None))
    assert outcome in (EXACT, ABSENT)
