"""Thinking: asked for, shown, and signed thinking that must come back unchanged."""

from __future__ import annotations

from dataclasses import replace

from tests.matrix.asked import BOTH, Failed, Got
from tests.matrix.cell import Cell
from tests.matrix.clients import Client
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.text import prove
from tests.matrix.tools import OUTPUTS
from tests.support.standins.openai_chat import WITHOUT_REASONING
from tests.support.standins.scenes import AFTER_TOOLS


def shown(cell: Cell, findings: Findings) -> None:
    for model in _thinkers(cell):
        asked = cell.asked("stream_thinking", model, thinks=True, stream=True)
        got = cell.ask(asked, "stream_thinking", findings)
        prove(cell, got, "stream_thinking", findings)
        assert cell.upstream.thinking(), "it was asked for"
        assert got.reasoning == cell.scene("stream_thinking").reasoning
        assert not got.dropped


def signed(cell: Cell, findings: Findings) -> None:
    _tool_turns(cell, cell.client, findings, bare=False)


def stateless(cell: Cell, findings: Findings) -> None:
    """The second request is another account's, so that only what the client gives back can help."""
    _tool_turns(_translated(cell), cell.stranger, findings, bare=False)


def bare(cell: Cell, findings: Findings) -> None:
    """The hub keeps what the client does not give back. A native client that leaves it out would fail without a hub
    just as well."""
    _tool_turns(_translated(cell), cell.client, findings, bare=True)


def lost(cell: Cell, findings: Findings) -> None:
    """Neither the client nor the hub has it any more."""
    refused = cell.upstream.standin.refused
    try:
        _tool_turns(_translated(cell), cell.stranger, findings, bare=True)
    except Failed:
        if refused.pop() != WITHOUT_REASONING:
            raise
        findings.loses("the upstream refuses the turn")


def _translated(cell: Cell) -> Cell:
    if cell.native:
        raise NotHere
    return cell


def _thinkers(cell: Cell) -> tuple[str, ...]:
    if not cell.thinkers:
        raise NotHere
    return cell.thinkers


def _tool_turns(cell: Cell, second: Client | None, findings: Findings, *, bare: bool) -> None:
    """``second``: who brings the results. ``bare``: without vendor fields and thinking."""
    assert second is not None
    for model in _thinkers(cell):
        for stream in (False, True):
            asked = cell.asked("thinking_tools", model, tools=BOTH, thinks=True, stream=stream)
            before = len(cell.upstream.returned)
            got = cell.ask(asked, "thinking_tools", findings)
            assert got.reasoning == cell.scene("thinking_tools").reasoning
            turn = cell.client.bare(got.turn) if bare else got.turn
            history = (*turn, *cell.client.results(got.calls, OUTPUTS))
            again = replace(cell, client=second).ask(replace(asked, history=history), AFTER_TOOLS, findings)
            prove(cell, again, AFTER_TOOLS, findings)
            if len(cell.upstream.returned) == before:
                _note_lost(again, findings)


def _note_lost(got: Got, findings: Findings) -> None:
    """The upstream has taken the turn without its thinking, which only some do."""
    assert got.dropped <= {"thinking"}
    findings.loses("thinking is off in the next turn" if got.dropped else "earlier thinking")
