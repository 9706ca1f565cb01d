"""Every feature, in front of every upstream, with every client: exactly what is expected of the cell becomes of it. The
document says no more and no less."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.matrix.cell import Cell, observe
from tests.matrix.clients import CLIENTS, Client
from tests.matrix.document import DOCUMENT, rendered
from tests.matrix.expected import DEVIATIONS, expected
from tests.matrix.features import FEATURES
from tests.matrix.upstreams import Kind, upstream
from tests.support.server import Server
from tests.support.standins.base import StandIn


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.node if "node" in name else ()) for name in CLIENTS]
)
def test_what_becomes_of_a_feature(
    client_of: Callable[[str], Client],
    stranger_of: Callable[[str], Client],
    hub: Server,
    standins: Mapping[Kind, StandIn],
    name: str,
    kind: Kind,
    feature: str,
) -> None:
    client = client_of(name)
    cell = Cell(client, upstream(kind, client.speaks, standins), hub, stranger_of(name))
    outcome = observe(FEATURES[feature], cell)
    assert str(outcome) == str(expected(feature, client.speaks, kind))


def test_every_deviation_is_one_of_a_feature() -> None:
    assert DEVIATIONS.keys() <= FEATURES.keys()


def test_the_document_says_what_the_cells_prove() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == rendered(), (
        "run scripts/compatibility and commit docs/compatibility.md"
    )
