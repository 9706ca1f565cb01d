"""A plugin that fails in any way that Python knows: its failure is its provider's, and the process lives on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relayhub.testing.faults import FaultUpstream, answers
from tests.faults.bench import FIRST_BYTE_S, LATE_S, PRICE, TOTAL_S, Bench, Json, config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.support.openai_wire import DONE, chunk, completion
from tests.support.server import STOP_S, running

GOOD = answers.whole(completion("m"))
STREAM = answers.streamed(chunk("m", content="one"), chunk("m", content="two"), chunk("m", finish="stop"), DONE)
UNENDED = answers.streamed(chunk("m", content="one"), chunk("m", finish="stop"))
"""Its reader has to say whether that was all."""

PLUGIN = '''
import asyncio, json, time
from contextlib import asynccontextmanager
from pydantic import BaseModel
from relayhub.sdk import HttpRequest, MediaUsage, OpenAIChat, ProviderType, hookimpl

FAILURES = {
    "exception": RuntimeError, "exit": SystemExit, "cancelled": asyncio.CancelledError, "recursion": RecursionError,
    "memory": MemoryError, "stop": StopIteration, "generator": GeneratorExit, "interrupt": KeyboardInterrupt,
}
LEFT = []

class Settings(BaseModel):
    base_url: str

def fail(where, model):
    """``raises-exit-request``: SystemExit in the method ``request``."""
    does, _, rest = model.partition("-")
    what, _, place = rest.partition("-")
    if does in ("raises", "speaks") and place == where:
        raise FAILURES[what]("on purpose")

class Reader:
    def __init__(self, model):
        self.model, self.decoder, self.fed = model, OpenAIChat().stream_decoder(), 0
    def feed(self, data):
        events = self.decoder.feed(data)
        self.fed += len(events)
        if self.fed > 2:
            fail("feed", self.model)
        return events
    def close(self):
        fail("close", self.model)
        return self.decoder.close()

class Wire:
    model = ""
    def __init__(self, settings):
        self.url = settings.base_url
    def request(self, model, request):
        self.model = model
        fail("request", model)
        if model == "blocks":
            time.sleep(2)
        if model.startswith("leaks-"):
            self.leak(model.removeprefix("leaks-"))
        body = OpenAIChat().encode_request(request, model=model).body
        if request.stream:
            body = json.dumps({**json.loads(body), "stream": True}).encode()
        return HttpRequest("POST", self.url + "/v1/chat/completions", {"content-type": "application/json"}, body)
    def leak(self, what):
        async def left():
            await asyncio.sleep(0)
            raise FAILURES[what]("left behind")
        LEFT.append(asyncio.get_running_loop().create_task(left()))
        LEFT.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        asyncio.get_running_loop().call_soon(fail, "callback", f"raises-{what}-callback")
    def reply(self, reply):
        fail("reply", self.model)
        return OpenAIChat().decode_reply(reply.body)
    def reader(self):
        fail("reader", self.model)
        return Reader(self.model)
    def error(self, reply):
        return OpenAIChat().decode_error(reply)

class Provider:
    def __init__(self, settings):
        self.wire = Wire(settings)
    def chat(self):
        return self.wire

class SpeechReader:
    usage = None
    def __init__(self, model):
        self.model = model
    def feed(self, data):
        fail("feed", self.model)
        return data
    def close(self):
        fail("close", self.model)
        return b""

class Speech:
    """Streams where it is to fail in a stream."""
    formats = ("mp3",)
    def __init__(self, settings):
        self.url, self.model = settings.base_url, ""
    def measure(self, model, request):
        self.model = model
        fail("measure", model)
        return MediaUsage(characters=10)
    def streams(self, model, request):
        fail("streams", model)
        return "audio/mpeg" if model.endswith(("feed", "close")) else None
    def asked(self, model):
        return HttpRequest("POST", self.url + "/speech", {}, json.dumps({"model": model}).encode())
    def speak(self, model, request):
        fail("speak", model)
        return self.steps(model)
    def steps(self, model):
        yield self.asked(model)
        fail("answered", model)
    def stream_request(self, model, request):
        return self.asked(model)
    def reader(self, request, headers):
        return SpeechReader(self.model)
    def error(self, reply):
        return OpenAIChat().decode_error(reply)

class Speaking:
    def __init__(self, settings):
        self.wire = Speech(settings)
    def speech(self):
        return self.wire

class Hanging(Provider):
    """Its transport never answers, and knows no limits."""
    def transport(self):
        return self
    @asynccontextmanager
    async def send(self, request, deadlines):
        await asyncio.Event().wait()
        yield
    async def close(self):
        pass

@hookimpl
def relayhub_register_providers():
    def kind(name, build):
        return ProviderType(name=name, settings=Settings, build=lambda settings, context: build(settings), summary="fails")
    return [kind("failing", Provider), kind("speaking", Speaking), kind("hanging", Hanging)]
'''

RAISED = ["exception", "exit", "cancelled", "interrupt", "generator", "recursion", "memory", "stop"]
BEFORE_DISABLED = 5
SPEECH = ["measure", "streams", "speak", "answered", "feed", "close"]


def failing_config(upstream: FaultUpstream, folder: Path, routing: Json | None = None) -> str:
    (folder / "failing.py").write_text(PLUGIN)
    timeouts = provider(upstream.url)["timeouts"]
    rest = {"base_url": upstream.url, "timeouts": timeouts}
    named = {name: {"price": PRICE} for name in ("raises-*", "blocks", "leaks-*")}
    spoken = {
        f"speaks-{what}-{where}": {"operations": ["speech"], "price": {"characters": "15"}}
        for what in RAISED
        for where in SPEECH
    }
    return config(
        {
            "up": provider(upstream.url),
            "failing": {"type": "failing", "models": named, **rest},
            "speaking": {"type": "speaking", "models": spoken, **rest},
            "hanging": {"type": "hanging", "models": {"hangs": {"price": PRICE}}, **rest},
        },
        plugins={"dirs": [str(folder)]},
        routing=routing or {},
    )


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream, tmp_path_factory: pytest.TempPathFactory) -> str:
    upstream.program("others", GOOD)
    return failing_config(upstream, tmp_path_factory.mktemp("plugins"), routing={"circuit": {"rest_s": 1}})


@pytest.mark.fault(
    "P14", "a plugin raises SystemExit, CancelledError, KeyboardInterrupt, GeneratorExit or anything else"
)
@pytest.mark.parametrize("where", ["request", "reply"])
@pytest.mark.parametrize("what", RAISED)
def test_what_a_plugin_raises_is_its_own_failure(bench: Bench, what: str, where: str) -> None:
    """502 for that call, charge 0, the usage row blames the upstream and not the client; the process lives and serves
    others."""
    model = f"raises-{what}-{where}"
    bench.upstream.program(model, GOOD)
    bench.fails_free(model, 502)
    row = bench.row(model)
    assert (row["outcome"], row["error_code"]) == ("upstream_error", "provider_failed")
    assert bench.upstream.counters(model).executions == int(where == "reply")
    assert bench.chat("others").status == 200


@pytest.mark.fault("P14", "a plugin raises such a thing while it reads a stream")
@pytest.mark.parametrize("where", ["feed", "close"])
@pytest.mark.parametrize("what", RAISED)
def test_what_a_reader_raises_ends_its_stream_only(bench: Bench, what: str, where: str) -> None:
    """What came is delivered and charged, then an error event; the process lives and serves others."""
    model = f"raises-{what}-{where}"
    bench.upstream.program(model, STREAM if where == "feed" else UNENDED)
    answer = bench.chat(model, stream=True)
    assert answer.status in (200, 502), answer
    assert answer.error["code"] == "provider_failed"
    assert not answer.done
    assert bench.row(model)["outcome"] == "upstream_error"
    assert (bench.charged(model) > 0) is (answer.status == 200)
    assert bench.chat("others").status == 200


@pytest.mark.fault("P14", "a plugin raises such a thing in any of its methods for speech")
@pytest.mark.parametrize("where", SPEECH)
@pytest.mark.parametrize("what", ["exit", "cancelled", "interrupt", "generator", "exception"])
def test_what_a_speech_plugin_raises_is_its_own_failure(bench: Bench, what: str, where: str) -> None:
    """An error, nothing sent again, and charge 0 where nothing was spoken; the process lives and serves others."""
    model = f"speaks-{what}-{where}"
    sound = (("content-type", "audio/mpeg"),)
    bench.upstream.program(model, answers.whole(b"\xff\xfb" + b"sound" * 100, headers=sound))
    answer = bench.post("/v1/audio/speech", {"model": model, "input": "Hello", "voice": "alloy"})
    sent = bench.upstream.counters(model).executions
    if where == "measure":
        assert (answer.status, sent) == (404, 0)
    else:
        assert answer.status == 502 or not answer.whole, answer
        assert sent == int(where in ("answered", "feed", "close"))
        row = bench.row(model)
        assert (row["outcome"], row["error_code"]) == ("upstream_error", "provider_failed")
        assert where == "close" or row["cost_nano"] == 0
    assert bench.chat("others").status == 200


@pytest.mark.fault("P14", "a plugin raises five times in a row")
def test_a_plugin_that_keeps_failing_is_disabled_for_a_while(bench: Bench) -> None:
    """The next calls are 503 with Retry-After and nothing is asked of it; then one call finds out whether it works again."""
    model = "raises-exit-reply"
    bench.upstream.program(model, GOOD)
    wait_until_tried(bench, model)
    before = bench.upstream.counters(model).executions
    tried = 0
    while (answer := bench.chat(model)).status == 502:
        tried += 1
        assert tried <= BEFORE_DISABLED
    assert answer.status == 503
    assert answer.error["code"] == "provider_disabled"
    assert answer.headers["retry-after"] == "1"
    assert bench.upstream.counters(model).executions == before + tried
    assert bench.chat("others").status == 200
    wait_until_tried(bench, model)


def wait_until_tried(bench: Bench, model: str) -> None:
    """Until a call reaches the plugin, whatever the tests before have left behind."""
    bench.hub.wait_until(lambda: bench.chat(model).status == 502, within_s=5, every_s=0.1)


@pytest.mark.fault("P14", "a plugin's own transport hangs")
def test_a_transport_that_hangs_is_given_up(bench: Bench) -> None:
    """504 at the first-byte limit, charge 0."""
    answer = bench.fails_free("hangs", 504)
    assert FIRST_BYTE_S <= answer.took_s < FIRST_BYTE_S + LATE_S
    assert TOTAL_S > FIRST_BYTE_S


@pytest.mark.fault("P13", "a plugin blocks the event loop for 2 s")
def test_whoever_blocks_the_loop_is_named(upstream: FaultUpstream, tmp_path: Path) -> None:
    """One line in the log with the plugin's name and the place in its code, another one when the loop goes on; nothing is
    lost."""
    upstream.program("blocks", GOOD)
    with running(tmp_path, failing_config(upstream, tmp_path)) as hub:
        bench = Bench(hub, new_key(hub, "k"), upstream)
        assert bench.chat("blocks").status == 200
        hub.wait_until(lambda: "loop.came_round" in hub.log(), within_s=5)
        lines = [line for line in hub.log().splitlines() if "loop.blocked" in line]
        check_balances(hub)
        check_ledger(hub)
    assert len(lines) == 1, lines
    assert '"plugin": "failing"' in lines[0] or '"plugin":"failing"' in lines[0]
    assert "failing.py" in lines[0]
    assert "in request" in lines[0]


@pytest.mark.fault("P14", "a plugin leaves tasks behind that never end, or that raise SystemExit")
@pytest.mark.parametrize("what", ["exit", "interrupt", "generator", "exception"])
def test_tasks_that_a_plugin_leaves_behind_end_nothing(upstream: FaultUpstream, tmp_path: Path, what: str) -> None:
    """The calls are answered, the process lives, and at its end it does not wait for them."""
    upstream.program(f"leaks-{what}", GOOD)
    upstream.program("others", GOOD)
    with running(tmp_path, failing_config(upstream, tmp_path)) as hub:
        bench = Bench(hub, new_key(hub, "k"), upstream)
        with watched_health(hub):
            for _ in range(3):
                assert bench.chat(f"leaks-{what}").status == 200
            assert bench.chat("others").status == 200
        check_balances(hub)
        began = time.monotonic()
        hub.terminate()
        assert hub.wait() == 0
        assert time.monotonic() - began < STOP_S / 2
        check_ledger(hub)
