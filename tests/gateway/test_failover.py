"""When a call goes on to another route, and when not: a real pipeline and store, and upstreams that follow a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from relayhub.accounts.admission import Admission
from relayhub.accounts.pricing import Price
from relayhub.dialects.codec import Envelope
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.gateway.call import Call
from relayhub.gateway.conversation import Conversations
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.pipeline import Pipeline
from relayhub.routing.budget import BudgetTerms
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.health import State
from relayhub.routing.provider import Provider
from relayhub.routing.router import Router, RoutingTerms
from relayhub.sdk import ProviderContext
from relayhub.store.usage import UsageFilter
from relayhub.testing import FakeClock
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ErrorKind, HubError, RelayhubError, UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.json import JsonObject
from relayhub.upstream import faults
from relayhub.upstream.media import MediaFetcher, MediaLimits
from relayhub_openai.provider import OpenAIProvider
from relayhub_openai.settings import OpenAISettings
from tests.support.books import Books, open_books
from tests.support.openai_wire import DONE, chunk, completion, error, usage_chunk

GRANT = 10**12
PRICE = Price(input=1_000_000_000, output=2_000_000_000)
ANSWER_NANO = 10 * 1000 + 5 * 2000


@dataclass
class Reply:
    status: int
    body: Sequence[bytes | UpstreamError]
    headers: Mapping[str, str]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for piece in self.body:
            if isinstance(piece, UpstreamError):
                raise piece
            yield piece


def refusal(status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, [error("no", type_="server_error")], named)


def streamed(*pieces: bytes | UpstreamError) -> Reply:
    return Reply(200, pieces, {"content-type": "text/event-stream"})


Act = Reply | UpstreamError | asyncio.Event
"""An answer, a failure, or what the answer waits for."""


@dataclass
class Upstream:
    """Answers well once its script has run out."""

    script: list[Act] = field(default_factory=list)
    sent: list[HttpRequest] = field(default_factory=list)
    always: Act | None = None

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[Reply]:
        act = self.script.pop(0) if self.script else self.always
        if isinstance(act, UpstreamError) and not act.delivered and act.status is None:
            raise replace_error(act)
        self.sent.append(request)
        if isinstance(act, asyncio.Event):
            await act.wait()
            act = None
        if isinstance(act, UpstreamError):
            raise replace_error(act)
        yield act or Reply(200, [completion("m")], {"content-type": "application/json"})

    async def close(self) -> None:
        return

    def key_of(self, number: int) -> str:
        return self.sent[number].headers["authorization"].removeprefix("Bearer ")


def replace_error(error: UpstreamError) -> UpstreamError:
    """A fresh one: an exception that was raised twice would carry both stories."""
    return UpstreamError(
        error.kind,
        error.message,
        code=error.code,
        retryable=error.retryable,
        delivered=error.delivered,
        status=error.status,
        retry_after_s=error.retry_after_s,
    )


@dataclass
class Listener:
    """A client that reads everything."""

    whole: bytes = b""
    frames: bytes = b""
    status: int | None = None

    def note_dropped(self, names: Sequence[str]) -> None:
        return

    async def reply(self, body: bytes, content_type: str) -> None:
        self.whole, self.status = body, 200

    def push(self, frames: bytes) -> bool:
        self.frames, self.status = self.frames + frames, 200
        return True

    async def write(self, frames: bytes) -> None:
        self.push(frames)

    async def end(self, frames: bytes) -> None:
        self.push(frames)


@dataclass
class Hub:
    books: Books
    clock: FakeClock
    pipeline: Pipeline
    upstreams: Mapping[str, Upstream]
    served: int = 0

    async def chat(self, *, stream: bool = False) -> Listener:
        self.served += 1
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
        key = self.books.issued.key
        principal = Principal(key.id, key.name, self.books.account_id)
        envelope = Envelope("m", stream, include_usage=True, output_cap=None, choices=1, user=None)
        call = Call(
            f"req_{self.served}", principal, Operation.CHAT, Dialect.OPENAI_CHAT, body, envelope, self.clock.monotonic()
        )
        listener = Listener()
        await self.pipeline.serve(call, listener)
        return listener

    async def fails(self, *, stream: bool = False) -> RelayhubError:
        with pytest.raises(RelayhubError) as failed:
            await self.chat(stream=stream)
        return failed.value

    async def row(self) -> JsonObject:
        """The newest usage row."""
        rows = await self.books.store.usage.rows(UsageFilter(), 100)
        return next(row for row in rows if row["call_id"] == f"req_{self.served}")

    def sent(self) -> dict[str, int]:
        return {name: len(upstream.sent) for name, upstream in self.upstreams.items()}


def route(name: str, upstream: Upstream, clock: FakeClock, credential: str | None = None, **fields: object) -> Route:
    settings = OpenAISettings(api_key=SecretStr(f"key-of-{credential or name}"), base_url="https://up.example/v1")
    built = OpenAIProvider(settings, ProviderContext(name, clock, "relayhub/test"))
    provider = Provider(
        name, "openai", Capabilities.of(built), upstream, Deadlines(), {}, {}, proxied=True, credential=credential
    )
    return Route(provider, "m", PRICE, 100, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def open_hub(
    folder: Path,
    *labels: str,
    terms: RoutingTerms | None = None,
    change: Callable[[Route], Route] = lambda route: route,
) -> AsyncIterator[Hub]:
    """``labels``: the routes, in order: ``name`` or ``name#credential``."""
    clock = FakeClock()
    clock.advance(1000)
    async with open_books(folder / "books.db", total=GRANT, clock=clock) as books:
        upstreams: dict[str, Upstream] = {}
        specs = []
        for label in labels:
            name, _, credential = label.partition("#")
            upstream = upstreams.setdefault(name, Upstream())
            specs.append(ModelSpec("m", change(route(name, upstream, clock, credential or None))))
        codec = OpenAIChat()
        pipeline = Pipeline(
            Catalog(specs, 0),
            Codecs({Dialect.OPENAI_CHAT: codec}, {}),
            Admission(books.store.ledger, clock),
            OpenCalls(),
            clock,
            3,
            Conversations(books.store.kept_turns, MediaFetcher(MediaLimits(), "tests"), clock),
            Router(clock, terms, draw=lambda: 0.5),
        )
        yield Hub(books, clock, pipeline, upstreams)
        assert await books.store.ledger.check() == []
        assert (await books.money())[2] == 0


