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
    _choices: dict[int, bool] = msgspec.field(default_factory=dict)
    """Each that was seen, and whether it has finished."""

    def see(self, choice: int, last: bool) -> bool:
        """Note a choice, and whether it finishes; false where it has before (some upstreams repeat the last chunk)."""
        choices = self._choices
        if choices.get(choice):
            return False
        choices[choice] = last
        if last:
            self.any_finished = True
        return True

    def end(self) -> None:
        """``[DONE]`` has come. Raises ``UpstreamError`` if nothing came before it."""
        self.done = self.any_finished = True
        if not self.begun:
            raise _without_events()

    def check(self) -> None:
        """The body has ended cleanly. Raises ``UpstreamError`` if the answer has not."""
        if not self.begun:
            raise _without_events()
        if not self.done and not (self._choices and all(self._choices.values())):
            raise UpstreamError(
                ErrorKind.UPSTREAM_FAILED,
                "The upstream's answer broke off before its end.",
                code="upstream_truncated",
                retryable=False,
                delivered=True,
            )


def _without_events() -> UpstreamError:
    return upstream_broke("the stream has no events")
