"""When a stream has really ended."""

from __future__ import annotations

import msgspec

from relayhub.types.errors import ErrorKind, UpstreamError, upstream_broke


class Ending(msgspec.Struct, eq=False):
    """A real end is ``[DONE]``, or a finish reason on every choice followed by a clean end of the body."""

    begun: bool = False
    """An event with content, or usage, has come."""
    done: bool = False
    """``[DONE]`` has come; nothing after it matters."""
    any_finished: bool = False
    """A choice has, or all of it is done."""
    _open: set[int] = msgspec.field(default_factory=set)
    _finished: set[int] = msgspec.field(default_factory=set)

    def see(self, choice: int) -> bool:
        """Note a choice; false where it has finished before (some upstreams repeat the last chunk)."""
        if choice in self._finished:
            return False
        self._open.add(choice)
        return True

    def finish(self, choice: int) -> None:
        self._open.discard(choice)
        self._finished.add(choice)
        self.any_finished = True

    def end(self) -> None:
        """``[DONE]`` has come. Raises ``UpstreamError`` if nothing came before it."""
        self.done = self.any_finished = True
        self._check_begun()

    def _check_begun(self) -> None:
        if not self.begun:
            raise upstream_broke("the stream has no events")

    def check(self) -> None:
        """The body has ended cleanly. Raises ``UpstreamError`` if the answer has not."""
        self._check_begun()
        if not self.done and (self._open or not self._finished):
            raise UpstreamError(
                ErrorKind.UPSTREAM_FAILED,
                "The upstream's answer broke off before its end.",
                code="upstream_truncated",
                retryable=False,
                delivered=True,
            )
