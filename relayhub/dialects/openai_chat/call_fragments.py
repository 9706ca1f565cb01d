"""Putting streamed tool calls together, whichever way an upstream cuts them.

By the book a fragment has its ``index``, and ``id`` and ``name`` come once. Seen as well: no index (a new id is a new
call), id and name on every fragment, one index for several calls, whole calls in one fragment, fragments interleaved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.reply import arguments_of, minted_id
from relayhub.dialects.openai_chat.signed import read_call
from relayhub.dialects.openai_chat.upstream_json import string
from relayhub.types.chat import ToolCallDelta, ToolCallStarted
from relayhub.types.json import JsonObject


@dataclass(slots=True)
class _OpenCall:
    """``number`` is given when it starts, so that the numbers have no gaps; ``waiting``: arguments before the name."""

    id: str
    name: str = ""
    custom: bool = False
    signature: str | None = None
    signer: str | None = None
    number: int | None = None
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class _Fragment:
    index: int | None
    id: str
    name: str
    arguments: str
    custom: bool
    signature: str | None
    signer: str | None


class CallFragments:
    """The tool calls of one choice of one answer."""

    __slots__ = ("_by_index", "_choice", "_open", "_seed", "_started")

    def __init__(self, choice: int, seed: str) -> None:
        """``seed`` distinguishes this answer; ids are minted from it where the upstream gives none."""
        self._choice = choice
        self._seed = seed
        self._open: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._started = 0

    @property
    def seen(self) -> bool:
        return bool(self._open)

    def feed(self, value: JsonObject) -> Iterator[ToolCallStarted | ToolCallDelta]:
        fragment = _read(value)
        call = self._find(fragment)
        if call is None:
            call = self._new(fragment)
        if call.number is None:
            call.name = fragment.name
            call.id = call.id or fragment.id
            call.waiting += fragment.arguments
            call.custom = call.custom or fragment.custom
            if fragment.signature is not None:
                call.signature, call.signer = fragment.signature, fragment.signer
            if call.name:
                yield from self._start(call)
        elif fragment.arguments:
            yield ToolCallDelta(self._choice, call.number, fragment.arguments)

    def close(self) -> Iterator[ToolCallStarted | ToolCallDelta]:
        """The choice has ended: what never got a name is shown without one."""
        for call in self._open:
            if call.number is None and call.waiting:
                yield from self._start(call)

    def _start(self, call: _OpenCall) -> Iterator[ToolCallStarted | ToolCallDelta]:
        call.number = self._started
        self._started += 1
        call.id = call.id or minted_id(f"{self._seed}/{self._choice}/{call.number}")
        yield ToolCallStarted(self._choice, call.number, call.id, call.name, call.custom, call.signature, call.signer)
        if call.waiting:
            yield ToolCallDelta(self._choice, call.number, call.waiting)
            call.waiting = ""

    def _find(self, fragment: _Fragment) -> _OpenCall | None:
        if fragment.index is None:
            return self._find_without_index(fragment)
        call = self._by_index.get(fragment.index)
        # Another id alone may be one of those made up anew for each fragment; with a name it begins another call.
        another = call is not None and fragment.id and fragment.name and call.id and fragment.id != call.id
        return None if another else call

    def _find_without_index(self, fragment: _Fragment) -> _OpenCall | None:
        if fragment.id:
            return next((call for call in self._open if call.id == fragment.id), None)
        last = self._open[-1] if self._open else None
        if last is None or (fragment.name and last.name and fragment.name != last.name):
            return None
        return last

    def _new(self, fragment: _Fragment) -> _OpenCall:
        call = _OpenCall(fragment.id)
        self._open.append(call)
        if fragment.index is not None:
            self._by_index[fragment.index] = call
        return call


def _read(value: JsonObject) -> _Fragment:
    custom = value.get("type") == "custom" or "custom" in value
    inner = nested(value, "custom" if custom else "function")
    index = value.get("index")
    signature, signer = read_call(value, NAME)
    return _Fragment(
        index=index if type(index) is int else None,
        id=string(value.get("id")),
        name=string(inner.get("name")),
        arguments=arguments_of(inner.get("input" if custom else "arguments")),
        custom=custom,
        signature=signature,
        signer=signer,
    )
