"""The transport: requests are answered from memory, byte for byte as an OpenAI-compatible server would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from relayhub.sdk import Clock, Deadlines, HttpRequest
from relayhub_demo import asked as chat
from relayhub_demo import embeddings, written
from relayhub_demo.models import CUT_STREAM, DEMO_MODELS, FAIL_429, FAIL_503, SLOW
from relayhub_demo.wire import Refusal, error_body, read_json, stream_cut, too_slow

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
    """A :class:`relayhub.sdk.Transport` without a network. Delays go through the clock, and deadlines hold for them."""

    def __init__(self, clock: Clock, slow_first_byte_s: float, slow_chunk_s: float) -> None:
        self._clock = clock
        self._slow_first_byte_s = slow_first_byte_s
        self._slow_chunk_s = slow_chunk_s

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[MemoryReply]:
        """See :meth:`relayhub.sdk.Transport.send`."""
        ends_at = self._clock.monotonic() + deadlines.total_s
        answer = respond(request)
        if answer.slow:
            await wait(self._clock, self._slow_first_byte_s, deadlines.first_byte_s, ends_at)
        pause_s = self._slow_chunk_s if answer.slow else 0.0
        yield MemoryReply(answer, self._clock, pause_s, deadlines.idle_s, ends_at)

    async def close(self) -> None:
        return


class MemoryReply:
    """A :class:`relayhub.sdk.UpstreamReply`."""

    def __init__(self, answer: Answer, clock: Clock, pause_s: float, idle_s: float, ends_at: float) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {"content-type": answer.content_type, **answer.headers}
        self._answer = answer
        self._clock = clock
        self._pause_s = pause_s
        self._idle_s = idle_s
        self._ends_at = ends_at

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for index, piece in enumerate(self._answer.pieces):
            if index and self._pause_s:
                await wait(self._clock, self._pause_s, self._idle_s, self._ends_at)
            yield piece
        if self._answer.cut:
            raise stream_cut()


async def wait(clock: Clock, seconds: float, limit_s: float, ends_at: float) -> None:
    """Sleep, or up to the first of both deadlines. Raises ``UpstreamError`` where one of them passes before."""
    allowed_s = max(0.0, min(limit_s, ends_at - clock.monotonic()))
    await clock.sleep(min(seconds, allowed_s))
    if seconds > allowed_s:
        raise too_slow(allowed_s)


def respond(request: HttpRequest) -> Answer:
    """What the pretended server answers."""
    body = request.body if isinstance(request.body, bytes) else b""
    try:
        match request.method, urlsplit(request.url).path:
            case "POST", "/v1/chat/completions":
                return _chat(read_json(body))
            case "POST", "/v1/embeddings":
                return Answer(200, JSON, [embeddings.answer(read_json(body))])
            case "GET", "/v1/models":
                return Answer(200, JSON, [_models()])
            case method, path:
                raise Refusal(404, f"Invalid URL ({method} {path})")
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
    slow, cut = asked.model == SLOW, asked.model == CUT_STREAM
    if not asked.stream:
        whole = written.whole(asked)
        return Answer(200, JSON, [whole[: len(whole) // 2]] if cut else [whole], cut=cut, slow=slow)
    frames = list(written.frames(asked))
    if cut:
        frames = frames[: max(2, len(frames) // 2)]
    return Answer(200, SSE, frames, cut=cut, slow=slow)


def _models() -> bytes:
    listed = [{"id": name, "object": "model", "created": written.CREATED, "owned_by": "demo"} for name in DEMO_MODELS]
    return orjson.dumps({"object": "list", "data": listed})


def _refused(refusal: Refusal) -> Answer:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return Answer(refusal.status, JSON, [error_body(refusal)], headers)
