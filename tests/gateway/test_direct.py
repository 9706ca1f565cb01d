"""Calls that are served without a task, and the same calls served in one: whatever the upstream answers.

A real hub in this process: its own front door, store and transport, and an upstream that sends the bytes it is told."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import structlog

from relayhub.accounts.admission import Asked
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.gateway.direct import DirectCall
from relayhub.gateway.lanes import NativeChat
from relayhub.gateway.relaying import StreamRelay
from relayhub.gateway.tally import Tally
from relayhub.gateway.whole_call import WholeCall
from relayhub.routing.router import Trial
from relayhub.store.refusals import revoked_key
from relayhub.upstream.lean.brief import Brief
from relayhub.upstream.lean.reply import LeanReply
from relayhub.web.quick.visit import Visit
from tests.support.inner_hub import InnerHub, RawClient, Scripted, inner_hub, until
from tests.support.openai_wire import DONE, chunk, completion, error
from tests.support.raw_upstream import Script, answer_then_close, answer_then_hang, chunked, http
from tests.support.two_ways import FRAMES, STREAM, USAGE, WHOLE, Bench, Seen, told

PARTS_OF_A_CALL = (Asked, Brief, DirectCall, LeanReply, NativeChat, StreamRelay, Tally, Trial, Visit, WholeCall)
NO_USAGE = json.loads(completion("m-up")) | {"usage": None}


def zipped(body: bytes, kind: str) -> bytes:
    return http(gzip.compress(body), headers=f"content-type: {kind}\r\ncontent-encoding: gzip")


def bytewise(answer: bytes) -> Script:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(answer)):
            writer.write(answer[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)

    return script


def two_steps(first: bytes, rest: bytes, go: asyncio.Event | None = None) -> Script:
    """``go``: what the second one waits for; else for the first one to have left."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        for _ in range(20):
            await asyncio.sleep(0)
        if go is not None:
            await go.wait()
        writer.write(rest)
        await writer.drain()

    return script


@pytest.fixture(scope="module", autouse=True)
def unwritten_log() -> Iterator[None]:
    """Painting the tracebacks of what is raised here on purpose takes longer than all the rest."""
    with structlog.testing.capture_logs():
        yield


ANSWERS: dict[str, bytes | Script] = {
    "plain": WHOLE,
    "byte by byte": bytewise(WHOLE),
    "in two steps": two_steps(WHOLE[:-20], WHOLE[-20:]),
    "head first": two_steps(WHOLE[: WHOLE.find(b"\r\n\r\n") + 4], WHOLE[WHOLE.find(b"\r\n\r\n") + 4 :]),
    "chunked": chunked(completion("m-up"), headers="content-type: application/json"),
    "gzip": zipped(completion("m-up"), "application/json"),
    "after 103": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + WHOLE,
    "101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "large": http(completion("m-up", content="x" * 300_000)),
    "no usage": http(json.dumps(NO_USAGE).encode()),
    "200 empty": http(b""),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "200 HTML": http(b"<html>"),
    "200 error": http(error("no", type_="server_error")),
    "a stream instead": STREAM,
    "400": http(error("Bad.", type_="invalid_request_error", param="x"), status="400 Bad Request"),
    "400 empty": http(b"", status="400 Bad Request"),
    "401": http(error("Who?", type_="authentication_error"), status="401 Unauthorized"),
    "429": http(error("Later.", type_="rate_limit"), status="429 Too Many", headers="retry-after: 7"),
    "500": http(error("Oops.", type_="server_error"), status="500 Internal Server Error"),
    "500 empty": http(b"", status="500 Internal Server Error"),
    "503 gzip": zipped(b"{}", "application/json").replace(b"200 OK", b"503 No"),
    "302": http(b"", status="302 Found", headers="location: /x"),
    "last on its connection": http(completion("m-up"), headers="connection: close"),
    "until it closes": answer_then_close(b"HTTP/1.1 200 OK\r\n\r\n" + completion("m-up")),
    "too much": WHOLE + b"x",
    "nothing": answer_then_close(b""),
    "half a head": answer_then_close(WHOLE[:30]),
    "half a body": answer_then_close(WHOLE[:-5]),
    "not HTTP": answer_then_close(b"SSH-2.0\r\n\r\n"),
    "broken chunks": answer_then_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
}
STREAMS: dict[str, bytes | Script] = {
    "plain": STREAM,
    "byte by byte": bytewise(STREAM),
    "head first": two_steps(STREAM[: STREAM.find(b"\r\n\r\n") + 4], STREAM[STREAM.find(b"\r\n\r\n") + 4 :]),
    "in two steps": two_steps(STREAM[:-200], STREAM[-200:]),
    "with a length": http(b"".join(FRAMES) + USAGE + DONE, headers="content-type: text/event-stream"),
    "gzip": zipped(b"".join(FRAMES) + USAGE + DONE, "text/event-stream"),
    "after 103": b"HTTP/1.1 103 Early Hints\r\n\r\n" + STREAM,
    "long": chunked(*[chunk("m-up", content=f"{n} " * 50) for n in range(3000)], *FRAMES, USAGE, DONE),
    "comments first": two_steps(chunked(b": wait\n\n", end=False), STREAM[STREAM.find(b"\r\n\r\n") + 4 :]),
    "no usage": chunked(*FRAMES, DONE),
    "no [DONE]": chunked(*FRAMES, USAGE),
    "no end of the framing": answer_then_hang(chunked(*FRAMES, USAGE, DONE, end=False)),
    "empty": chunked(),
    "comments only": chunked(b": wait\n\n"),
    "JSON instead": WHOLE,
    "an error first": chunked(b"data: " + error("Busy.", type_="overloaded") + b"\n\n"),
    "an error later": chunked(FRAMES[0], b"data: " + error("Busy.", type_="overloaded") + b"\n\n", FRAMES[1]),
    "cut short": answer_then_close(chunked(*FRAMES[:2], end=False)),
    "broken framing": answer_then_close(chunked(*FRAMES[:1], end=False) + b"zz\r\n"),
    "400": http(error("Bad.", type_="invalid_request_error"), status="400 Bad Request"),
    "500 empty": http(b"", status="500 Internal Server Error"),
    "nothing": answer_then_close(b""),
}


