"""What a model says when a test asks for it by name: those of the fixtures with the fixtures' own bytes, and some more.

A conversation names its scene anywhere in its text, ``scenario: stream_tools``; once it holds the results of the tools,
the scene is ``tool_results``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

from tests.dialects.observed import Fixture, fixtures

NAMED = re.compile(rb"scenario: (\w+)")
DEFAULT = "minimal_text"
AFTER_TOOLS = "tool_results"
STOP_WORD = "three"


class End(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    STOP_SEQUENCE = "stop_sequence"
    TOOLS = "tools"
    FILTER = "filter"


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens as the hub counts them: ``input`` with cached and written ones, ``output`` with reasoning."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    id: str
    name: str
    arguments: Mapping[str, object]

    @property
    def text(self) -> str:
        return json.dumps(self.arguments, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Scene:
    """``cut``: a streamed answer ends in the middle, without a word."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Use, ...] = ()
    end: End = End.STOP
    spent: Spent = Spent(10, 5)
    cut: bool = False

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed."""
        return halves(self.text)


def halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


_PREFIX = {"openai_chat": "call_", "openai_responses": "call_", "anthropic": "toolu_", "gemini": "fcid_"}

_THINKING_TOOLS = Scene(
    reasoning="I need both tools.",
    calls=(Use("w2", "get_weather", {"city": "Oslo"}), Use("t2", "get_time", {"tz": "Europe/Oslo"})),
    end=End.TOOLS,
    spent=Spent(90, 60, reasoning=20),
)

EXTRA: Mapping[str, Scene] = {
    "thinking_tools": _THINKING_TOOLS,
    "one_tool": replace(_THINKING_TOOLS, reasoning="", calls=_THINKING_TOOLS.calls[:1]),
    "no_arguments": Scene(calls=(Use("n1", "ping", {}),), end=End.TOOLS, spent=Spent(20, 6)),
    "file": Scene("It says hello.", spent=Spent(1200, 5)),
    "json": Scene('{"city":"Oslo","celsius":4}', spent=Spent(60, 12)),
    "length": Scene("One, two", end=End.LENGTH, spent=Spent(9, 4)),
    "stop_sequence": Scene("One, two, ", end=End.STOP_SEQUENCE, spent=Spent(9, 5)),
    "filtered": Scene("I can", end=End.FILTER, spent=Spent(9, 2)),
    "cached": Scene("Blue.", spent=Spent(1000, 3, cached=600, written=100)),
    "truncated": Scene("Half an ans", spent=Spent(9, 4), cut=True),
}
"""Beside the fixtures'. ``written`` counts only where the service can say it."""


def scene_named(body: bytes, *, results: bool) -> str:
    """``results``: the last turn holds results of tools."""
    if results:
        return AFTER_TOOLS
    found = NAMED.findall(body)
    return found[-1].decode() if found else DEFAULT


@cache
def recorded(protocol: str) -> Mapping[str, Fixture]:
    return {fixture.id: fixture for fixture in fixtures(protocol)}


@cache
def scene(protocol: str, name: str) -> Scene | None:
    """``None``: there is no such scene, or it is an error."""
    if name in EXTRA:
        extra = EXTRA[name]
        calls = tuple(replace(use, id=_PREFIX[protocol] + use.id) for use in extra.calls)
        written = 0 if protocol == "gemini" else extra.spent.written
        return replace(extra, calls=calls, spent=replace(extra.spent, written=written))
    fixture = recorded(protocol).get(name)
    if fixture is None or fixture.status != 200 or "error" in fixture.expect:
        return None
    return _scene_of(protocol, fixture.expect)


def _scene_of(protocol: str, expect: Mapping[str, Any]) -> Scene:
    usage = expect.get("usage")
    calls = tuple(
        Use(call.get("id") or f"{_PREFIX[protocol]}{at}", call["name"], call["arguments"])
        for at, call in enumerate(expect.get("tool_calls", ()))
    )
    return Scene(
        text=expect["text"],
        reasoning=expect.get("reasoning", ""),
        calls=calls,
        end=End.TOOLS if calls else _end(str(expect["finish"])),
        spent=Spent(30, 12) if usage is None else spent(usage),
    )


def spent(usage: Mapping[str, int]) -> Spent:
    """From a manifest's ``usage``."""
    cached = usage.get("cached", usage.get("cache_read", 0))
    written = usage.get("cache_write", 0)
    whole = usage["input"] if "input" in usage else usage["input_uncached"] + cached + written
    return Spent(whole, usage["output"], cached, written, usage.get("reasoning", 0))


def _end(finish: str) -> End:
    match finish.lower().partition(":")[0]:
        case "length" | "max_tokens" | "incomplete":
            return End.LENGTH
        case "content_filter" | "refusal" | "safety" | "blocked":
            return End.FILTER
        case _:
            return End.STOP
