"""What a test asks any client for, and what it then sees, in no client's own words."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.standins.scenes import Spent

PDF = base64.b64encode(b"%PDF-1.7\nIt says hello.\n%%EOF\n").decode()
CITY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "integer"}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    parameters: Mapping[str, Any]
    description: str = "Tells it."


WEATHER = Tool(
    "get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}, "The weather."
)
TIME = Tool("get_time", {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]}, "The time.")
PING = Tool("ping", {"type": "object", "properties": {}}, "Answers pong.")
BOTH = (WEATHER, TIME)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. ``settings``: further fields of the client's own dialect, put into its body as they are.
    ``image``: base64 of a PNG, or a link. ``file``: base64 of a PDF called ``a.pdf``. ``thinks``: ask for thinking, and to
    see it. ``history``: turns of the client's own making, after the question."""

    model: str
    text: str
    stream: bool = False
    system: str = ""
    tools: tuple[Tool, ...] = ()
    image: str = ""
    file: str = ""
    schema: Mapping[str, Any] | None = None
    thinks: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Called:
    """``arguments``: parsed."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Got:
    """One answer. ``finish``: the dialect's own word, as ``word`` or ``word:detail``. ``turn``: what the client puts into its
    history, vendor fields included. ``headers``: the answer's, names in lower case."""

    text: str
    finish: str
    model: str
    spent: Spent | None
    turn: tuple[Any, ...]
    headers: Mapping[str, str]
    reasoning: str = ""
    calls: tuple[Called, ...] = ()

    @property
    def dropped(self) -> frozenset[str]:
        """What the hub says it left out."""
        named = self.headers.get("x-relayhub-dropped", "")
        return frozenset(name.strip() for name in named.split(",") if name.strip())


class Failed(Exception):
    """The SDK raised. ``exception``: its class; ``kind``: the dialect's word for it, as ``type/code`` where there are two;
    ``partial``: the text that had come before; ``in_order``: the event with the error bears the next number."""

    def __init__(
        self,
        exception: str,
        status: int | None,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        partial: str = "",
        in_order: bool = True,
    ) -> None:
        super().__init__(f"{exception} {status} {kind}: {message} (param {param})")
        self.exception = exception
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.headers = headers or {}
        self.partial = partial
        self.in_order = in_order
