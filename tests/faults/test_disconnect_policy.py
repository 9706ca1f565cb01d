"""What becomes of a call whose client has left: by key, by model, by the config; and what its row says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relayhub.testing.faults import FaultUpstream, answers, pace
from relayhub.testing.faults.steps import Close, does
from relayhub.testing.upstream import Gate
from tests.faults.asking import CHAT, ask, chat_body, connected, read_until, request_bytes
from tests.faults.bench import PRICE, Bench, Json, benched, config, provider
from tests.faults.ledger import command, new_key
from tests.support.openai_wire import DONE, chunk, completion, usage_chunk
from tests.support.server import running

RELEASED_S = 2.0
CAP = 2
NOTICED_S = 20.0
"""Nothing is promised of it."""

BOUND_S = 1.0
DRAINED: Json = {"outcome": "client_left", "on_disconnect": "drain", "measured": True}
FULL_NANO = 1000 * 1000 + 500 * 2000
"""What the whole answer costs at the bench's price."""

PATIENT: Json = {"connect_s": 1, "first_byte_s": 30, "idle_s": 30, "total_s": 60}
BY_THE_DOOR: tuple[str, ...] = ()
BY_THE_FRAMEWORK = ("connection: close",)
"""A header that the short way does not take."""

each_way = pytest.mark.parametrize("way", [BY_THE_DOOR, BY_THE_FRAMEWORK], ids=["door", "framework"])


NARROW: Json = {"timeouts": {**PATIENT, "connect_s": 30}, "max_connections": 1}


def narrow_models(alone: str) -> Json:
    """``alone``: of this one only. One that is full is left out where another one has room."""
    return {alone: {"price": PRICE}, "drained-*": {"price": PRICE, "on_disconnect": "drain"}}


def models(*policies: str) -> Json:
    said = {f"{policy}-*": {"price": PRICE, "on_disconnect": policy} for policy in policies}
    return {**said, "*": {"price": PRICE}}


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    pair = {f"drain-pair-{left}": {"price": PRICE, "on_disconnect": "drain"} for left in (False, True)}
    spoken: Json = {"price": {"characters": "15"}, "operations": ["speech"]}
    voices = {f"{policy}-voice": {**spoken, "on_disconnect": policy} for policy in ("drain", "void")}
    kinds = {**models("drain", "abort_and_estimate", "void"), **pair, **voices}
    providers = {
        "up": provider(upstream.url, timeouts=PATIENT, models=kinds),
        "other": provider(upstream.url, timeouts=PATIENT, models=pair),
        "narrow": provider(upstream.url, **NARROW, models=narrow_models("one-*")),
        "narrow-too": provider(upstream.url, **NARROW, models=narrow_models("two-*")),
    }
    return config(providers, quota={"drains": CAP})


@contextmanager
def asking(
    bench: Bench, model: str, *way: str, stream: bool = True, key: str = "", seen: bytes = b"", more: int = 1
) -> Iterator[None]:
    """A client that has asked, and seen this much, and leaves when the block ends. ``more``: so many calls of this model are
    open then."""
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=stream), key or bench.key, *way))
        counters = bench.upstream.counters(model)
        assert bench.upstream.wait_for(lambda: counters.open == more, 5)
        if seen:
            assert seen in read_until(raw, seen)
        yield


def lines(bench: Bench, event: str, model: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in bench.hub.log().splitlines() if event in line]
    return [line for line in found if line["model"] == model]


def wait_until_drained(bench: Bench, model: str, times: int = 1) -> None:
    """The hub has noticed so many clients of this model leave, and goes on without them."""
    bench.hub.wait_until(lambda: len(lines(bench, "call.draining", model)) == times, within_s=NOTICED_S)


def wait_until_released(bench: Bench, model: str) -> None:
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, RELEASED_S)


def pieces(model: str) -> list[bytes]:
    return [chunk(model, content=f"word {number} " * 30) for number in range(10)]


def half(model: str) -> bytes:
    return answers.streamed(*pieces(model)[:5], end=False)


def rest(model: str) -> bytes:
    last = [*pieces(model)[5:], chunk(model, finish="stop"), usage_chunk(model, 1000, 500), DONE]
    return answers.chunks(*last) + answers.LAST_CHUNK


def answer_of(model: str, *, stream: bool) -> bytes:
    return half(model) + rest(model) if stream else answers.whole(completion(model, prompt=1000, output=500))


