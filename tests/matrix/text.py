"""Text, whole and streamed, how it ends, and what it cost."""

from __future__ import annotations

from tests.matrix.asked import Got
from tests.matrix.cell import Cell
from tests.matrix.outcome import Findings
from tests.support.standins.scenes import End

SYSTEM = "Answer in one word."


def prove(cell: Cell, got: Got, scene: str, findings: Findings) -> None:
    """Text and end are the upstream's."""
    played = cell.scene(scene)
    assert got.text == played.text
    end = cell.client.word(played.end)
    findings.fact("which stop sequence", got.finish, end, instead=cell.client.word(End.STOP))


def _text(cell: Cell, scene: str, findings: Findings, *, stream: bool) -> None:
    asked = cell.asked(scene, stream=stream, system=SYSTEM)
    prove(cell, cell.ask(asked, scene, findings), scene, findings)
    assert cell.upstream.system() == SYSTEM


def whole(cell: Cell, findings: Findings) -> None:
    _text(cell, "minimal_text", findings, stream=False)


def streamed(cell: Cell, findings: Findings) -> None:
    _text(cell, "stream_text", findings, stream=True)


def _both(cell: Cell, scene: str, findings: Findings) -> None:
    _text(cell, scene, findings, stream=False)
    _text(cell, scene, findings, stream=True)


def length(cell: Cell, findings: Findings) -> None:
    _both(cell, "length", findings)


def filtered(cell: Cell, findings: Findings) -> None:
    _both(cell, "filtered", findings)


def cached(cell: Cell, findings: Findings) -> None:
    _both(cell, "cached", findings)
