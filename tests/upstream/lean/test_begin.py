"""Exchanges that tell a listener and a sink, without anybody waiting."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Body, Deadlines, Effect
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.head import Heads
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.reply import LeanReply
from relayhub.upstream.lean.transport import Begun, LeanTransport
from tests.support.raw_upstream import (
    Script,
    answer_then_close,
    answer_then_hang,
    chunked,
    hang,
    http,
    raw_upstream,
)
from tests.upstream.lean.sending import PATIENT, QUICK, post, until

OK = http(b"{}")
IN_ALL_S = 0.5


class Caller:
    """A listener and a sink that write down what they are told. ``room``: pieces it takes before it wants a pause."""

    def __init__(self, room: int = 1 << 30, *, pours: bool = True) -> None:
        self.room = room
        self.pours = pours
        self.told: list[str] = []
        self.body = b""
        self.reply: LeanReply | None = None
        self.error: BaseException | None = None
        self.tasks: set[asyncio.Task[object] | None] = set()

    def replied(self, reply: LeanReply) -> None:
        self.told.append("replied")
        self.reply = reply
        if self.pours:
            reply.pour(self)

    def take(self, data: bytes) -> bool:
        self.tasks.add(asyncio.current_task())
        self.body += data
        self.room -= 1
        return self.room > 0

    def ended(self) -> None:
        self.told.append("ended")

    def failed(self, error: BaseException) -> None:
        self.told.append("failed")
        self.error = error


def begin(
    transport: LeanTransport,
    url: str,
    caller: Caller,
    body: Body = b"{}",
    *,
    effect: Effect = Effect.PAID,
    deadlines: Deadlines = PATIENT,
) -> Begun:
    return transport.begin(transport.prepare("POST", url, {}, effect), body, deadlines, caller)


@pytest.mark.parametrize("kept", [True, False])
async def test_an_answer_is_told_piece_by_piece(transport: LeanTransport, kept: bool) -> None:
    caller = Caller()
    async with raw_upstream(*[OK] * kept, chunked(b"one", b"two")) as upstream:
        if kept:
            await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        assert caller.told == []
        await until(lambda: caller.told == ["replied", "ended"])
        assert (upstream.connections, transport.pool.free) == (1, 1)
    assert caller.body == b"onetwo"
    assert caller.reply is not None
    assert (caller.reply.status, caller.reply.headers["content-type"]) == (200, "text/event-stream")


async def test_on_a_kept_connection_there_is_no_task(transport: LeanTransport) -> None:
    caller = Caller()
    async with raw_upstream(OK, chunked(b"one")) as upstream:
        await post(transport, upstream.url)
        before = len(asyncio.all_tasks())
        begin(transport, upstream.url, caller)
        assert len(asyncio.all_tasks()) == before
        await until(lambda: "ended" in caller.told)
    assert caller.tasks == {None}


async def test_on_a_new_connection_the_answer_is_waited_for_without_a_task(transport: LeanTransport) -> None:
    caller = Caller()
    go_on = asyncio.Event()

    async def late(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(chunked(b"one"))
        await writer.drain()

    async with raw_upstream(late) as upstream:
        begin(transport, upstream.url, caller)
        await until(lambda: len(upstream.requests) == 1)
        assert not [task for task in asyncio.all_tasks() if "_Beginning" in str(task.get_coro())]
        go_on.set()
        await until(lambda: "ended" in caller.told)
    assert caller.tasks == {None}


async def test_the_time_for_all_of_it_runs_while_it_connects(
    transport: LeanTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller()
    connect, now = transport.pool.connect, asyncio.get_running_loop().time
    connected_at = 0.0

    async def slowly(origin: Origin, connect_s: float) -> Connection:
        nonlocal connected_at
        connection, until_s = await connect(origin, connect_s), now() + IN_ALL_S
        await until(lambda: now() > until_s)
        connected_at = now()
        return connection

    monkeypatch.setattr(transport.pool, "connect", slowly)
    async with raw_upstream(hang) as upstream:
        begin(transport, upstream.url, caller, deadlines=replace(PATIENT, total_s=IN_ALL_S))
        await until(lambda: caller.told == ["failed"])
        assert now() - connected_at < IN_ALL_S, "it was over by then"
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert isinstance(caller.error, UpstreamError)
    assert "complete answer" in str(caller.error)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_connection_that_ends_without_an_answer_is_told_as_delivered(
    transport: LeanTransport, kept: bool
) -> None:
    caller = Caller()
    async with raw_upstream(*[OK] * kept, answer_then_close(b"")) as upstream:
        if kept:
            await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: caller.told == ["failed"])
    assert isinstance(caller.error, UpstreamError)
    assert (caller.error.code, caller.error.delivered) == ("upstream_disconnected", True)
    assert transport.pool.size == 0


async def test_no_connection_is_told_as_not_delivered(transport: LeanTransport) -> None:
    async with raw_upstream(OK) as upstream:
        url = upstream.url
    caller = Caller()
    begin(transport, url, caller)
    await until(lambda: caller.told == ["failed"])
    assert isinstance(caller.error, UpstreamError)
    assert (caller.error.code, caller.error.delivered) == ("upstream_unreachable", False)


async def test_a_free_request_is_repeated_as_when_awaited(transport: LeanTransport) -> None:
    caller = Caller()
    async with raw_upstream(OK, answer_then_close(b""), OK) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller, effect=Effect.NONE)
        await until(lambda: "ended" in caller.told)
    assert (len(upstream.requests), caller.body) == (3, b"{}")


@pytest.mark.parametrize("size", [300_000, 2 << 20, 5 << 20])
async def test_a_large_body_is_sent_whole(transport: LeanTransport, size: int) -> None:
    caller = Caller()
    body = b"x" * size
    async with raw_upstream(OK) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller, body)
        await until(lambda: "ended" in caller.told)
    assert upstream.requests[1].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("script", "message"), [(hang, "in time"), (answer_then_hang(chunked(b"x", end=False)), "further data")]
)
async def test_silence_ends_at_its_deadline(transport: LeanTransport, kept: bool, script: Script, message: str) -> None:
    caller = Caller()
    async with raw_upstream(*[OK] * kept, script) as upstream:
        if kept:
            await post(transport, upstream.url)
        begin(transport, upstream.url, caller, deadlines=QUICK)
        await until(lambda: "failed" in caller.told)
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert isinstance(caller.error, UpstreamError)
    assert caller.error.delivered


async def test_a_fault_comes_after_what_was_good(transport: LeanTransport) -> None:
    caller = Caller()
    async with raw_upstream(OK, chunked(b"good", end=False) + b"no chunk\r\n") as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: "failed" in caller.told)
    assert isinstance(caller.error, UpstreamError)
    assert (caller.told, caller.body, caller.error.code) == (["replied", "failed"], b"good", "upstream_truncated")


async def test_a_fault_before_the_body_is_poured_is_told_then(transport: LeanTransport) -> None:
    caller = Caller(pours=False)
    async with raw_upstream(answer_then_close(chunked(b"good", end=False))) as upstream:
        begin(transport, upstream.url, caller)
        await until(lambda: transport.pool.size == 0 and caller.reply is not None)
    assert caller.told == ["replied"]
    assert caller.reply is not None
    caller.reply.pour(caller)
    assert (caller.told, caller.body) == (["replied", "failed"], b"good")


async def test_who_wants_no_more_for_now_gets_the_rest_and_the_end_later(transport: LeanTransport) -> None:
    caller = Caller(room=1)
    go_on = asyncio.Event()

    async def in_two_steps(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"one", end=False))
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await writer.drain()

    async with raw_upstream(OK, in_two_steps) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: caller.body == b"one")
        go_on.set()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert (caller.told, caller.body) == (["replied"], b"one")
        caller.room = 9
        assert caller.reply is not None
        caller.reply.more()
        await until(lambda: caller.told == ["replied", "ended"])
    assert caller.body == b"onetwo"


async def test_the_end_waits_for_a_sink_that_wants_a_pause(transport: LeanTransport) -> None:
    caller = Caller(room=1)
    async with raw_upstream(OK, chunked(b"one")) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: caller.body == b"one" and transport.pool.free == 1)
    assert caller.told == ["replied"]
    assert caller.reply is not None
    caller.reply.more()
    assert caller.told == ["replied", "ended"]


async def test_an_end_that_comes_with_the_last_piece_waits_as_well(transport: LeanTransport) -> None:
    caller = Caller(room=2)
    go_on = asyncio.Event()

    async def in_two_steps(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"one", end=False))
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await writer.drain()

    async with raw_upstream(OK, in_two_steps) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: caller.body == b"one")
        go_on.set()
        await until(lambda: caller.body == b"onetwo")
    assert caller.told == ["replied"]
    assert caller.reply is not None
    caller.reply.more()
    assert caller.told == ["replied", "ended"]


async def test_while_a_sink_takes_nothing_the_idle_deadline_does_not_run(transport: LeanTransport) -> None:
    caller = Caller(room=1)
    async with raw_upstream(answer_then_hang(chunked(b"one", end=False))) as upstream:
        begin(transport, upstream.url, caller, deadlines=Deadlines(idle_s=0.01, total_s=5.0))
        await until(lambda: caller.body == b"one")
        await asyncio.wait({asyncio.ensure_future(upstream.closed.wait())}, timeout=0.1)
        assert (caller.told, upstream.closed.is_set()) == (["replied"], False)
        assert caller.reply is not None
        caller.reply.more()
        await until(lambda: caller.told == ["replied", "failed"])


async def test_the_total_deadline_runs_out_while_a_sink_takes_nothing(transport: LeanTransport) -> None:
    caller = Caller(room=1)
    loop = asyncio.get_running_loop()
    async with raw_upstream(answer_then_hang(chunked(b"one", end=False))) as upstream:
        begun_at = loop.time()
        begin(transport, upstream.url, caller, deadlines=Deadlines(total_s=0.3))
        await until(lambda: caller.body == b"one" and loop.time() > begun_at + 0.35)
        assert caller.reply is not None
        caller.reply.more()
    assert caller.told == ["replied", "failed"]
    assert "complete answer" in str(caller.error)


async def test_what_goes_wrong_in_taking_drops_the_connection_and_is_told(transport: LeanTransport) -> None:
    class Clumsy(Caller):
        def take(self, data: bytes) -> bool:
            raise KeyError("mine")

    caller = Clumsy()
    async with raw_upstream(OK, answer_then_hang(chunked(b"one", end=False))) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert caller.told == ["replied", "failed"]
    assert isinstance(caller.error, KeyError)


@pytest.mark.parametrize("kept", [True, False])
async def test_nothing_is_told_after_abort(transport: LeanTransport, kept: bool) -> None:
    caller = Caller()
    arrived = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await hang(reader, writer)

    async with raw_upstream(*[OK] * kept, note) as upstream:
        if kept:
            await post(transport, upstream.url)
        begun = begin(transport, upstream.url, caller)
        await asyncio.wait_for(arrived.wait(), 5)
        begun.abort()
        begun.abort()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert transport.pool.size == 0
    assert caller.told == []


@pytest.mark.parametrize("kept", [True, False])
async def test_abort_in_the_middle_of_the_body_drops_the_connection(transport: LeanTransport, kept: bool) -> None:
    caller = Caller()
    async with raw_upstream(*[OK] * kept, answer_then_hang(chunked(b"one", end=False))) as upstream:
        if kept:
            await post(transport, upstream.url)
        begun = begin(transport, upstream.url, caller)
        await until(lambda: caller.body == b"one")
        begun.abort()
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert (caller.told, transport.pool.size) == (["replied"], 0)


@pytest.mark.parametrize("how", ["leave", "abort"])
async def test_a_sink_may_go_while_it_takes(transport: LeanTransport, how: str) -> None:
    class Fickle(Caller):
        def take(self, data: bytes) -> bool:
            super().take(data)
            assert self.reply is not None
            getattr(self.reply, how)()
            return False

    caller = Fickle()
    go_on = asyncio.Event()

    async def in_two_steps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"one", end=False))
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await hang(reader, writer)

    async with raw_upstream(OK, in_two_steps) as upstream:
        await post(transport, upstream.url)
        begin(transport, upstream.url, caller)
        await until(lambda: caller.body == b"one")
        go_on.set()
        await until(lambda: (transport.pool.free, transport.pool.size) == ((1, 1) if how == "leave" else (0, 0)))
    assert (caller.told, caller.body) == (["replied"], b"one")


async def test_a_compressed_answer_is_poured_inflated(transport: LeanTransport) -> None:
    text = b"0123456789abcdef" * 40_000
    caller = Caller(room=1)
    answer = http(gzip.compress(text), headers="content-encoding: gzip")
    async with raw_upstream(answer) as upstream:
        begin(transport, upstream.url, caller)
        await until(lambda: bool(caller.body))
        first = len(caller.body)
        caller.room = 1 << 30
        assert (0 < first < len(text), caller.told) == (True, ["replied"])
        assert caller.reply is not None
        caller.reply.more()
        await until(lambda: caller.told == ["replied", "ended"])
    assert caller.body == text


async def test_a_broken_compressed_answer_fails(transport: LeanTransport) -> None:
    caller = Caller()
    async with raw_upstream(http(b"no gzip at all", headers="content-encoding: gzip")) as upstream:
        begin(transport, upstream.url, caller)
        await until(lambda: "failed" in caller.told)
    assert isinstance(caller.error, UpstreamError)
    assert caller.error.code == "upstream_truncated"


async def test_the_connection_serves_again_after_a_begun_exchange(transport: LeanTransport) -> None:
    async with raw_upstream(OK) as upstream:
        for _ in range(3):
            caller = Caller()
            begin(transport, upstream.url, caller)
            await until(lambda heard=caller: heard.told == ["replied", "ended"])  # type: ignore[misc]
        assert (await post(transport, upstream.url)).body == b"{}"
    assert upstream.connections == 1


# --- answers that are not streamed ------------------------------------------------------------------------------------


class Asker(Caller):
    """``free``: connections at the time of the answer."""

    def __init__(self, transport: LeanTransport) -> None:
        super().__init__()
        self.transport = transport
        self.media_type = ""
        self.free = 0

    def answered(self, media_type: str, body: bytes) -> None:
        self.told.append("answered")
        self.media_type, self.body, self.free = media_type, body, self.transport.pool.free


def ask(
    transport: LeanTransport, url: str, asker: Asker, body: bytes = b"{}", *, deadlines: Deadlines = PATIENT
) -> Begun:
    return transport.ask(transport.prepare("POST", url, {}, Effect.PAID), body, deadlines, asker)


def split(answer: bytes, at: int) -> Script:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:at])
        await writer.drain()
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(answer[at:])
        await writer.drain()

    return script


@pytest.mark.parametrize(
    ("answer", "media_type"),
    [
        (http(b"one", headers="content-type: application/json\r\nx-id: 1"), "application/json"),
        (chunked(b"o", b"ne"), "text/event-stream"),
        (http(b"one", status="201 Made", headers="Content-Type: Text/Plain; charset=utf-8"), "text/plain"),
        (http(b"one", headers="keep-alive: timeout=30"), ""),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
async def test_a_good_answer_in_one_read_is_told_whole(
    transport: LeanTransport, answer: bytes, media_type: str, kept: bool
) -> None:
    asker = Asker(transport)
    async with raw_upstream(OK, answer) as upstream:
        await post(transport, upstream.url)
        (connection,) = transport.pool._open
        if not kept:
            connection.heads = Heads()
        ask(transport, upstream.url, asker)
        await until(lambda: bool(asker.told))
        assert (asker.told, asker.media_type, asker.body, asker.free) == (["answered"], media_type, b"one", 1)
        assert (await post(transport, upstream.url)).body == b"one"
        assert upstream.connections == 1


async def test_an_answer_like_the_one_before_is_told_whole(transport: LeanTransport) -> None:
    async with raw_upstream(OK, http(b"another"), http(b"")) as upstream:
        await post(transport, upstream.url)
        for body in (b"another", b""):
            asker = Asker(transport)
            before = len(asyncio.all_tasks())
            begun = ask(transport, upstream.url, asker)
            assert (asker.told, len(asyncio.all_tasks())) == ([], before)
            await until(lambda asker=asker: bool(asker.told))  # type: ignore[misc]
            assert (asker.told, asker.media_type, asker.body) == (["answered"], "application/json", body)
            assert asker.free == 1, "its connection is free by then"
            begun.abort()
            assert transport.pool.free == 1, "whose it is not any more"
        assert upstream.connections == 1


@pytest.mark.parametrize(
    ("answer", "free"),
    [
        pytest.param(chunked(b"one").replace(b"\r\n0\r\n", b"\r\n0;x=y\r\n"), 1, id="a last chunk that says more"),
        pytest.param(chunked(b"one") + b"x", 0, id="too much behind chunks"),
        pytest.param(split(chunked(b"one"), len(chunked(b"one")) - 2), 1, id="the end of chunks later"),
        pytest.param(http(b"one", status="500 No"), 1, id="an error"),
        pytest.param(http(b"one", headers="content-type: application/json\r\nconnection: close"), 0, id="the last one"),
        pytest.param(split(http(b"one"), 20), 1, id="in two pieces"),
        pytest.param(split(http(b"one"), len(http(b"one")) - 1), 1, id="its end later"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(b"one"), 1, id="after 103"),
        pytest.param(http(b"one") + b"x", 0, id="too much"),
    ],
)
async def test_any_other_answer_is_told_as_a_reply(transport: LeanTransport, answer: bytes | Script, free: int) -> None:
    asker = Asker(transport)
    async with raw_upstream(OK, answer) as upstream:
        await post(transport, upstream.url)
        ask(transport, upstream.url, asker)
        await until(lambda: asker.told == ["replied", "ended"])
        assert (upstream.connections, transport.pool.free) == (1, free)
    assert asker.body == b"one"


async def test_the_first_answer_of_a_connection_is_told_as_a_reply(transport: LeanTransport) -> None:
    asker = Asker(transport)
    async with raw_upstream(OK) as upstream:
        ask(transport, upstream.url, asker)
        await until(lambda: asker.told == ["replied", "ended"])
    assert asker.body == b"{}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (hang, "no answer within"),
        (answer_then_close(b""), "closed"),
        (answer_then_hang(OK[:30]), "no answer within"),
        (b"SSH-2.0\r\n", "not valid HTTP"),
    ],
)
async def test_what_goes_wrong_with_it_is_told(transport: LeanTransport, script: Script | bytes, message: str) -> None:
    asker = Asker(transport)
    async with raw_upstream(OK, script) as upstream:
        await post(transport, upstream.url)
        ask(transport, upstream.url, asker, deadlines=QUICK)
        await until(lambda: bool(asker.told))
    assert asker.told == ["failed"]
    assert isinstance(asker.error, UpstreamError)
    assert message in f"{asker.error} {asker.error.detail}"
    assert (asker.error.delivered, transport.pool.size) == (True, 0)


@pytest.mark.parametrize(
    "answer",
    [
        http(b"one", headers="content-encoding: br"),
        http(b"one", status="500 No", headers="content-encoding: zstd"),
        chunked(b"one").replace(b"\r\n", b"\r\ncontent-encoding: br\r\n", 1),
        http(b"one", status="abc No"),
        http(b"one", headers="content-length: 4"),
    ],
)
async def test_what_is_wrong_with_an_answer_is_told_as_on_a_new_connection(
    transport: LeanTransport, answer: bytes
) -> None:
    told = []
    for kept in (True, False):
        asker = Asker(transport)
        async with raw_upstream(OK, answer) if kept else raw_upstream(answer) as upstream:
            if kept:
                await post(transport, upstream.url)
            ask(transport, upstream.url, asker)
            await until(lambda asker=asker: bool(asker.told))  # type: ignore[misc]
        assert isinstance(asker.error, UpstreamError)
        told.append((asker.told, asker.error.code, str(asker.error), asker.error.detail, transport.pool.size))
    assert told[0] == told[1]


@pytest.mark.parametrize("begun_to_come", [b"", OK[:30], OK[:-1]])
async def test_nothing_of_it_is_told_after_abort(transport: LeanTransport, begun_to_come: bytes) -> None:
    asker = Asker(transport)
    asker.pours = False
    async with raw_upstream(OK, answer_then_hang(begun_to_come)) as upstream:
        await post(transport, upstream.url)
        begun = ask(transport, upstream.url, asker)
        await until(lambda: len(upstream.requests) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        told = list(asker.told)
        begun.abort()
        begun.abort()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert transport.pool.size == 0
    assert asker.told == told == (["replied"] if begun_to_come == OK[:-1] else [])