def row(bench: Bench, model: str) -> dict[str, object]:
    found = bench.row(model)
    return {name: found[name] for name in ("outcome", "on_disconnect", "measured", "cost_nano")}


@pytest.mark.fault("L10", "the policy is abort_and_estimate or void, and the client leaves before the first byte")
@each_way
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("policy", ["abort_and_estimate", "void"])
def test_before_the_first_byte(bench: Bench, policy: str, stream: bool, way: tuple[str, ...]) -> None:
    """The upstream's connection is closed within 2 s. The input is charged by estimate; with void nothing."""
    model = f"{policy}-early-{stream}-{len(way)}"
    bench.upstream.program(model, pace.silence())
    with asking(bench, model, *way, stream=stream):
        pass
    wait_until_released(bench, model)
    found = row(bench, model)
    assert (found["outcome"], found["on_disconnect"], found["measured"]) == ("client_left", policy, False)
    assert (found["cost_nano"] == 0) is (policy == "void")
    assert bench.charged(model) < FULL_NANO


@pytest.mark.fault(
    "L10", "the client leaves while its call waits for a connection, with one upstream or two, whatever the policy"
)
@each_way
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["one", "drained"])
def test_before_anything_was_sent(bench: Bench, kind: str, stream: bool, way: tuple[str, ...]) -> None:
    """Charge 0, and the upstream never hears of it."""
    case = f"{kind}-{stream}-{len(way)}"
    busy, model = (f"one-{case}", f"two-{case}"), f"{kind}-waits-{case}"

    def held() -> bool:
        return bool(bench.hub.rows("SELECT 1 FROM holds WHERE instr(about, ?)", model))

    for one in busy:
        bench.upstream.program(one, pace.silence())
    bench.upstream.program("meanwhile", does(answer_of("meanwhile", stream=False)))
    with asking(bench, busy[0]), asking(bench, busy[1]):
        with connected(bench.hub.url) as raw:
            raw.sendall(request_bytes(CHAT, chat_body(model, stream=stream), bench.key, *way))
            bench.hub.wait_until(held, within_s=NOTICED_S)
            assert bench.chat("meanwhile").status == 200  # the hub has heard of that hold before it heard of this one's
        bench.hub.wait_until(lambda: not held(), within_s=NOTICED_S)
        found = row(bench, model)
        assert (found["outcome"], found["cost_nano"], found["on_disconnect"]) == (
            "client_left",
            0,
            "abort_and_estimate",
        )
    assert bench.upstream.counters(model).requests == 0


@pytest.mark.fault("L10", "the policy is abort_and_estimate or void, and the client leaves in mid-stream")
@each_way
@pytest.mark.parametrize("policy", ["abort_and_estimate", "void"])
def test_in_mid_stream_what_was_delivered_is_charged(bench: Bench, policy: str, way: tuple[str, ...]) -> None:
    """The upstream's connection is closed within 2 s. What was delivered is charged by estimate, also with void."""
    model = f"{policy}-middle-{len(way)}"
    bench.upstream.program(model, does(half(model), Gate()))
    with asking(bench, model, *way, seen=pieces(model)[4]):
        pass
    wait_until_released(bench, model)
    found = row(bench, model)
    assert (found["outcome"], found["on_disconnect"], found["measured"]) == ("client_left", policy, False)
    assert 0 < bench.charged(model) < FULL_NANO


@pytest.mark.fault("L10", "the policy is drain, and the client leaves before the first byte")
@each_way
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_drained_call_is_charged_as_its_upstream_counted(bench: Bench, stream: bool, way: tuple[str, ...]) -> None:
    """The upstream is read to its end; what it counted is charged, the row says that the client left."""
    model, gate = f"drain-early-{stream}-{len(way)}", Gate()
    bench.upstream.program(model, does(gate, answer_of(model, stream=stream)))
    with asking(bench, model, *way, stream=stream):
        pass
    wait_until_drained(bench, model)
    assert bench.upstream.counters(model).open == 1
    bench.upstream.open(gate)
    assert row(bench, model) == {**DRAINED, "cost_nano": FULL_NANO}
    wait_until_released(bench, model)
    assert bench.upstream.counters(model).aborts == 0


