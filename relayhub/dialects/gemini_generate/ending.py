"""When a streamed answer has really ended."""

from __future__ import annotations

from relayhub.types.errors import ErrorKind, UpstreamError, upstream_broke


class Ending:
    """A real end is a finish reason on every candidate, or a blocked prompt, followed by a clean end of the body."""

    __slots__ = ("_finished", "_open", "begun", "blocked")

    def __init__(self) -> None:
        self.begun = False
        """Something of an answer has come."""
        self.blocked = False
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def see(self, candidate: int) -> bool:
        """Note a candidate; false where it has finished before."""
        if candidate in self._finished:
            return False
        self._open.add(candidate)
        return True

    def finish(self, candidate: int) -> None:
        self._open.discard(candidate)
        self._finished.add(candidate)

    def is_complete(self, candidates: int) -> bool:
        """``candidates``: how many were asked for."""
        return self.blocked or (not self._open and len(self._finished) >= candidates)

    def check(self) -> None:
        """The body has ended cleanly. Raises ``UpstreamError`` if the answer has not."""
        if not self.begun:
            raise upstream_broke("the stream has no events")
        if self._open or not (self._finished or self.blocked):
            raise UpstreamError(
                ErrorKind.UPSTREAM_FAILED,
                "The upstream's answer broke off before its end.",
                code="upstream_truncated",
                retryable=False,
                delivered=True,
            )