def run(folder: Path, test: Callable[[Hub], Awaitable[None]], *labels: str, **options: object) -> None:
    async def inside() -> None:
        async with open_hub(folder, *(labels or ("a", "b")), **options) as hub:  # type: ignore[arg-type]
            await test(hub)

    asyncio.run(inside())


# --- one call -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [faults.not_reached("refused"), refusal(503), refusal(529), refusal(429), refusal(401), refusal(404), refusal(302)],
    ids=["unreachable", "503", "529", "429", "401", "404", "302"],
)
def test_what_was_certainly_not_executed_goes_on_to_the_next_route(tmp_path: Path, failure: Act) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [failure] if isinstance(failure, UpstreamError) else [refusal_again(failure)]
        assert json.loads((await hub.chat()).whole)["model"] == "m"
        row = await hub.row()
        assert (row["provider"], row["attempts"], row["cost_nano"]) == ("b", 2, ANSWER_NANO)

    def refusal_again(one: Act) -> Act:
        if isinstance(one, Reply) and one.status == 404:  # a proxy's page: not the upstream's own words
            return Reply(404, [b"<html>"], {})
        return one

    run(tmp_path, test)


@pytest.mark.parametrize(
    "failure",
    [faults.broke_off("reset"), faults.too_slow("answer", 5), refusal(500), refusal(502), refusal(504), refusal(408)],
    ids=["reset", "hung", "500", "502", "504", "408"],
)
def test_what_may_have_been_executed_is_never_sent_again(tmp_path: Path, failure: Act) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [failure]
        failed = await hub.fails()
        assert isinstance(failed, UpstreamError)
        assert failed.delivered
        assert hub.sent() == {"a": 1, "b": 0}
        assert (await hub.row())["cost_nano"] == 0

    run(tmp_path, test)