@pytest.mark.fault("L10", "the policy is drain, and the client leaves in mid-stream")
@each_way
def test_a_stream_is_drained_from_where_its_client_left(bench: Bench, way: tuple[str, ...]) -> None:
    """The upstream is read to its end; what it counted is charged, the row says that the client left."""
    model, gate = f"drain-middle-{len(way)}", Gate()
    bench.upstream.program(model, does(half(model), gate, rest(model)))
    with asking(bench, model, *way, seen=pieces(model)[4]):
        pass
    wait_until_drained(bench, model)
    bench.upstream.open(gate)
    assert row(bench, model) == {**DRAINED, "cost_nano": FULL_NANO}
    wait_until_released(bench, model)
    assert bench.upstream.counters(model).aborts == 0


@pytest.mark.fault("L10", "the policy is drain, and the client leaves while it is not reading")
def test_a_client_that_stopped_reading_is_drained_too(bench: Bench) -> None:
    """What was held back by the client is read once it is gone."""
    model = "drain-unread"
    flood = [chunk(model, content="word " * 5000) for _ in range(400)]
    last = answers.chunks(chunk(model, finish="stop"), usage_chunk(model, 1000, 500), DONE) + answers.LAST_CHUNK
    bench.upstream.program(model, does(answers.streamed(*flood, end=False), last))
    counters = bench.upstream.counters(model)
    with connected(bench.hub.url, receive_buffer=64 << 10) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=True), bench.key))
        assert read_until(raw, b"word")
        assert counters.open == 1
    wait_until_drained(bench, model)
    assert row(bench, model) == {**DRAINED, "cost_nano": FULL_NANO}
    assert counters.aborts == 0


@each_way
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_client_that_stays_sees_nothing_of_the_policy(bench: Bench, stream: bool, way: tuple[str, ...]) -> None:
    for policy in ("drain", "abort_and_estimate", "void"):
        model = f"{policy}-stays-{stream}-{len(way)}"
        bench.upstream.program(model, does(answer_of(model, stream=stream)))
        headers = {**bench.auth, **dict(line.split(": ") for line in way)}
        answer = ask(bench.hub.url, "POST", CHAT, chat_body(model, stream=stream), headers)
        assert (answer.status, answer.whole, answer.done) == (200, True, stream)
        assert row(bench, model) == {
            "outcome": "completed",
            "on_disconnect": None,
            "measured": True,
            "cost_nano": FULL_NANO,
        }


def test_errors_reach_a_client_whose_call_could_be_drained(bench: Bench) -> None:
    bench.upstream.program("drain-refused", answers.whole(b"{}", status="400 Bad Request"))
    assert bench.fails_free("drain-refused", 400).headers["x-request-id"]
    assert row(bench, "drain-refused")["on_disconnect"] is None


@pytest.mark.fault("L10", "the upstream fails while it is drained")
def test_an_upstream_that_fails_while_it_is_drained(bench: Bench) -> None:
    """What came until then is charged, and nobody else is asked; the row has both: the failure, and that it was drained."""
    model, gate = "drain-fails", Gate()
    bench.upstream.program(model, does(half(model), gate, Close()))
    with asking(bench, model, seen=pieces(model)[4]):
        pass
    wait_until_drained(bench, model)
    bench.upstream.open(gate)
    found = row(bench, model)
    assert (found["outcome"], found["on_disconnect"], found["measured"]) == ("upstream_error", "drain", False)
    assert 0 < bench.charged(model) < FULL_NANO
    assert bench.upstream.counters(model).requests == 1


@pytest.mark.fault("L10", "the upstream refuses the request while it is drained, and the model has another one")
@pytest.mark.parametrize("left", [False, True], ids=["there", "left"])
def test_nobody_else_is_asked_for_a_client_that_has_left(bench: Bench, left: bool) -> None:
    """Charge 0, and the other upstream is not asked; for a client that is there it is."""
    model, gate = f"drain-pair-{left}", Gate()
    refused = answers.whole(b"{}", status="503 Service Unavailable")
    bench.upstream.program(model, does(gate, refused, executed=False), does(answer_of(model, stream=False)))
    with asking(bench, model, stream=False) if left else answered(bench, model, gate):
        pass
    if left:
        wait_until_drained(bench, model)
        bench.upstream.open(gate)
    found = row(bench, model)
    assert (found["outcome"], found["on_disconnect"]) == (("upstream_error", "drain") if left else ("completed", None))
    assert (found["cost_nano"] == 0) is left
    assert bench.upstream.counters(model).requests == (1 if left else 2)


