"""Tools: calls, results, choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.matrix.asked import BOTH, PING, Asked, Got
from tests.matrix.cell import Cell
from tests.matrix.clients import Speaks
from tests.matrix.outcome import Findings, NotHere
from tests.matrix.text import prove
from tests.matrix.upstreams import Kind
from tests.support.standins.scenes import AFTER_TOOLS

OUTPUTS = ("4 C and raining", "09:30")


def _ask(cell: Cell, asked: Asked, scene: str, findings: Findings) -> Got:
    got = cell.ask(asked, scene, findings)
    prove(cell, got, scene, findings)
    expected = [(use.name, use.arguments) for use in cell.scene(scene).calls]
    assert [(call.name, call.arguments) for call in got.calls] == expected
    ids = {call.id for call in got.calls}
    assert len(ids) == len(got.calls), "every call has an id of its own"
    return got


def called(cell: Cell, findings: Findings) -> None:
    for stream in (False, True):
        _ask(cell, cell.asked("one_tool", tools=BOTH, stream=stream), "one_tool", findings)


def parallel(cell: Cell, findings: Findings) -> None:
    _ask(cell, cell.asked("stream_tools", tools=BOTH, stream=True), "stream_tools", findings)


def without_arguments(cell: Cell, findings: Findings) -> None:
    for stream in (False, True):
        _ask(cell, cell.asked("no_arguments", tools=(PING,), stream=stream), "no_arguments", findings)


def answered(cell: Cell, findings: Findings) -> None:
    """Both ways of asking, and the answers of both tools in one turn."""
    for stream in (False, True):
        asked = cell.asked("thinking_tools", tools=BOTH, stream=stream)
        got = _ask(cell, asked, "thinking_tools", findings)
        answer = cell.client.results(got.calls, OUTPUTS)
        again = cell.ask(replace(asked, history=(*got.turn, *answer)), AFTER_TOOLS, findings)
        prove(cell, again, AFTER_TOOLS, findings)
        assert cell.upstream.results() == list(OUTPUTS)


def failed(cell: Cell, findings: Findings) -> None:
    """A result that says it is an error, where the client's dialect can say so."""
    if cell.client.speaks not in (Speaks.MESSAGES, Speaks.GENERATE):
        raise NotHere
    asked = cell.asked("one_tool", tools=BOTH)
    got = _ask(cell, asked, "one_tool", findings)
    history = (*got.turn, *cell.client.results(got.calls, ("No such city",), failed=True))
    cell.ask(replace(asked, history=history), AFTER_TOOLS, findings)
    text, marked = cell.upstream.failure()
    findings.fact("the mark, for the words “Error: ”", marked, True, instead=False)
    assert text == ("No such city" if marked else "Error: No such city")


CHOSEN: Mapping[Speaks, Mapping[str, Any]] = {
    Speaks.CHAT: {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    Speaks.RESPONSES: {"tool_choice": {"type": "function", "name": "get_weather"}},
    Speaks.MESSAGES: {"tool_choice": {"type": "tool", "name": "get_weather"}},
    Speaks.GENERATE: {
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["get_weather"]}}
    },
}
REQUIRED: Mapping[Speaks, Mapping[str, Any]] = {
    Speaks.CHAT: {"tool_choice": "required"},
    Speaks.RESPONSES: {"tool_choice": "required"},
    Speaks.MESSAGES: {"tool_choice": {"type": "any"}},
    Speaks.GENERATE: {"tool_config": {"function_calling_config": {"mode": "ANY"}}},
}
SERIAL: Mapping[Speaks, Mapping[str, Any]] = {
    Speaks.CHAT: {"parallel_tool_calls": False},
    Speaks.RESPONSES: {"parallel_tool_calls": False},
    Speaks.MESSAGES: {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
}


def named(cell: Cell, findings: Findings) -> None:
    _ask(cell, cell.asked("one_tool", tools=BOTH, settings=CHOSEN[cell.client.speaks]), "one_tool", findings)
    assert cell.upstream.chosen() == "get_weather"


def required(cell: Cell, findings: Findings) -> None:
    _ask(cell, cell.asked("one_tool", tools=BOTH, settings=REQUIRED[cell.client.speaks]), "one_tool", findings)
    assert cell.upstream.chosen() == "*"


def serial(cell: Cell, findings: Findings) -> None:
    if cell.client.speaks not in SERIAL:
        raise NotHere
    asked = cell.asked("one_tool", tools=BOTH, settings=SERIAL[cell.client.speaks])
    got = _ask(cell, asked, "one_tool", findings)
    findings.fact("dropped", cell.upstream.serial(), True, instead=False)
    assert cell.upstream.serial() or got.dropped, "nothing is dropped silently"
    assert cell.upstream.kind is Kind.GEMINI or not got.dropped