@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        *(pytest.param(False, answer, id=f"whole, {name}") for name, answer in ANSWERS.items()),
        *(pytest.param(True, answer, id=f"stream, {name}") for name, answer in STREAMS.items()),
    ],
)
def test_whatever_the_upstream_answers(two_ways: Bench, stream: bool, answer: bytes | Script) -> None:
    """Over a new connection to it, and over one that has served before; the client's own serves on."""

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        answers, circuits = [], []
        inner.drop_free_connections(upstream.url)
        for _ in range(2):
            upstream.answers.append(answer)
            async with inner.client() as client:
                client.ask(stream=stream, user="someone")
                answers.append(first := await client.answer())
                await inner.calm()
                circuits.append(inner.circuits())
                inner.forget_failures()
                if first.whole:
                    client.ask()
                    answers.append(await client.answer())
                else:
                    answers.append(await inner.chat())
        return {"answers": told(*answers), "circuits": circuits}

    seen = two_ways.both(test)
    assert seen["requests"] == 4
    assert len(seen["usage"]) == 4  # type: ignore[arg-type]


def test_a_plain_call_makes_no_task(two_ways: Bench) -> None:
    """With a connection at hand, and a client that keeps up."""

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        made: list[str] = []

        def factory(
            loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, object], **options: object
        ) -> asyncio.Task[object]:
            made.append(str(getattr(work, "__qualname__", work)))
            return asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]

        await inner.chat()
        loop = asyncio.get_running_loop()
        async with inner.client() as client:
            for stream, answer in ((False, WHOLE), (True, STREAM), (True, STREAM)):
                upstream.answers = [answer]
                client.ask(stream=stream)
                loop.set_task_factory(factory)  # type: ignore[arg-type]
                try:
                    assert (await client.answer()).status == 200
                finally:
                    loop.set_task_factory(None)
        return {"made": made}

    direct, task = two_ways.each(test)
    assert (direct["made"], task["made"]) == ([], ["Visit.serve"] * 3)


def test_requests_sent_behind_each_other_are_answered_in_their_order(two_ways: Bench) -> None:
    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        upstream.answers = [WHOLE, ANSWERS["400"], STREAM, ANSWERS["gzip"], STREAMS["in two steps"], WHOLE, STREAM]
        streams = [False, False, True, False, True, False, True]
        async with inner.client() as client:
            for stream in streams:
                client.ask(stream=stream)
            return {"answers": told(*[await client.answer() for _ in streams])}

    assert [whole for _, whole in two_ways.both(test)["answers"]] == [True] * 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("leaves", [False, True])