@contextmanager
def answered(bench: Bench, model: str, gate: Gate) -> Iterator[None]:
    """A client that stays until it has its answer."""
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model), bench.key, *BY_THE_FRAMEWORK))
        assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 1, 5)
        bench.upstream.open(gate)
        assert b" 200 " in read_until(raw, b"\r\n\r\n")
        yield


@pytest.mark.fault("L10", "more clients leave than calls may be drained")
def test_beyond_the_cap_calls_are_aborted(bench: Bench) -> None:
    """So many are drained; any further one is aborted and estimated, and its row says so."""
    model, gate = "drain-many", Gate()
    bench.upstream.program(model, does(half(model), gate, rest(model)))
    for number in range(1, CAP + 1):
        with asking(bench, model, seen=pieces(model)[4], more=number):
            pass
        wait_until_drained(bench, model, number)
    with asking(bench, model, seen=pieces(model)[4], more=CAP + 1):
        pass
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == CAP, RELEASED_S)
    assert row(bench, model)["on_disconnect"] == "abort_and_estimate"
    assert 0 < bench.charged(model) < FULL_NANO
    bench.upstream.open(gate)
    bench.hub.wait_until(lambda: len(lines(bench, "call.finished", model)) == CAP + 1, within_s=NOTICED_S)
    assert [line["on_disconnect"] for line in lines(bench, "call.finished", model)] == [
        "abort_and_estimate",
        *CAP * ["drain"],
    ]


@pytest.mark.fault("L10", "the client leaves before the first byte of speech")
@pytest.mark.parametrize("policy", ["drain", "void"])
def test_speech_is_not_drained(bench: Bench, policy: str) -> None:
    """The upstream's connection is closed within 2 s. The text is charged; with void nothing."""
    model = f"{policy}-voice"
    bench.upstream.program(model, pace.silence())
    body = json.dumps({"model": model, "input": "Good morning!", "voice": "alloy"}).encode()
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes("/v1/audio/speech", body, bench.key, "content-type: application/json"))
        assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 1, 5)
    wait_until_released(bench, model)
    found = row(bench, model)
    applied = "abort_and_estimate" if policy == "drain" else policy
    assert (found["outcome"], found["on_disconnect"]) == ("client_left", applied)
    assert (found["cost_nano"] == 0) is (policy == "void")


@pytest.mark.parametrize("key_says", ["drain", "void", "abort_and_estimate"])
def test_the_key_has_the_first_word(bench: Bench, key_says: str) -> None:
    """Whatever the model says, and the config."""
    key = new_key(bench.hub, f"says-{key_says}", "--on-disconnect", key_says)
    for kind in ("void", "drain", "plain"):
        model, gate = f"{kind}-of-{key_says}", Gate()
        bench.upstream.program(model, does(gate, answer_of(model, stream=True)))
        with asking(bench, model, key=key):
            pass
        if key_says == "drain":
            wait_until_drained(bench, model)
            bench.upstream.open(gate)
        wait_until_released(bench, model)
        found = row(bench, model)
        assert (found["outcome"], found["on_disconnect"]) == ("client_left", key_says)


def test_a_key_without_a_policy_has_the_models(bench: Bench) -> None:
    new_key(bench.hub, "changing", "--on-disconnect", "void")
    said = [
        command(bench.hub.home, "keys", "update", "changing", *option)["limits"]["on_disconnect"]
        for option in ((), ("--on-disconnect", "drain"), ("--on-disconnect", "none"))
    ]
    assert said == ["void", "drain", None]


