"""What SDKs have beside asking."""

from __future__ import annotations

import pytest

from tests.matrix.cell import Cell
from tests.matrix.clients import Speaks
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.upstreams import BEHIND, PLAIN, Kind
from tests.support.standins.openai import COUNTED

EMBEDDERS = {Kind.COMPATIBLE: "chat-embedder", Kind.GEMINI: "gemini-embedder"}
EMBEDDERS_BEHIND = {Kind.COMPATIBLE: "text-embedding-3-small", Kind.GEMINI: "gemini-embedding-001"}


def count(cell: Cell, findings: Findings) -> None:
    """By the upstream where it can, else estimated by the hub."""
    counted = cell.client.count(cell.asked("minimal_text"))
    if counted is None:
        raise NotHere
    responses = cell.upstream.kind is Kind.RESPONSES and cell.client.speaks is Speaks.RESPONSES
    exact = cell.upstream.kind in (Kind.CLAUDE, Kind.GEMINI) or responses
    if exact:
        assert counted == COUNTED
    else:
        assert 0 < counted < 100
        findings.loses("estimated")


def models(cell: Cell, findings: Findings) -> None:
    """The names that requests may use."""
    asked = PLAIN[cell.upstream.kind]
    assert (asked if cell.hub else BEHIND[asked]) in cell.client.models()
    assert not findings.lost


def embeddings(cell: Cell, findings: Findings) -> None:
    kind = cell.upstream.kind
    if kind not in EMBEDDERS:
        raise NotHere
    model = EMBEDDERS[kind] if cell.hub else EMBEDDERS_BEHIND[kind]
    vectors = cell.client.embed(model, ["one", "two"])
    if vectors is None:
        raise NotHere
    assert vectors == [pytest.approx([0.5, -0.25]), pytest.approx([1.5, -0.25])], "in the order of the texts"
    assert not findings.lost
