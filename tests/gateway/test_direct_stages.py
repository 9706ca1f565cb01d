"""Calls that are served without a task, and the same calls served in one: what happens to them at each of their stages.

A real hub in this process: its own front door, store and transport, and an upstream that sends the bytes it is told."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import Coroutine, Iterator, MutableMapping
from pathlib import Path

import pytest
import structlog
import uvloop

from relayhub.accounts import admission
from relayhub.gateway.direct import DirectCall
from relayhub.gateway.open_calls import Cancellable
from relayhub.gateway.settling import CallLog
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.upstream.lean.reply import LeanReply
from relayhub.web.quick.answer import QuickAnswer
from relayhub.web.quick.door import QuickDoor
from tests.support.inner_hub import InnerHub, RawClient, Scripted, until
from tests.support.openai_wire import completion
from tests.support.raw_upstream import chunked, http
from tests.support.two_ways import FRAMES, STREAM, USAGE, WHOLE, Bench, Seen, benches, told


@pytest.fixture(scope="module", autouse=True)
def unwritten_log() -> Iterator[list[MutableMapping[str, object]]]:
    """Painting the tracebacks of what is raised here on purpose takes longer than all the rest."""
    with structlog.testing.capture_logs() as lines:
        yield lines


ZIPPED = http(gzip.compress(completion("m-up")), headers="content-type: application/json\r\ncontent-encoding: gzip")
CUT_AT = STREAM.find(b"lo.") - 100
"""Of the stream: behind its first frame."""


class Stages:
    """Brings a call to a stage, and lets it go on from there."""

    def __init__(self, inner: InnerHub, upstream: Scripted, client: RawClient) -> None:
        self.inner, self.upstream, self.client = inner, upstream, client
        self._go = asyncio.Event()

    async def script(self, first: bytes, rest: bytes) -> None:
        """The upstream sends ``first``, and later ``rest``."""

        async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            await self._go.wait()
            writer.write(rest)
            await writer.drain()

        self.upstream.answers.append(script)

    async def asking(self) -> None:
        """For its hold, of which nothing is written yet."""
        await self._ask_behind("before_begin")

    async def granted(self) -> None:
        """The hold is durable, and nobody knows it yet."""
        await self._ask_behind("after_commit")

    async def _ask_behind(self, step: str) -> None:
        gate = self.inner.gate
        gate.close(step)
        self.client.ask(stream=True)
        await until(lambda: gate.reached and len(self.inner.hub.open_calls) == 1)

    async def head(self) -> None:
        """Nothing has come of the answer."""
        await self.script(b"", STREAM)
        self.client.ask(stream=True)
        await until(lambda: len(self.upstream.requests) == 1)

    async def head_whole(self) -> None:
        """Nothing has come of an answer that will come in one piece."""
        await self.script(b"", WHOLE)
        self.client.ask()
        await until(lambda: len(self.upstream.requests) == 1)

    async def streaming(self) -> None:
        await self.script(STREAM[:CUT_AT], STREAM[CUT_AT:])
        self.client.ask(stream=True)
        await self.client.until(b"Hel")

    async def in_pieces(self) -> None:
        """A whole answer whose end has not come."""
        await self.script(WHOLE[:-20], WHOLE[-20:])
        self.client.ask()
        await until(lambda: len(self.upstream.requests) == 1)
        await self._turns()

    async def settling(self) -> None:
        await self.head()
        self.inner.gate.close()
        self._go.set()
        await self.client.until(b"lo.")
        await self._settling()

    async def settling_whole(self) -> None:
        await self.head_whole()
        self.inner.gate.close()
        self._go.set()
        await self._settling()

    async def failing(self) -> None:
        """What its failure costs is being settled."""
        await self.script(b"", http(b"{}", status="500 No"))
        self.client.ask()
        await self._failing()

    async def failing_streamed(self) -> None:
        await self.script(b"", STREAM[:CUT_AT])
        self.client.ask(stream=True)
        await self._failing()

    async def _failing(self) -> None:
        await until(lambda: len(self.upstream.requests) == 1)
        self.inner.gate.close()
        self._go.set()
        await self._settling()

    async def _settling(self) -> None:
        await until(lambda: self.inner.gate.reached and self.inner.pool.size == 0)
        await self._turns()

    async def _turns(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def go_on(self) -> None:
        self._go.set()
        self.inner.gate.open()


STAGES = ("asking", "granted", "head", "head_whole", "streaming", "in_pieces", "settling", "settling_whole")
SETTLED = ("settling", "settling_whole")
UNSENT = ("asking", "granted")


def revoked() -> ClientError:
    return ClientError(ErrorKind.AUTHENTICATION, "This key was revoked.", code="key_revoked")


@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves(two_ways: Bench, stage: str) -> None:
    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        async with inner.client() as client:
            stages = Stages(inner, upstream, client)
            await getattr(stages, stage)()
            client.leave()
            if stage not in SETTLED:
                await until(lambda: inner.in_flight == 0 and inner.pool.size == inner.pool.free)
            stages.go_on()
            await inner.calm()
        again = await inner.chat()
        return {"status": again.status, "requests": len(upstream.requests)}

    seen = two_ways.both(test)
    assert seen["requests"] == (1 if stage in UNSENT else 2)
    left = [row["outcome"] for row in seen["usage"][:-1]]  # type: ignore[index]
    assert left == ([] if stage in UNSENT else ["completed"] if stage in SETTLED else ["client_left"])


@pytest.mark.parametrize("stage", [one for one in STAGES if one not in (*SETTLED, *UNSENT)])
@pytest.mark.parametrize("by", ["key", "stop"])
def test_a_call_that_the_hub_ends(two_ways: Bench, stage: str, by: str) -> None:
    seen = two_ways.both(lambda inner, upstream: ended_by_hub(inner, upstream, stage, by))
    assert ("key_revoked" if by == "key" else "shutting_down") in str(seen["answers"])
    assert [row["outcome"] for row in seen["usage"]] == ["hub_error"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("by", ["key", "stop"])
@pytest.mark.parametrize("stage", [*SETTLED, *UNSENT])
def test_a_call_that_the_hub_ends_while_it_waits_for_the_store(two_ways: Bench, stage: str, by: str) -> None:
    """Before it was sent it is refused; what is being settled comes to its end."""
    direct, task = two_ways.each(lambda inner, upstream: ended_by_hub(inner, upstream, stage, by))
    if stage in SETTLED:
        task["answers"] = direct["answers"]  # in a task, the client is told of the cut all the same
    assert direct == task
    assert [row["outcome"] for row in direct["usage"]] == ["completed"] * (stage in SETTLED)  # type: ignore[attr-defined]
    assert ("revoked" in str(direct["answers"]) or "shutting" in str(direct["answers"])) is (stage in UNSENT)


@pytest.mark.parametrize("by", ["key", "stop"])
@pytest.mark.parametrize("stage", ["failing", "failing_streamed"])
def test_a_call_that_the_hub_ends_while_its_failure_is_settled(two_ways: Bench, stage: str, by: str) -> None:
    def test(inner: InnerHub, upstream: Scripted) -> Coroutine[object, object, Seen]:
        return ended_by_hub(inner, upstream, stage, by, settling=True)

    seen = two_ways.both(test)
    assert ("key_revoked" if by == "key" else "shutting_down") in str(seen["answers"])
    assert [row["outcome"] for row in seen["usage"]] == ["upstream_error"]  # type: ignore[attr-defined]


async def ended_by_hub(inner: InnerHub, upstream: Scripted, stage: str, by: str, *, settling: bool = False) -> Seen:
    async with inner.client() as client:
        stages = Stages(inner, upstream, client)
        await getattr(stages, stage)()
        cutting = None
        if by == "key":
            assert inner.hub.open_calls.cut_key(inner.key_id, revoked()) == 1
        else:
            cutting = asyncio.create_task(inner.hub.open_calls.cut_off())
            await asyncio.sleep(0)
        if stage not in SETTLED and not settling:
            await until(lambda: inner.in_flight == 0)
        stages.go_on()
        answer = await client.answer()
        if cutting is not None:
            assert await cutting == 1
        inner.hub.open_calls.cut = False
        await inner.calm()
        return {"answers": told(answer)}


def test_a_key_that_is_cut_in_the_turn_in_which_its_answer_ends(two_ways: Bench) -> None:
    """The end is not heard any more: it is settled once."""
    push = QuickAnswer.push

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        def cutting(answer: QuickAnswer, frames: bytes) -> bool:
            done = push(answer, frames)
            inner.hub.open_calls.cut_key(inner.key_id, revoked())
            return done

        upstream.answers = [WHOLE, chunked(*FRAMES, USAGE)]
        await inner.chat()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(QuickAnswer, "push", cutting)
            answer = await inner.chat(stream=True)
        await inner.calm()
        return {"answers": told(answer)}

    direct = two_ways.each(test)[0]
    assert [row["outcome"] for row in direct["usage"]] == ["completed", "hub_error"]  # type: ignore[attr-defined]
    assert "key_revoked" in str(direct["answers"])


def test_a_key_that_is_cut_in_the_turn_in_which_its_client_does_not_keep_up(two_ways: Bench) -> None:
    """Between a cut and the first step of what tidies up, more of the answer may come: one task tidies up, not two."""
    over: list[object] = []
    is_over = DirectCall._over

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        def cutting(_answer: QuickAnswer, _frames: bytes) -> bool:
            inner.hub.open_calls.cut_key(inner.key_id, revoked())
            return False

        def noted(call: DirectCall, problem: BaseException | None) -> None:
            over.append(call)
            is_over(call, problem)

        upstream.answers = [WHOLE, chunked(*FRAMES, USAGE)]
        await inner.chat()
        over.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(QuickAnswer, "push", cutting)
            patch.setattr(DirectCall, "_over", noted)
            answer = await inner.chat(stream=True)
            await inner.calm()
        return {"answers": told(answer), "over": len(over)}

    direct = two_ways.each(test)[0]
    assert [row["outcome"] for row in direct["usage"]] == ["completed", "hub_error"]  # type: ignore[attr-defined]
    assert "key_revoked" in str(direct["answers"])
    assert direct["over"] == 1


def test_a_key_that_is_cut_in_the_turn_in_which_its_hold_is_granted(two_ways: Bench) -> None:
    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        async with inner.client() as client:
            stages = Stages(inner, upstream, client)
            await stages.granted()
            inner.gate.acknowledged = lambda: inner.hub.open_calls.cut_key(inner.key_id, revoked())
            stages.go_on()
            answer = await client.answer()
        return {"answers": told(answer)}

    direct, task = two_ways.each(test)
    assert "key_revoked" in str(task["answers"])
    assert "key_revoked" in str(direct["answers"])
    assert (task["requests"], task["usage"]) == (0, [])
    assert direct["requests"] == 1  # it was sent in the same turn, and its row says what became of it
    assert [(row["outcome"], row["cost_nano"]) for row in direct["usage"]] == [("hub_error", 0)]  # type: ignore[attr-defined]


def test_a_call_that_the_hub_ends_before_the_first_step_of_its_task(two_ways: Bench) -> None:
    at_hand = LeanReply.at_hand

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        with pytest.MonkeyPatch.context() as patch:

            def cutting(reply: LeanReply) -> bytes | None:
                asyncio.get_running_loop().call_soon(inner.hub.open_calls.cut_key, inner.key_id, revoked())
                patch.undo()
                return at_hand(reply)

            upstream.answers = [ZIPPED]
            patch.setattr(LeanReply, "at_hand", cutting)
            answer = await inner.chat()
        return {"answers": told(answer)}

    seen = two_ways.each(test)[0]
    assert "key_revoked" in str(seen["answers"])
    assert [row["outcome"] for row in seen["usage"]] == ["hub_error"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error"])
def test_a_client_that_leaves_in_the_turn_in_which_it_would_be_told(two_ways: Bench, status: str) -> None:
    goes_on = QuickDoor.goes_on

    def leaving(door: QuickDoor, call: Cancellable) -> None:
        goes_on(door, call)
        call.cancel()
        assert door.transport is not None
        door.transport.abort()

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        upstream.answers = [http(b"", status=status)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(QuickDoor, "goes_on", leaving)
            return {"answers": [(await inner.chat()).status]}

    direct, task = two_ways.each(test)
    assert direct["answers"] == [None]
    assert (direct["usage"], direct["ledger"]) == (task["usage"], task["ledger"])


@pytest.mark.parametrize("policy", ["void", "abort_and_estimate", "drain"])
def test_what_a_client_that_leaves_is_charged(tmp_path: Path, policy: str) -> None:
    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        for stage in ("head", "head_whole", "streaming", "in_pieces"):
            async with inner.client() as client:
                upstream.requests.clear()
                stages = Stages(inner, upstream, client)
                await getattr(stages, stage)()
                client.leave()
                await until(lambda: inner.in_flight == 0)
                stages.go_on()
                await inner.calm()
        return {}

    with benches(tmp_path, uvloop.new_event_loop, quota=f"on_disconnect: {policy}") as two_ways:
        seen = two_ways.both(test, always_direct=policy != "drain")
    charged = [row["cost_nano"] > 0 for row in seen["usage"]]  # type: ignore[attr-defined]
    assert charged == ([False, False, True, False] if policy == "void" else [True] * 4)


def test_a_provider_that_is_full(tmp_path: Path) -> None:
    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        async with inner.client() as client:
            stages = Stages(inner, upstream, client)
            await stages.head()
            refused = await inner.chat()
            stages.go_on()
            answer = await client.answer()
        return {"answers": told(refused, answer, await inner.chat())}

    with benches(tmp_path, uvloop.new_event_loop, provider="max_in_flight: 1") as two_ways:
        seen = two_ways.both(test, always_direct=False)
    assert "provider_busy" in str(seen["answers"])
    assert len(seen["usage"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True])
def test_a_store_that_cannot_write(two_ways: Bench, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """Nothing is sent without a hold; an answer is given though its settlement has to wait."""
    monkeypatch.setattr(admission, "SETTLEMENT_WAIT_S", 0.05)

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        monkeypatch.setattr(inner.hub.generations.current.pipeline.settling.waits, "wait_s", 0.05)
        async with inner.client() as client:
            stages = Stages(inner, upstream, client)
            if stream:
                await stages.head()
            else:
                await stages.head_whole()
            inner.gate.error = sqlite3.OperationalError("disk I/O error")
            stages.go_on()
            answers = [await client.answer()]
            refused = await inner.chat(stream=stream)
            inner.gate.error = None
        await inner.calm()
        return {"answers": told(*answers, refused)}

    seen = two_ways.both(test)
    answers = [text for text, _ in seen["answers"]]  # type: ignore[attr-defined]
    assert answers[0].startswith("HTTP/1.1 200")
    assert answers[1].startswith("HTTP/1.1 503")
    assert [row["outcome"] for row in seen["usage"]] == ["completed"]  # type: ignore[attr-defined]


def test_a_defect_is_logged_though_the_client_has_left(
    two_ways: Bench, unwritten_log: list[MutableMapping[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    async def test(inner: InnerHub, upstream: Scripted) -> Seen:
        unwritten_log.clear()
        async with inner.client() as client:
            stages = Stages(inner, upstream, client)
            await stages.settling_whole()
            client.leave()
            await until(lambda: all(door.transport is None for door in doors))
            stages.go_on()
            await inner.calm()
        return {"logged": [str(line["event"]) for line in unwritten_log]}

    doors: list[QuickDoor] = []
    served = QuickDoor.connection_made

    def noted(door: QuickDoor, transport: asyncio.BaseTransport) -> None:
        doors.append(door)
        served(door, transport)

    monkeypatch.setattr(QuickDoor, "connection_made", noted)
    monkeypatch.setattr(CallLog, "finished", broken)
    assert "request.failed" in str(two_ways.each(test)[0]["logged"])
