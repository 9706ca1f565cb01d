"""Calls that their clients name: one call upstream and one charge, however often and from wherever they are sent."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.raw_upstream import Script, chunked, hang
from tests.support.raw_upstream import http as answer_of
from tests.support.server import Server, running
from tests.support.threaded_upstream import ThreadedUpstream, threaded_upstream

MODELS = ("whole", "crowded", "large", "gated", "streamed", "failing", "killed", "deserted", "spoken", "moderate")
WAIT_S = 20.0


def config(url: str, ear: str = "http://127.0.0.1:9/v1") -> str:
    models = "\n".join(f'      {name}: {{price: {{call: "0.01"}}}}' for name in MODELS)
    return f"""
store: {{path: hub.db}}
logging: {{level: info, format: json}}
providers:
  up:
    type: openai
    base_url: {url}
    api_key: upstream-key
    models:
{models}
  ear:
    type: openai
    base_url: {ear}
    api_key: upstream-key
    models:
      heard: {{operations: [transcription], price: {{call: "0.01"}}}}
"""


def completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    ).encode()


STREAM = chunked(
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


def gated(gate: threading.Event, body: bytes) -> Script:
    """Answers once the gate is open."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(gate.wait, WAIT_S)
        writer.write(answer_of(body))
        await writer.drain()

    return script


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])

    @property
    def first_request(self) -> str | None:
        return self.headers.get("x-relayhub-first-request")


def open_call(server: Server, key: str, name: str, body: dict[str, object]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=WAIT_S)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": name}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    try:
        response = connection.getresponse()
        return Answer(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})
    finally:
        connection.close()


def asked(model: str, text: str = "hi", **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def call(server: Server, key: str, name: str, body: dict[str, object]) -> Answer:
    return read_answer(open_call(server, key, name, body))


def charges(server: Server, model: str) -> list[int]:
    rows = server.rows("SELECT cost_nano FROM usage WHERE model = ? ORDER BY at", model)
    return [int(str(row["cost_nano"])) for row in rows]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ThreadedUpstream]:
    with threaded_upstream() as upstream:
        yield upstream