def test_the_operator_may_choose_to_repeat_chat(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [faults.too_slow("answer", 5)]
        await hub.chat()
        assert hub.sent() == {"a": 1, "b": 1}
        assert (await hub.row())["cost_nano"] == ANSWER_NANO

    run(tmp_path, test, terms=RoutingTerms(retry_delivered_chat=True))


@pytest.mark.parametrize("repeats", [False, True])
def test_nothing_is_tried_again_once_the_client_has_seen_something(tmp_path: Path, repeats: bool) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [streamed(chunk("m", content="Hel"), faults.truncated("cut"))]
        await hub.fails(stream=True)
        assert hub.sent() == {"a": 1, "b": 0}
        assert (await hub.row())["outcome"] == "upstream_error"

    run(tmp_path, test, terms=RoutingTerms(retry_delivered_chat=repeats))


def test_a_comment_is_not_an_answer(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [streamed(b": wait\n\n", faults.truncated("cut"))]
        good = streamed(chunk("m", content="Hello"), chunk("m", finish="stop"), DONE)
        hub.upstreams["b"].script = [good]
        listener = await hub.chat(stream=True)
        assert b"Hello" in listener.frames
        assert listener.frames.endswith(DONE)

    run(tmp_path, test, terms=RoutingTerms(retry_delivered_chat=True))


def test_a_request_that_is_refused_for_its_content_is_refused(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [Reply(400, [error("too long", type_="invalid_request_error")], {})]
        assert (await hub.fails()).kind is ErrorKind.UPSTREAM_REJECTED
        assert hub.sent() == {"a": 1, "b": 0}

    run(tmp_path, test)


def test_one_further_route_after_sending_and_any_number_before(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        for name in "ab":
            hub.upstreams[name].script = [refusal(503)]
        await hub.fails()
        assert hub.sent() == {"a": 1, "b": 1, "c": 0}
        for name in "ab":
            hub.upstreams[name].script = [faults.not_reached("refused")]
        await hub.chat()
        assert hub.sent() == {"a": 1, "b": 1, "c": 1}

    run(tmp_path, test, "a", "b", "c")


# --- many calls ---------------------------------------------------------------------------------------------------------


def test_an_upstream_that_fails_is_left_alone_and_found_again(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].always = refusal(503)
        for _ in range(20):
            await hub.chat()
            hub.clock.advance(0.2)
        assert hub.sent() == {"a": 5, "b": 20}
        hub.upstreams["a"].always = None
        hub.clock.advance(10)
        for _ in range(3):
            await hub.chat()
        assert hub.sent() == {"a": 8, "b": 20}

    run(tmp_path, test)


def test_further_attempts_end_with_the_budget(tmp_path: Path) -> None:
    """Without a circuit, so that only the budget stands between a broken upstream and twice the load."""

    async def test(hub: Hub) -> None:
        hub.upstreams["a"].always = refusal(503)
        failed = 0
        for _ in range(100):
            try:
                await hub.chat()
            except UpstreamError:
                failed += 1
        assert hub.sent()["b"] == 3
        assert failed == 97

    retries = BudgetTerms(share=0.2, per_s=3)
    run(
        tmp_path,
        test,
        terms=replace(RoutingTerms(retries=retries), circuit=replace(RoutingTerms().circuit, failures=10**6)),
    )


def test_a_limited_key_rests_and_the_other_serves(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        up = hub.upstreams["up"]
        up.script = [refusal(429, retry_after="30")]
        for _ in range(4):
            await hub.chat()
        assert [up.key_of(number) for number in range(5)] == ["key-of-one", *["key-of-two"] * 4]
        hub.clock.advance(30.1)
        await hub.chat()
        assert up.key_of(5) == "key-of-one"

    run(tmp_path, test, "up#one", "up#two")


def test_a_key_that_is_refused_rests_too(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        up = hub.upstreams["up"]
        up.script = [refusal(401)]
        for _ in range(3):
            await hub.chat()
        assert [up.key_of(number) for number in range(4)] == ["key-of-one", *["key-of-two"] * 3]

    run(tmp_path, test, "up#one", "up#two")


def test_an_upstream_that_is_down_is_not_asked_again_with_another_key(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["up"].script = [refusal(503)]
        await hub.chat()
        assert hub.sent() == {"up": 1, "other": 1}

    run(tmp_path, test, "up#one", "up#two", "other")


def test_where_every_upstream_said_when_the_soonest_is_told_and_nothing_is_sent_or_held(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        for name, wait in (("a", "60"), ("b", "20")):
            hub.upstreams[name].script = [refusal(429, retry_after=wait)]
        first = await hub.fails()
        assert first.kind is ErrorKind.UPSTREAM_RATE_LIMITED
        hub.clock.advance(5)
        second = await hub.fails()
        assert (second.kind, second.retry_after_s) == (ErrorKind.UPSTREAM_RATE_LIMITED, 15)
        assert hub.sent() == {"a": 1, "b": 1}
        assert not isinstance(second, UpstreamError) or not second.delivered

    run(tmp_path, test)


def test_the_only_route_is_tried_however_often_it_fails(tmp_path: Path) -> None:
    """Nobody is helped by refusing what nobody else can do; only its own upstream can forbid it."""

    async def test(hub: Hub) -> None:
        hub.upstreams["a"].always = refusal(503)
        for _ in range(8):
            await hub.fails()
        assert hub.sent() == {"a": 8}
        hub.upstreams["a"].always = None
        await hub.chat()

    run(tmp_path, test, "a")


def test_a_full_provider_is_passed_by_and_the_last_one_refuses_at_once(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        gates = {name: asyncio.Event() for name in hub.upstreams}
        for name, gate in gates.items():
            hub.upstreams[name].script = [gate]
        waiting = [asyncio.create_task(hub.chat()) for _ in range(2)]
        while hub.sent() != {"a": 1, "b": 1}:
            await asyncio.sleep(0)
        refused = await hub.fails()
        assert isinstance(refused, HubError)
        assert (refused.kind, refused.retry_after_s) == (ErrorKind.NO_ROUTE, 1.0)
        for gate in gates.values():
            gate.set()
        await asyncio.gather(*waiting)
        await hub.chat()

    def limited(route: Route) -> Route:
        return replace(route, provider=replace(route.provider, max_in_flight=1))

    run(tmp_path, test, change=limited)


def test_a_client_that_leaves_says_nothing_of_the_upstream(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        for _ in range(10):
            hub.upstreams["a"].script = [asyncio.Event()]
            before = hub.sent()["a"]
            leaving = asyncio.create_task(hub.chat())
            while hub.sent()["a"] == before:
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        health = hub.pipeline.router.health
        standing = health.standing(
            hub.pipeline.catalog.resolve("m", Principal("k", "k", "a"), Operation.CHAT).routes[0]
        )
        assert (standing.state, standing.busy, health.busy("a")) == (State.CLOSED, 0, 0)

    run(tmp_path, test)


def test_a_fall_back_answers_under_its_own_name_and_price(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [refusal(503)]
        answer = await hub.chat()
        assert json.loads(answer.whole)["model"] == "mini"
        row = await hub.row()
        assert (row["model"], row["provider"]) == ("mini", "b")

    def fallback(route: Route) -> Route:
        return route if route.provider.name == "a" else replace(route, fallback=1, model="mini")

    run(tmp_path, test, change=fallback)


# --- hedging ------------------------------------------------------------------------------------------------------------

HEDGED = RoutingTerms(hedge_after_s=0.02)


@pytest.mark.parametrize("stream", [False, True])
def test_a_second_route_is_asked_beside_a_silent_one_and_both_are_paid_for(tmp_path: Path, stream: bool) -> None:
    async def test(hub: Hub) -> None:
        hub.upstreams["a"].script = [asyncio.Event()]
        if stream:
            good = streamed(chunk("m", content="Hello"), chunk("m", finish="stop"), usage_chunk("m", 10, 5), DONE)
            hub.upstreams["b"].script = [good]
        listener = await hub.chat(stream=stream)
        assert b"Hello" in listener.whole + listener.frames
        assert hub.sent() == {"a": 1, "b": 1}
        row = await hub.row()
        assert (row["provider"], row["attempts"], row["cost_nano"]) == ("b", 2, ANSWER_NANO + 10 * 1000)
        health = hub.pipeline.router.health
        assert (health.busy("a"), health.busy("b")) == (0, 0)

    run(tmp_path, test, terms=HEDGED)


def test_an_answer_in_time_is_not_hedged(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        await hub.chat()
        assert hub.sent() == {"a": 1, "b": 0}
        assert (await hub.row())["cost_nano"] == ANSWER_NANO

    run(tmp_path, test, terms=replace(HEDGED, hedge_after_s=5))


def test_the_first_may_still_win(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        first, second = asyncio.Event(), asyncio.Event()
        hub.upstreams["a"].script, hub.upstreams["b"].script = [first], [second]
        asked = asyncio.create_task(hub.chat())
        while hub.sent() != {"a": 1, "b": 1}:
            await asyncio.sleep(0.001)
        first.set()
        await asked
        row = await hub.row()
        assert (row["provider"], row["attempts"], row["cost_nano"]) == ("a", 2, ANSWER_NANO + 10 * 1000)

    run(tmp_path, test, terms=HEDGED)


def test_a_client_that_leaves_ends_both(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        for upstream in hub.upstreams.values():
            upstream.script = [asyncio.Event()]
        asked = asyncio.create_task(hub.chat())
        while hub.sent() != {"a": 1, "b": 1}:
            await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        health = hub.pipeline.router.health
        assert (health.busy("a"), health.busy("b")) == (0, 0)
        assert (await hub.row())["outcome"] == "client_left"

    run(tmp_path, test, terms=HEDGED)


def test_where_the_second_fails_the_first_is_waited_for_and_alone_is_paid(tmp_path: Path) -> None:
    async def test(hub: Hub) -> None:
        gate = asyncio.Event()
        hub.upstreams["a"].script, hub.upstreams["b"].script = [gate], [refusal(503)]
        asked = asyncio.create_task(hub.chat())
        while hub.sent() != {"a": 1, "b": 1}:
            await asyncio.sleep(0.001)
        gate.set()
        await asked  # the second has failed: the first is waited for all the same
        assert (await hub.row())["cost_nano"] == ANSWER_NANO

    run(tmp_path, test, terms=HEDGED)
