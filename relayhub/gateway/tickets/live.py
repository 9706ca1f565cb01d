"""A ticket whose call runs in this process: the answer's way into the store, and a short memory of what went there."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from relayhub.dialects.sse import FrameSplitter, data_of
from relayhub.store.tickets import NewEvents
from relayhub.types.errors import ErrorKind, HubError
from relayhub.types.limits import MAX_MEDIA_EVENT, SETTLEMENT_WAIT_S

MAX_ANSWER = 32 << 20
"""Bytes of events that one ticket keeps: some 100 000 tokens with OpenAI's wrapping, or a few pictures."""

MAX_UNSTORED = 128 << 10
"""Bytes that wait for the store; beyond it the upstream has to wait."""

MAX_RECENT = 64 << 10
"""Bytes kept in memory after they were stored, so that those who keep up cost no query."""

STORE_WAIT_S = 30.0
"""How long an answer waits for a store that cannot write, before it is given up."""

ANSWERED = 200


class LiveTicket:
    """A :class:`relayhub.gateway.call.Client` whose answer goes to the store, from where any number of connections read
    it. Nothing is shown of an event before it is stored: whoever resumes elsewhere finds all that it has seen.

    ``on_news`` is called when there is something to :meth:`take`; :meth:`confirm` or :meth:`lose` answers that."""

    def __init__(
        self, ticket_id: str, on_news: Callable[[LiveTicket], None], now: float, cancel: Callable[[], object]
    ) -> None:
        self.id = ticket_id
        self.cancel = cancel
        """End the call early."""
        self.followed_at = now
        """Monotonic: when somebody last read here."""
        self.dropped = ""
        self.ended = False
        """The last event is stored, or somebody else has ended the ticket."""
        self._on_news = on_news
        self._news: list[bytes] = []
        self._next = 1
        self._size = 0
        self._unstored = 0
        self._ending = False
        self._lost = False
        self._stored = 0
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0
        self._changed = asyncio.Event()

    @property
    def status(self) -> int | None:
        return ANSWERED

    def note_dropped(self, names: Sequence[str]) -> None:
        self.dropped = ", ".join(names)

    async def reply(self, body: bytes, content_type: str) -> None:
        raise AssertionError("the answer to a ticket is always streamed")

    def push(self, frames: bytes) -> bool:
        """Never: what the store does not take must come to light here."""
        return False

    async def write(self, frames: bytes) -> None:
        """Raises ``HubError`` if the store takes no more: it cannot write, the answer is too long, or the ticket was ended
        by another process."""
        self._add(_events_in(frames))
        if self._size > MAX_ANSWER:
            raise _too_long()
        try:
            async with asyncio.timeout(STORE_WAIT_S):
                while self._unstored > MAX_UNSTORED and not self._lost:
                    await self._changed.wait()
        except TimeoutError:
            raise _store_fails() from None
        if self._lost:
            raise _taken_for_dead()

    async def end(self, frames: bytes) -> None:
        """Returns when it is stored, or after a while all the same: it stays queued then."""
        if not self._ending:
            self._ending = True
            self._add(_events_in(frames))
            self._on_news(self)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLEMENT_WAIT_S):
                while not self.ended:
                    await self._changed.wait()

    def _add(self, events: Iterable[bytes]) -> None:
        for data in events:
            self._news.append(data)
            self._size += len(data)
            self._unstored += len(data)
        if self._news:
            self._on_news(self)

    def take(self) -> NewEvents | None:
        """What is to be stored next; ``None``: nothing."""
        if not (self._news or self._ending) or self.ended:
            return None
        taken = NewEvents(self.id, self._next, self._news, self.dropped, self._ending)
        self._next += len(self._news)
        self._news = []
        return taken

    def confirm(self, stored: NewEvents) -> None:
        for number, data in enumerate(stored.events, stored.first):
            self._recent.append((number, data))
            self._recent_bytes += len(data)
            self._unstored -= len(data)
        while self._recent_bytes > MAX_RECENT and len(self._recent) > 1:
            self._recent_bytes -= len(self._recent.popleft()[1])
        self._stored = stored.last
        self.ended = stored.end
        self._tell()

    def lose(self) -> None:
        """Somebody who thought this process dead has ended the ticket: what counts is in the store."""
        self._lost = self.ended = True
        self._recent.clear()
        self._tell()

    def after(self, number: int) -> list[tuple[int, bytes]] | None:
        """The stored events after this one; ``None`` if the store must be asked."""
        if not self._lost and number >= self._stored:
            return []
        if not self._recent or number + 1 < self._recent[0][0]:
            return None
        return [event for event in self._recent if event[0] > number]

    async def changed(self, within_s: float) -> None:
        """Wait for more to be stored, for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()

    @property
    def ending(self) -> bool:
        """The answer has had its last event, stored or not."""
        return self._ending

    def _tell(self) -> None:
        told, self._changed = self._changed, asyncio.Event()
        told.set()


def _events_in(frames: bytes) -> list[bytes]:
    """The data of each event. Comments are for one connection, and numbers, names and pauses that an upstream gave its own
    events would lead a browser astray."""
    return [data for frame in FrameSplitter(MAX_MEDIA_EVENT).feed(frames) if (data := data_of(frame)) is not None]


def _too_long() -> HubError:
    return HubError(
        ErrorKind.INTERNAL,
        f"The answer is longer than a stream ticket can keep ({MAX_ANSWER >> 20} MiB). Ask for less output, or stream from "
        "the chat endpoint itself.",
        code="ticket_answer_too_long",
    )


def _store_fails() -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server could not store the answer and had to end it early. Try again shortly.",
        code="store_unavailable",
    )


def _taken_for_dead() -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server that wrote this answer was out of reach for too long; the answer was ended.",
        code="ticket_lost",
    )
