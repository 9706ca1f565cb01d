"""Settings of a request: they arrive, or the hub says which one it left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.matrix.asked import CITY_SCHEMA, Got
from tests.matrix.cell import Cell
from tests.matrix.clients import Speaks
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.text import prove
from tests.support.standins.scenes import STOP_WORD

SAMPLING: Mapping[Speaks, Mapping[str, float]] = {
    Speaks.CHAT: {"temperature": 0.5},
    Speaks.RESPONSES: {"temperature": 0.5},
    Speaks.GENERATE: {"temperature": 0.5},
}
STOP: Mapping[Speaks, Mapping[str, Any]] = {
    Speaks.CHAT: {"stop": [STOP_WORD]},
    Speaks.MESSAGES: {"stop_sequences": [STOP_WORD]},
    Speaks.GENERATE: {"stop_sequences": [STOP_WORD]},
}
SEED = (Speaks.CHAT, Speaks.GENERATE)


def schema(cell: Cell, findings: Findings) -> None:
    got = cell.ask(cell.asked("json", schema=CITY_SCHEMA), "json", findings)
    prove(cell, got, "json", findings)
    shape = cell.upstream.shape()
    assert shape["schema"] == CITY_SCHEMA
    if "name" in shape and cell.client.speaks in (Speaks.CHAT, Speaks.RESPONSES):
        assert (shape["name"], shape["strict"]) == ("city", True)


def stop_sequence(cell: Cell, findings: Findings) -> None:
    if cell.client.speaks not in STOP:
        raise NotHere
    for stream in (False, True):
        asked = cell.asked("stop_sequence", settings=STOP[cell.client.speaks], stream=stream)
        prove(cell, cell.ask(asked, "stop_sequence", findings), "stop_sequence", findings)
        assert cell.upstream.setting("stop") == [STOP_WORD]


def sampling(cell: Cell, findings: Findings) -> None:
    if cell.client.speaks not in SAMPLING:
        raise NotHere
    _arrives(cell, findings, SAMPLING[cell.client.speaks])


def seed(cell: Cell, findings: Findings) -> None:
    if cell.client.speaks not in SEED:
        raise NotHere
    _arrives(cell, findings, {"seed": 7})


def _arrives(cell: Cell, findings: Findings, settings: Mapping[str, Any]) -> None:
    got: Got = cell.ask(cell.asked("minimal_text", settings=settings), "minimal_text", findings)
    for name, value in settings.items():
        findings.fact("dropped", cell.upstream.setting(name), value, instead=None)
        assert cell.upstream.setting(name) == value or name in got.dropped, "nothing is dropped silently"