def test_a_client_that_does_not_keep_up(two_ways: Bench, leaves: bool) -> None:
    """The hub waits for it with what it has not taken."""
    pieces = [chunk("m-up", content="X" * 1000) for _ in range(8000)]

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        sent = 0

        async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(chunked(end=False))
            for at in range(0, len(pieces), 100):
                writer.write(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces[at : at + 100]))
                await writer.drain()
                sent += 100
            writer.write(STREAM[STREAM.find(b"\r\n\r\n") + 4 :])
            await writer.drain()

        upstream.answers = [script]
        async with inner.client() as client:
            client.ask(stream=True)
            await client.until(b"XXX")
            await until_still(lambda: sent)
            assert sent < len(pieces)
            if leaves:
                client.leave()
                await inner.calm()
                row = inner.usage()[-1]
                return {"usage": row["outcome"], "ledger": len(inner.ledger()) % 2}
            return {"answers": told(await client.answer())}

    two_ways.both(test)


async def until_still(count: Callable[[], int]) -> None:
    """It has not grown for a while."""
    before, same = -1, 0
    async with asyncio.timeout(60):
        while same < 50:
            await asyncio.sleep(0.002)
            before, same = (before, same + 1) if count() == before else (count(), 0)


RAISED = [RuntimeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, StopIteration]
PLACES = [
    (OpenAIChat, "native_request", False),
    (OpenAIChat, "native_reply", False),
    (OpenAIChat, "native_stream", True),
    (ChatNativeStream, "feed", True),
    (ChatNativeStream, "finish", True),
]


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize(("owner", "method", "stream"), PLACES)
def test_whatever_the_code_of_a_lane_raises(
    two_ways: Bench, owner: type, method: str, stream: bool, raised: type[BaseException]
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise raised

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        answers = []
        for kept in (False, True):
            upstream.answers = [*[WHOLE] * kept, STREAM if stream else WHOLE]
            if kept:
                await inner.chat()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(owner, method, broken)
                answers.append(await inner.chat(stream=stream))
            await inner.calm()
            inner.forget_failures()
        return {"answers": told(*answers)}

    seen = two_ways.both(test)
    assert all("provider_failed" in text for text, _ in seen["answers"])  # type: ignore[attr-defined]


Ending: TypeAlias = "Callable[[InnerHub, RawClient, Scripted], Awaitable[None]]"


async def _whole(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    client.ask()
    assert (await client.answer()).whole


async def _streamed(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(STREAM)
    client.ask(stream=True)
    assert (await client.answer()).whole


async def _refused(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(http(error("no", type_="server_error"), status="500 No"))
    client.ask()
    assert (await client.answer()).status != 200


async def _unanswered(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_close(b""))
    client.ask()
    assert (await client.answer()).status != 200


async def _cut_short(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_close(WHOLE[:-5]))
    client.ask()
    assert (await client.answer()).status != 200


async def _broken_off(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_close(STREAM[:-200]))
    client.ask(stream=True)
    await client.answer()


async def _left_waiting(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_hang(b""))
    client.ask()
    await until(lambda: bool(upstream.requests))
    client.leave()


async def _left_streaming(_: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_hang(STREAM[:-200]))
    client.ask(stream=True)
    await client.until(b"Hel")
    client.leave()


async def _cut(inner: InnerHub, client: RawClient, upstream: Scripted) -> None:
    upstream.answers.append(answer_then_hang(STREAM[:-200]))
    client.ask(stream=True)
    await client.until(b"Hel")
    inner.hub.open_calls.cut_key(inner.key_id, revoked_key())
    await client.answer()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    "ending",
    [_whole, _streamed, _refused, _unanswered, _cut_short, _broken_off, _left_waiting, _left_streaming, _cut],
    ids=lambda one: one.__name__,
)
async def test_nothing_of_a_call_is_left_to_the_collector(tmp_path: Path, ending: Ending, kept: bool) -> None:
    """However it ends. What keeps itself alive, with its request and all, is found late, and looking for it is dear."""
    upstream = Scripted(WHOLE)
    async with upstream.serving(), inner_hub(tmp_path, upstream.url) as inner, inner.client() as client:
        if kept:  # the connection to the upstream
            await inner.chat()
            upstream.requests.clear()
        gc.collect()
        gc.disable()
        try:
            before = _parts_of_calls()  # what other tests have left
            await ending(inner, client, upstream)
            await inner.calm()
            await until(lambda: len(_parts_of_calls()) <= len(before), lambda: str(_parts_of_calls()))
        finally:
            gc.enable()


def _parts_of_calls() -> list[object]:
    """That are alive."""
    return [one for one in gc.get_objects() if type(one) in PARTS_OF_A_CALL]