@pytest.fixture(scope="module")
def strict(upstream: FaultUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Its config says drain for all, for a second at most, and comments come soon."""
    quota = {"on_disconnect": "drain", "drain_s": BOUND_S}
    server = {"head_wait_s": 0.1, "keep_alive_s": 0.1}
    text = config({"up": provider(upstream.url, timeouts=PATIENT, models=models("void"))}, server, quota=quota)
    with benched(tmp_path_factory.mktemp("strict"), text, upstream) as bench:
        yield bench


@pytest.mark.fault("L10", "the upstream does not come to its end while it is drained")
@pytest.mark.parametrize("seen", [False, True], ids=["early", "middle"])
def test_a_drain_has_its_limit(strict: Bench, seen: bool) -> None:
    """After ``quota.drain_s`` the upstream's connection is closed; what came is charged by estimate."""
    model = f"bound-{seen}"
    strict.upstream.program(model, does(*([half(model)] if seen else []), Gate()))
    with asking(strict, model, seen=pieces(model)[4] if seen else b""):
        left = time.monotonic()
    wait_until_drained(strict, model)
    assert strict.upstream.wait_for(lambda: strict.upstream.counters(model).open == 0, BOUND_S + RELEASED_S)
    assert time.monotonic() - left >= BOUND_S - 0.05
    found = row(strict, model)
    assert (found["outcome"], found["on_disconnect"], found["measured"]) == ("client_left", "drain", False)
    assert 0 < strict.charged(model) < FULL_NANO


@pytest.mark.fault("L10", "the policy is void, and the client has got nothing but comments")
@each_way
def test_a_comment_is_not_delivered_content(strict: Bench, way: tuple[str, ...]) -> None:
    """Charge 0, as the model has it, whatever the config says for all."""
    model = f"void-here-{len(way)}"
    strict.upstream.program(model, pace.silence())
    with asking(strict, model, *way, seen=b"\n:"):
        pass
    wait_until_released(strict, model)
    found = row(strict, model)
    assert (found["outcome"], found["on_disconnect"], found["cost_nano"]) == ("client_left", "void", 0)


@pytest.mark.fault("L10", "the key is revoked while its client is there, or while its call is drained")
@pytest.mark.parametrize("left", [False, True], ids=["there", "left"])
def test_revoking_a_key_ends_its_drained_calls(upstream: FaultUpstream, tmp_path: Path, left: bool) -> None:
    """With ``revoked_streams: cut`` the call ends at once. A client that is there is told why."""
    model = f"revoked-{left}"
    quota = {"on_disconnect": "drain", "revoked_streams": "cut"}
    text = config({"up": provider(upstream.url, timeouts=PATIENT, models=models())}, quota=quota)
    with benched(tmp_path, text, upstream) as bench, connected(bench.hub.url) as raw:
        key = new_key(bench.hub, "revoked")
        upstream.program(model, does(half(model), Gate()))
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=True), key))
        assert read_until(raw, pieces(model)[4])
        if left:
            raw.close()
            wait_until_drained(bench, model)
        command(tmp_path, "keys", "revoke", "revoked")
        wait_until_released(bench, model)
        if not left:
            assert b"revoked" in read_until(raw, b"0\r\n\r\n")
        found = row(bench, model)
        assert (found["outcome"], found["on_disconnect"]) == (("client_left", "drain") if left else ("hub_error", None))
        assert 0 < bench.charged(model) < FULL_NANO


@pytest.mark.fault("L10", "the server ends while a call is drained")
@pytest.mark.parametrize("finishes", [True, False], ids=["in_time", "too_late"])
def test_a_shutdown_waits_for_drained_calls(upstream: FaultUpstream, tmp_path: Path, finishes: bool) -> None:
    """It counts as open: the server waits for it up to ``server.drain_s``, then it is cut off, estimated, and recorded."""
    model, gate = f"ending-{finishes}", Gate()
    text = config(
        {"up": provider(upstream.url, timeouts=PATIENT, models=models())},
        {"drain_s": 30 if finishes else 0.5},
        quota={"on_disconnect": "drain"},
    )
    upstream.program(model, does(half(model), gate, rest(model)))
    with running(tmp_path, text) as hub:  # without a watch on its health, which ends here
        bench = Bench(hub, new_key(hub, "faults"), upstream)
        with asking(bench, model, seen=pieces(model)[4]):
            pass
        wait_until_drained(bench, model)
        hub.terminate()
        if finishes:
            hub.wait_until(lambda: not takes_calls(bench), within_s=5)
            upstream.open(gate)
        assert hub.wait() == 0
        found = row(bench, model)
        assert (found["outcome"], found["on_disconnect"], found["measured"]) == ("client_left", "drain", finishes)
        assert (found["cost_nano"] == FULL_NANO) is finishes
        assert bench.charged(model) > 0


def takes_calls(bench: Bench) -> bool:
    try:
        with connected(bench.hub.url, timeout_s=1):
            return True
    except OSError:
        return False
