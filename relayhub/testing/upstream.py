"""A base for simulators of upstreams: real HTTP on loopback, strict about what it is sent, and with the true counts of
what happened, to hold the hub's books against."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from relayhub.sdk import Clock, HttpReply, HttpRequest
from relayhub.sdk.clock import SystemClock
from relayhub.types.http import Body

JSON: Mapping[str, str] = {"content-type": "application/json"}
NEVER_SENT = frozenset({"cookie", "forwarded", "proxy-authorization", "x-forwarded-for", "x-real-ip"})
"""Headers about a client: an upstream has no business with them."""

START_S = 10.0
"""How long starting and stopping in a thread may take."""

T = TypeVar("T")


# --- what is answered -------------------------------------------------------------------------------------------------


class Gate:
    """Holds an answer until :meth:`UpstreamSimulator.open`."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Wait:
    """Holds an answer for some seconds of the simulator's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Breaks the connection."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Sends nothing more until the other side leaves."""


Pause: TypeAlias = Gate | Wait | Cut | Hang


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: bytes go out whole, with their length; a sequence goes out in chunks, each flushed by itself, with pauses
    between them. ``before``: what happens before the head. ``executed``: whether the upstream did, and would bill, the
    work; by default whenever the status is below 400."""

    status: int = 200
    body: bytes | Sequence[bytes | Pause] = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    before: Sequence[Pause] = ()
    executed: bool | None = None

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> Answer:
        """``headers``: further ones, with _ for -."""
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, orjson.dumps(value), {**JSON, **more})


# --- what is recorded -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """The body, which must be a JSON object. Raises ``ValueError``."""
        value = orjson.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")  # the caller's one case
        return value


@dataclass(slots=True)
class Counters:
    """The ground truth. ``aborts``: answers that the other side left before their end; ``open``: answers under way."""

    requests: int = 0
    executions: int = 0
    aborts: int = 0
    open: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0


# --- the simulator ----------------------------------------------------------------------------------------------------


class UpstreamSimulator(ABC):
    """Subclass it with :meth:`answer`. ``forbidden``: texts that must never arrive here, such as the client's key.

    What is wrong with a request in general is kept in ``complaints``, and leaving :meth:`serving` or :meth:`in_thread`
    raises ``AssertionError`` if there are any."""

    def __init__(self, *, forbidden: Sequence[str] = (), clock: Clock | None = None) -> None:
        self.url = ""
        self.requests: list[Recorded] = []
        self.counters = Counters()
        self.complaints: list[str] = []
        self._forbidden = forbidden
        self._clock = clock or SystemClock()
        self._program: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    def answer(self, request: Recorded) -> Answer:
        """What the upstream would answer, as strict as it is: wrong paths, keys and fields included."""

    # --- for tests ----------------------------------------------------------------------------------------------------

    def program(self, *answers: Answer) -> None:
        """The next requests get these, in this order, instead of what :meth:`answer` says."""
        self._program.extend(answers)

    def open(self, gate: Gate) -> None:
        """Let an answer go on. From any thread."""
        assert self._loop is not None, "it is not serving"
        self._loop.call_soon_threadsafe(gate.opened.set)

    def wait_for(self, condition: Callable[[Counters], bool], within_s: float = 5.0) -> None:
        """Bounded waiting for something the counters will show. Not from the thread that serves: see :meth:`until`."""
        with self._changed:
            came = self._changed.wait_for(lambda: condition(self.counters), within_s)
        assert came, f"it did not come about within {within_s} s: {self.counters}"

    async def until(self, condition: Callable[[Counters], bool], within_s: float = 5.0) -> None:
        """:meth:`wait_for` for tests on the loop that serves."""
        await asyncio.to_thread(self.wait_for, condition, within_s)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback; gives the URL."""
        self._loop = asyncio.get_running_loop()
        runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True, auto_decompress=False, access_log=None),
            shutdown_timeout=0.1,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            await runner.cleanup()
        assert not self.complaints, f"the upstream was sent what it should not see: {self.complaints}"

    @contextmanager
    def in_thread(self) -> Iterator[str]:
        """:meth:`serving` in a thread of its own, for tests of other processes."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        serving = self.serving()
        try:
            yield _run(loop, serving.__aenter__)
        finally:
            try:
                _run(loop, lambda: serving.__aexit__(None, None, None))
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(START_S)
                loop.close()

    def exchange(self, request: HttpRequest) -> HttpReply:
        """A request and its answer without a network; pauses take no time. Raises ``ConnectionResetError`` where the
        connection would break, ``TimeoutError`` where nothing more would come."""
        url = urlsplit(request.url)
        answer = self._decided(Recorded(request.method, url.path, url.query, request.headers, _whole(request.body)))
        self._count(open=-1)
        parts = [answer.body] if isinstance(answer.body, bytes) else answer.body
        for part in (*answer.before, *parts):
            if isinstance(part, Cut):
                raise ConnectionResetError(f"{request.method} {url.path} broke off")
            if isinstance(part, Hang):
                raise TimeoutError(f"{request.method} {url.path} was not answered")
        body = b"".join(part for part in parts if isinstance(part, bytes))
        self._count(bytes_sent=len(body))
        return HttpReply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)

    # --- serving ------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._decided(await _record(request))
        try:
            return await self._send(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self._count(aborts=1)
            raise
        finally:
            self._count(open=-1)

    def _decided(self, request: Recorded) -> Answer:
        self._received(request)
        answer = self._program.popleft() if self._program else self._checked(request)
        if answer.executed if answer.executed is not None else answer.status < 400:
            self._count(executions=1)
        return answer

    def _received(self, request: Recorded) -> None:
        self.requests.append(request)
        self._count(requests=1, open=1, bytes_received=len(request.body))
        self.complaints += complaints_about(request, self._forbidden)

    def _checked(self, request: Recorded) -> Answer:
        try:
            return self.answer(request)
        except (ValueError, KeyError, TypeError) as error:
            self.complaints.append(f"{request.method} {request.path} cannot be read: {error!r}")
            return Answer.json({"error": "unreadable"}, 400)

    async def _send(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        parts = [answer.body] if isinstance(answer.body, bytes) else answer.body
        if isinstance(answer.body, bytes):
            response.content_length = len(answer.body)
        for pause in answer.before:
            await self._pause(request, pause)
        await response.prepare(request)
        for part in parts:
            if isinstance(part, bytes):
                await response.write(part)
                self._count(bytes_sent=len(part))
            else:
                await self._pause(request, part)
        await response.write_eof()
        return response

    async def _pause(self, request: web.BaseRequest, pause: Pause) -> None:
        match pause:
            case Gate():
                await pause.opened.wait()
            case Wait():
                await self._clock.sleep(pause.seconds)
            case Hang():
                await asyncio.Event().wait()
            case Cut():
                if request.transport is not None:
                    request.transport.close()
                await asyncio.Event().wait()  # until the lost connection cancels this handler

    def _count(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self.counters, name, getattr(self.counters, name) + change)
            self._changed.notify_all()


def complaints_about(request: Recorded, forbidden: Sequence[str]) -> list[str]:
    """What no upstream should be sent."""
    whole = b"\n".join(
        [request.path.encode(), request.query.encode(), *map(_line, request.headers.items()), request.body]
    )
    found = [f"{request.path}: header {name}" for name in sorted(NEVER_SENT & request.headers.keys())]
    found += [f"{request.path}: a text that must not arrive here" for text in forbidden if text.encode() in whole]
    if request.body and "content-type" not in request.headers:
        found.append(f"{request.path}: a body without a content-type")
    return found


def _whole(body: Body) -> bytes:
    pieces = (body,) if isinstance(body, bytes) else body
    return b"".join(
        piece if isinstance(piece, bytes) else piece.spool.read_at(piece.start, len(piece)) for piece in pieces
    )


def _line(header: tuple[str, str]) -> bytes:
    return ": ".join(header).encode("utf-8", "surrogateescape")


async def _record(request: web.BaseRequest) -> Recorded:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Recorded(request.method, request.path, request.query_string, headers, await request.content.read())


def _run(loop: asyncio.AbstractEventLoop, step: Callable[[], Awaitable[T]]) -> T:
    """Do one step on the loop of another thread."""

    async def run() -> T:
        return await step()

    return asyncio.run_coroutine_threadsafe(run(), loop).result(START_S)