class Ear(BaseHTTPRequestHandler):
    """Takes any form, and says that it has heard it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = b'{"text": "heard"}'
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's word
        return


@pytest.fixture(scope="module")
def ear() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/v1"
        listening.shutdown()


@pytest.fixture(scope="module")
def server(upstream: ThreadedUpstream, ear: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("named"), config(upstream.url, ear)) as server:
        yield server


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return server.new_key("named")


def test_the_second_request_gets_the_first_ones_answer_and_costs_nothing(
    server: Server, upstream: ThreadedUpstream, key: str
) -> None:
    upstream.answers["whole"] = answer_of(completion("once only"))
    first = call(server, key, "a", asked("whole"))
    again = call(server, key, "a", asked("whole"))

    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (first.first_request, again.first_request) == (None, first.headers["x-request-id"])
    assert len(upstream.of("whole")) == 1
    assert charges(server, "whole") == [10_000_000]
    # the negative control: without the name, or with another one, it is another call
    assert call(server, key, "b", asked("whole")).first_request is None
    assert charges(server, "whole") == [10_000_000] * 2


def test_a_name_stands_for_one_request_and_within_one_key(server: Server, upstream: ThreadedUpstream, key: str) -> None:
    upstream.answers["whole"] = answer_of(completion("scoped"))
    assert call(server, key, "scoped", asked("whole")).status == 200
    other = call(server, key, "scoped", asked("whole", "something else"))
    assert (other.status, other.code) == (422, "idempotency_key_reused")

    before = len(upstream.of("whole"))
    foreign = call(server, server.new_key("another"), "scoped", asked("whole"))
    assert (foreign.status, foreign.first_request) == (200, None)
    assert len(upstream.of("whole")) == before + 1


def test_answers_are_sealed_and_prompts_are_not_kept(server: Server, upstream: ThreadedUpstream, key: str) -> None:
    upstream.answers["whole"] = answer_of(completion("a-canary-in-the-answer"))
    assert call(server, key, "sealed", asked("whole", "a-canary-in-the-prompt")).status == 200
    assert server.rows("SELECT 1 FROM named_calls WHERE sealed IS NOT NULL")
    stored = b"".join(path.read_bytes() for path in server.home.glob("hub.db*") if path.is_file())
    assert b"a-canary" not in stored


def test_of_a_large_or_streamed_answer_only_the_request_id_is_kept(
    server: Server, upstream: ThreadedUpstream, key: str
) -> None:
    upstream.answers["large"] = answer_of(completion("x" * (1 << 20)))
    upstream.answers["moderate"] = answer_of(completion("x" * (1 << 19)))
    upstream.answers["streamed"] = STREAM
    for model, more in (("large", {}), ("streamed", {"stream": True})):
        first = call(server, key, f"unkept-{model}", asked(model, **more))
        again = call(server, key, f"unkept-{model}", asked(model, **more))
        for _ in range(100):  # a stream's last bytes may arrive a moment before its call is over
            if again.code != "idempotency_in_flight":
                break
            again = call(server, key, f"unkept-{model}", asked(model, **more))
        assert first.status == 200
        assert (again.status, again.code) == (409, "idempotency_answer_not_kept")
        assert first.headers["x-request-id"] in again.body.decode()
        assert again.first_request == first.headers["x-request-id"]
        assert len(charges(server, model)) == 1
    # the negative control: half as large is kept
    call(server, key, "half", asked("moderate"))
    assert call(server, key, "half", asked("moderate")).status == 200


def test_while_the_first_is_served_the_second_is_told_to_wait(
    server: Server, upstream: ThreadedUpstream, key: str
) -> None:
    gate = threading.Event()
    upstream.answers["gated"] = gated(gate, completion("late"))
    first = open_call(server, key, "busy", asked("gated"))
    assert upstream.wait_for(lambda: len(upstream.of("gated")) == 1, WAIT_S)
    second = call(server, key, "busy", asked("gated"))
    gate.set()

    assert (second.status, second.code, second.headers["retry-after"]) == (409, "idempotency_in_flight", "1")
    done = read_answer(first)
    assert done.status == 200
    assert call(server, key, "busy", asked("gated")).body == done.body
    assert (len(upstream.of("gated")), len(charges(server, "gated"))) == (1, 1)


def test_of_many_that_ask_at_once_one_is_served(server: Server, upstream: ThreadedUpstream, key: str) -> None:
    upstream.answers["crowded"] = answer_of(completion("once only"))
    bursts, at_once = 25, 10
    for burst in range(bursts):
        opened = [open_call(server, key, f"crowd-{burst}", asked("crowded")) for _ in range(at_once)]
        answers = [read_answer(connection) for connection in opened]
        assert {answer.status for answer in answers} <= {200, 409}
        assert [answer.status for answer in answers if answer.first_request is None].count(200) == 1
        assert len(upstream.of("crowded")) == burst + 1
    assert charges(server, "crowded") == [10_000_000] * bursts


def test_a_client_that_left_finds_its_answer_when_it_asks_again(
    server: Server, upstream: ThreadedUpstream, key: str
) -> None:
    gate = threading.Event()
    upstream.answers["deserted"] = gated(gate, completion("for whom it may concern"))
    left = open_call(server, key, "deserted", asked("deserted"))
    assert upstream.wait_for(lambda: len(upstream.of("deserted")) == 1, WAIT_S)
    left.close()
    gate.set()
    server.wait_until(lambda: bool(charges(server, "deserted")), within_s=WAIT_S)
    server.wait_until(lambda: call(server, key, "deserted", asked("deserted")).status != 409, within_s=WAIT_S)

    found = call(server, key, "deserted", asked("deserted"))
    assert b"for whom it may concern" in found.body
    assert (len(upstream.of("deserted")), charges(server, "deserted")) == (1, [10_000_000])


def test_a_stream_whose_client_left_is_not_charged_again(server: Server, upstream: ThreadedUpstream, key: str) -> None:
    upstream.answers["spoken"] = answer_then_hang_stream()
    left = open_call(server, key, "spoken", asked("spoken", stream=True))
    response = left.getresponse()
    assert response.readline()
    response.close()
    left.close()
    server.wait_until(lambda: bool(charges(server, "spoken")), within_s=WAIT_S)
    server.wait_until(
        lambda: call(server, key, "spoken", asked("spoken", stream=True)).code == "idempotency_answer_not_kept",
        within_s=WAIT_S,
    )
    assert charges(server, "spoken") == [10_000_000]


def answer_then_hang_stream() -> Script:
    unfinished = STREAM.partition(b"data: [DONE]")[0].rpartition(b"\r\n")[0]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(unfinished[: unfinished.rfind(b"\r\n") + 2])
        await writer.drain()
        await hang(reader, writer)

    return script


def test_what_failed_and_cost_nothing_may_be_tried_again(server: Server, upstream: ThreadedUpstream, key: str) -> None:
    refused = answer_of(b'{"error": {"message": "no", "type": "invalid_request_error"}}', status="400 Bad Request")
    upstream.answers["failing"] = refused
    assert call(server, key, "failing", asked("failing")).status == 400
    upstream.answers["failing"] = answer_of(completion("now"))
    now = call(server, key, "failing", asked("failing"))
    assert (now.status, now.first_request) == (200, None)
    assert charges(server, "failing") == [0, 10_000_000]


def test_names_must_be_names(server: Server, key: str) -> None:
    for name in (" ", "x" * 256):
        answer = call(server, key, name, asked("whole"))
        assert (answer.status, answer.code) == (400, "invalid_idempotency_key")


def test_a_form_is_the_same_whatever_its_boundary(server: Server, key: str) -> None:
    def send(boundary: str, recording: str) -> Answer:
        parts = [
            ('name="model"', "heard"),
            ('name="file"; filename="a.wav"\r\ncontent-type: audio/wav', recording),
        ]
        lines = [f"--{boundary}\r\ncontent-disposition: form-data; {head}\r\n\r\n{text}\r\n" for head, text in parts]
        body = "".join(lines) + f"--{boundary}--\r\n"
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=WAIT_S)
        headers = {"authorization": f"Bearer {key}", "content-type": f"multipart/form-data; boundary={boundary}"}
        connection.request("POST", "/v1/audio/transcriptions", body, {**headers, "idempotency-key": "form"})
        return read_answer(connection)

    first, again, other = send("one", "RIFF"), send("two", "RIFF"), send("one", "RIFX")
    assert (first.status, again.status, other.status) == (200, 200, 422)
    assert again.first_request == first.headers["x-request-id"]
    assert again.body == first.body


def test_a_call_whose_process_died_may_be_served_anew_for_it_cost_nothing(
    tmp_path: Path, upstream: ThreadedUpstream
) -> None:
    gate = threading.Event()
    upstream.answers["killed"] = gated(gate, completion("after all"))
    with running(tmp_path, config(upstream.url)) as first:
        key = first.new_key("k")
        lost = open_call(first, key, "killed", asked("killed"))
        assert upstream.wait_for(lambda: len(upstream.of("killed")) == 1, WAIT_S)
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(WAIT_S)
        lost.close()
    gate.set()
    with running(tmp_path, config(upstream.url)) as second:
        again = call(second, key, "killed", asked("killed"))
        assert (again.status, again.first_request) == (200, None)
        assert sorted(charges(second, "killed")) == [0, 10_000_000]
