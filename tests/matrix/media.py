"""Images and files in a question."""

from __future__ import annotations

from tests.matrix.asked import PDF
from tests.matrix.cell import Cell
from tests.matrix.clients import Speaks
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.text import prove
from tests.matrix.upstreams import Kind
from tests.support.standins.base import LINKED, RED_PNG


def inline_image(cell: Cell, findings: Findings) -> None:
    got = cell.ask(cell.asked("vision", image=RED_PNG), "vision", findings)
    prove(cell, got, "vision", findings)
    assert list(cell.upstream.media()) == [(RED_PNG, "")]


def linked_image(cell: Cell, findings: Findings) -> None:
    """The link itself where the upstream follows links, else what it leads to."""
    if cell.client.speaks is Speaks.GENERATE:
        raise NotHere
    link = f"{cell.upstream.standin.url}{LINKED}"
    got = cell.ask(cell.asked("vision", image=link), "vision", findings)
    prove(cell, got, "vision", findings)
    expected = RED_PNG if cell.upstream.kind is Kind.GEMINI else link
    assert list(cell.upstream.media()) == [(expected, "")]


def file(cell: Cell, findings: Findings) -> None:
    got = cell.ask(cell.asked("file", file=PDF), "file", findings)
    prove(cell, got, "file", findings)
    [(data, name)] = cell.upstream.media()
    assert data == PDF
    given = "" if cell.client.speaks is Speaks.GENERATE else "a.pdf"
    if given:
        findings.fact("the file's name", name, given, instead="")
