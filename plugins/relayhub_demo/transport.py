"""The transport: requests are answered from memory, byte for byte as an OpenAI-compatible server would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

import orjson

from relayhub.sdk import Clock, Deadlines, HttpRequest
from relayhub_demo import asked as chat
from relayhub_demo import embeddings, studio, written
from relayhub_demo.answer import JSON, Answer
from relayhub_demo.film import FilmStudio
from relayhub_demo.models import CUT_STREAM, DEMO_MODELS, FAIL_429, FAIL_503, SLOW
from relayhub_demo.wire import Refusal, error_body, read_json, stream_cut, too_slow

SSE = "text/event-stream; charset=utf-8"
VIDEOS = "/v1/videos"


class MemoryTransport:
    """A :class:`relayhub.sdk.Transport` without a network. Delays go through the clock, and deadlines hold for them."""

    def __init__(self, clock: Clock, slow_first_byte_s: float, slow_chunk_s: float, films: FilmStudio) -> None:
        self._clock = clock
        self._films = films
        self._slow_first_byte_s = slow_first_byte_s
        self._slow_chunk_s = slow_chunk_s

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[MemoryReply]:
        """See :meth:`relayhub.sdk.Transport.send`."""
        ends_at = self._clock.monotonic() + deadlines.total_s
        answer = respond(request, self._films)
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


def respond(request: HttpRequest, films: FilmStudio | None = None) -> Answer:
    """What the pretended server answers; without ``films`` it has no videos."""
    body = request.body if isinstance(request.body, bytes) else b""
    path = urlsplit(request.url).path
    try:
        if films is not None and (path == VIDEOS or path.startswith(f"{VIDEOS}/")):
            return _filmed(films, request.method, path.removeprefix(VIDEOS).removeprefix("/"), body)
        match request.method, path:
            case "POST", "/v1/chat/completions":
                return _chat(read_json(body))
            case "POST", "/v1/embeddings":
                return Answer(200, JSON, [embeddings.answer(read_json(body))])
            case "POST", "/v1/images/generations":
                return studio.paint(read_json(body))
            case "POST", "/v1/audio/speech":
                return studio.say(read_json(body))
            case "GET", "/v1/models":
                return Answer(200, JSON, [_models()])
            case method, _:
                raise _no_route(method, path)
    except Refusal as refusal:
        return _refused(refusal)


def _filmed(films: FilmStudio, method: str, path: str, body: bytes) -> Answer:
    id_, _, rest = unquote(path).partition("/")
    match method, bool(id_), rest:
        case "POST", False, "":
            return films.create(read_json(body))
        case "GET", True, "":
            return films.look(id_)
        case "GET", True, "content":
            return films.content(id_)
        case "DELETE", True, "":
            return films.cancel(id_)
        case _:
            raise _no_route(method, f"{VIDEOS}/{path}")


def _no_route(method: str, path: str) -> Refusal:
    return Refusal(404, f"Invalid URL ({method} {path})")


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
