"""Streamed tool calls for dialects that show one at a time."""

from __future__ import annotations

from relayhub.types.chat import ToolCallStarted
from relayhub.types.errors import upstream_broke


class CallQueue:
    """Upstreams may interleave the pieces of several calls: the first streams, what the others say waits until it ends."""

    def __init__(self) -> None:
        self.seen = False
        self.streaming: int | None = None
        """The call that is being shown."""
        self._waiting: dict[int, tuple[ToolCallStarted, list[str]]] = {}

    def begin(self, event: ToolCallStarted) -> bool:
        """Whether this one may stream."""
        self.seen = True
        if self.streaming is None:
            self.streaming = event.index
            return True
        self._waiting[event.index] = event, []
        return False

    def streams(self, index: int, text: str) -> bool:
        """Whether ``text`` may be shown now; else it is kept. Raises ``UpstreamError`` for a call that has ended."""
        if index == self.streaming:
            return True
        if index not in self._waiting:
            raise upstream_broke("a tool call went on after its end")
        self._waiting[index][1].append(text)
        return False

    def take_waiting(self) -> list[tuple[ToolCallStarted, str]]:
        """In their order; afterwards none streams."""
        taken = [(event, "".join(texts)) for _, (event, texts) in sorted(self._waiting.items())]
        self.streaming = None
        self._waiting = {}
        return taken
