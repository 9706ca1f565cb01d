"""The transport: requests are answered from memory, byte for byte as an OpenAI-compatible server would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from relayhub.sdk import Clock, Deadlines, HttpRequest
from relayhub_demo import chat, embeddings
from relayhub_demo.models import FAIL_429, FAIL_503, SLOW
from relayhub_demo.wire import Refusal, error_body, read_json, stream_cut

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """``pieces`` are what one read of a socket would bring; ``cut``: the connection breaks after the last."""

    status: int
    content_type: str
    pieces: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    slow: bool = False


class MemoryTransport:
    """A :class:`relayhub.sdk.Transport` without a network. Delays go through the clock."""

    def __init__(self, clock: Clock, slow_first_byte_s: float, slow_chunk_s: float) -> None:
        self._clock = clock
        self._slow_first_byte_s = slow_first_byte_s
        self._slow_chunk_s = slow_chunk_s

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[MemoryReply]:
        """See :meth:`relayhub.sdk.Transport.send`. The deadlines never pass: the delays are within any sane ones."""
        answer = respond(request)
        if answer.slow:
            await self._clock.sleep(min(self._slow_first_byte_s, deadlines.first_byte_s))
        yield MemoryReply(answer, self._clock, self._slow_chunk_s if answer.slow else 0.0)

    async def close(self) -> None:
        return


class MemoryReply:
    """A :class:`relayhub.sdk.UpstreamReply`."""

    def __init__(self, answer: Answer, clock: Clock, pause_s: float) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {"content-type": answer.content_type, **answer.headers}
        self._answer = answer
        self._clock = clock
        self._pause_s = pause_s

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for index, piece in enumerate(self._answer.pieces):
            if index and self._pause_s:
                await self._clock.sleep(self._pause_s)
            yield piece
        if self._answer.cut:
            raise stream_cut()


def respond(request: HttpRequest) -> Answer:
    """What the pretended server answers."""
    try:
        body = read_json(request.body)
        if request.url.endswith("/embeddings"):
            return Answer(200, JSON, [embeddings.answer(body)])
        return _chat(body)
    except Refusal as refusal:
        return _refused(refusal)


def _chat(body: Mapping[str, object]) -> Answer:
    asked = chat.read(body)
    if asked.model == FAIL_429:
        raise Refusal(
            429, "Rate limit reached for demo-fail-429. Try again in 2s.", "requests", "rate_limit_exceeded", 2
        )
    if asked.model == FAIL_503:
        raise Refusal(503, "The demo is overloaded, as asked.", "server_error", "server_is_overloaded", 1)
    slow = asked.model == SLOW
    if not asked.stream:
        whole = chat.whole(asked)
        pieces = [whole[: len(whole) // 2]] if asked.cut else [whole]
        return Answer(200, JSON, pieces, cut=asked.cut, slow=slow)
    frames = list(chat.frames(asked))
    if asked.cut:
        frames = frames[: max(2, len(frames) // 2)]
    return Answer(200, SSE, frames, cut=asked.cut, slow=slow)


def _refused(refusal: Refusal) -> Answer:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return Answer(refusal.status, JSON, [error_body(refusal)], headers)
