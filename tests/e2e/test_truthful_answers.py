"""What an upstream does badly never becomes something good on the client's side, and what it does well passes untouched."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.e2e.test_bad_input import Answer, ask
from tests.support.openai_wire import DONE, chunk, completion, error, usage_chunk
from tests.support.raw_upstream import answer_then_close, answer_then_hang, chunked, hang, http
from tests.support.server import Server, running
from tests.support.threaded_upstream import ThreadedUpstream, threaded_upstream

CONFIG = """
server: {{head_wait_s: 0.5, keep_alive_s: 0.3}}
store: {{path: hub.db}}
logging: {{format: json}}
providers:
  first:
    type: openai
    base_url: {first}
    api_key: sk-upstream-secret
    headers: {{x-team: red}}
    body_defaults: {{safe_mode: true}}
    timeouts: {{connect_s: 1, first_byte_s: 1, idle_s: 1, total_s: 10}}
    models:
      "*": {{price: {{input: "1", output: "2"}}}}
      public-name: {{upstream: upstream-name, price: {{input: "1", output: "2"}}}}
      two-routes: {{upstream: refuses, price: {{call: "0.001"}}}}
      two-routes-ambiguous: {{upstream: hangs, price: {{call: "0.001"}}}}
  second:
    type: openai
    base_url: {second}
    models:
      two-routes: {{upstream: answers, price: {{call: "0.001"}}}}
      two-routes-ambiguous: {{upstream: answers, price: {{call: "0.001"}}}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ThreadedUpstream]:
    with threaded_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def second() -> Iterator[ThreadedUpstream]:
    with threaded_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def hub(
    upstream: ThreadedUpstream, second: ThreadedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    config = CONFIG.format(first=upstream.url, second=second.url)
    with running(tmp_path_factory.mktemp("truth"), config) as server:
        yield server


@pytest.fixture(scope="module")
def key(hub: Server) -> str:
    return hub.new_key("truth")


def chat(hub: Server, key: str, model: str, **fields: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return ask(hub, "POST", "/v1/chat/completions", json.dumps(body).encode(), headers)


# --- what passes ------------------------------------------------------------------------------------------------------


def test_equal_names_pass_the_answer_byte_for_byte(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    upstream.answers["plain"] = http(completion("plain-2026-01-01"))
    answer = chat(hub, key, "plain")
    assert (answer.status, answer.body) == (200, completion("plain-2026-01-01"))


def test_different_names_change_nothing_but_the_name(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    upstream.answers["upstream-name"] = http(completion("upstream-name"))
    answer = chat(hub, key, "public-name")
    assert answer.body == completion("upstream-name").replace(b"upstream-name", b"public-name")


def test_the_request_arrives_with_defaults_headers_and_the_upstreams_key(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    upstream.answers["seen"] = http(completion("seen"))
    chat(hub, key, "seen", unknown_field={"kept": [1, 2.50]}, safe_mode=False)
    chat(hub, key, "seen")
    chosen, default = upstream.of("seen")[-2:]
    assert (chosen["unknown_field"], chosen["safe_mode"], default["safe_mode"]) == ({"kept": [1, 2.5]}, False, True)
    head = upstream.heads[-1].lower()
    assert b"authorization: bearer sk-upstream-secret" in head
    assert b"x-team: red" in head
    assert key.encode().lower() not in head


def test_frames_pass_byte_for_byte_and_usage_is_asked_for_and_hidden(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    frames = chunk("s", content="Hé") + chunk("s", content="llo") + chunk("s", finish="stop")
    upstream.answers["s"] = chunked(frames, usage_chunk("s", 7, 3), DONE)
    answer = chat(hub, key, "s", stream=True)
    assert answer.body == frames + DONE
    assert upstream.of("s")[-1]["stream_options"] == {"include_usage": True}
    row = hub.last_usage("s")
    assert (row["input_tokens"], row["output_tokens"], row["measured"]) == (7, 3, 1)
    assert row["cost_nano"] == 7 * 1000 + 3 * 2000


def test_stream_headers_forbid_buffering(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    upstream.answers["h"] = chunked(chunk("h", content="x", finish="stop"), DONE)
    headers = chat(hub, key, "h", stream=True).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert headers["x-request-id"].startswith("req_")


def test_a_finish_without_done_is_a_real_end_when_the_body_ends_cleanly(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    frames = chunk("f", content="x") + chunk("f", finish="stop")
    upstream.answers["f"] = chunked(frames)
    assert chat(hub, key, "f", stream=True).body == frames + DONE
    row = hub.last_usage("f")
    assert (row["outcome"], row["measured"]) == ("completed", 0)


@pytest.mark.parametrize("claimed", [None, {"prompt_tokens": -5, "completion_tokens": 10**12}], ids=["none", "absurd"])
def test_a_whole_answer_without_believable_usage_is_charged_by_what_it_says(
    hub: Server, key: str, upstream: ThreadedUpstream, claimed: object
) -> None:
    model = f"untold-{claimed is None}"
    value = {**json.loads(completion(model, "x" * 300)), "usage": claimed}
    upstream.answers[model] = http(json.dumps(value).encode())
    assert chat(hub, key, model).status == 200
    row = hub.last_usage(model)
    assert (row["measured"], row["output_tokens"], row["outcome"]) == (0, 100, "completed")
    assert 0 < int(str(row["input_tokens"])) < 50


# --- what does not ----------------------------------------------------------------------------------------------------

TRUNCATED = {
    "clean end without a finish": chunked(chunk("m", content="x")),
    "cut in the middle of a frame": chunked(chunk("m", content="x"), b'data: {"choi'),
    "connection lost": chunked(chunk("m", content="x"), end=False),
    "bad chunk size": None,
    "silence": None,
    "error event": chunked(chunk("m", content="x"), b'data: {"error":{"message":"no luck","type":"server_error"}}\n\n'),
    "endless line": chunked(chunk("m", content="x"), b"data: " + b"x" * (2 << 20)),
}


async def bad_chunk_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """In a read of its own: together with the head, the parser would refuse the whole answer."""
    writer.write(chunked(chunk("m", content="x"), end=False))
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.write(b"zz\r\n")
    await hang(reader, writer)


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_stream_that_does_not_end_well_ends_with_an_error_event(
    hub: Server, key: str, upstream: ThreadedUpstream, name: str
) -> None:
    model = name.replace(" ", "-")
    answer = TRUNCATED[name]
    if answer is not None:
        upstream.answers[model] = answer_then_close(answer)
    elif name == "silence":
        upstream.answers[model] = answer_then_hang(chunked(chunk("m", content="x"), end=False))
    else:
        upstream.answers[model] = bad_chunk_later
    body = chat(hub, key, model, stream=True).body
    assert body.startswith(chunk("m", content="x"))
    frames = [frame for frame in body.split(b"\n\n") if frame]
    assert b"[DONE]" not in body
    assert json.loads(frames[-1].removeprefix(b"data: "))["error"]["code"]
    row = hub.last_usage(model)
    assert (row["outcome"], row["measured"]) == ("upstream_error", 0)
    assert int(str(row["cost_nano"])) > 0, "what was delivered is charged"


@pytest.mark.parametrize(("counted", "measured", "output"), [(1, 0, 134), (90, 1, 90)])
def test_an_early_count_is_no_measure_of_what_was_written_after_it(
    hub: Server, key: str, upstream: ThreadedUpstream, counted: int, measured: int, output: int
) -> None:
    """Some upstreams count from the first event on; what a broken stream said last may be its first count."""
    model = f"counts-{counted}"
    frames = usage_chunk("m", 30, counted) + chunk("m", content="abcd" * 100)
    upstream.answers[model] = answer_then_close(chunked(frames, end=False))
    chat(hub, key, model, stream=True)
    row = hub.last_usage(model)
    assert (row["measured"], row["input_tokens"], row["output_tokens"]) == (measured, 30, output)


BEFORE_THE_FIRST_EVENT = {
    "connection lost": (answer_then_close(b""), 502),
    "no head": (hang, 504),
    "an error event first": (chunked(b'data: {"error":{"message":"busy","type":"rate_limit_error"}}\n\n'), 429),
    "a body without events": (chunked(b": only a comment\n\n"), 502),
    "json instead of a stream": (http(completion("m")), 502),
    "garbage": (b"nonsense\r\n\r\n", 502),
    "html": (http(b"<html>", headers="content-type: text/html"), 502),
}


@pytest.mark.parametrize("name", BEFORE_THE_FIRST_EVENT)
def test_a_failure_before_the_first_event_is_a_status_and_free(
    hub: Server, key: str, upstream: ThreadedUpstream, name: str
) -> None:
    upstream.answers[f"early-{name}"], status = BEFORE_THE_FIRST_EVENT[name]
    answer = chat(hub, key, f"early-{name}", stream=True)
    # Once the head wait is over the head is out with a comment; the failure is an error event then.
    if status == 504:
        assert answer.status == 200
        assert answer.body.startswith(b": keep-alive\n\n")
        assert b'"code":"upstream_timeout"' in answer.body
    else:
        assert answer.status == status
    assert b"[DONE]" not in answer.body
    row = hub.last_usage(f"early-{name}")
    assert (row["outcome"], row["cost_nano"]) == ("upstream_error", 0)


WHOLE = {
    "short body": (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{", 502),
    "not json": (http(b"{oops"), 502),
    "empty": (http(b""), 502),
    "an error in a 200": (http(error("no", type_="server_error")), 502),
    "a stream instead of json": (chunked(DONE), 502),
    "internal error": (http(error("it broke at 10.1.2.3", type_="server_error"), status="500 Oops"), 502),
    "bad gateway html": (http(b"<html>bad</html>", status="502 Bad", headers="content-type: text/html"), 502),
    "overloaded": (http(error("busy", type_="server_error"), status="503 Busy"), 503),
    "wrong upstream key": (http(error("Incorrect key sk-upstream-secret", type_="x"), status="401 No"), 502),
    "forbidden upstream": (http(error("no", type_="x"), status="403 No"), 502),
    "upstream account is empty": (
        http(error("You exceeded your quota", type_="insufficient_quota", code="insufficient_quota"), status="429 No"),
        502,
    ),
    "redirect": (http(b"", status="302 Found", headers="location: http://127.0.0.1:1/"), 502),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_that_is_broken_is_an_error_and_free(
    hub: Server, key: str, upstream: ThreadedUpstream, name: str
) -> None:
    reply, status = WHOLE[name]
    upstream.answers[f"whole-{name}"] = answer_then_close(reply) if name == "short body" else reply
    answer = chat(hub, key, f"whole-{name}")
    assert answer.status == status
    assert answer.error["code"]
    assert b"sk-upstream-secret" not in answer.body
    assert hub.last_usage(f"whole-{name}")["cost_nano"] == 0


def test_a_refusal_of_the_content_keeps_the_upstreams_words(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    refusal = error("Too long", type_="invalid_request_error", code="context_length_exceeded", param="messages")
    upstream.answers["too-long"] = http(refusal, status="400 Bad Request")
    answer = chat(hub, key, "too-long")
    assert answer.status == 400
    assert {name: answer.error[name] for name in ("message", "type", "code", "param")} == {
        "message": "Too long",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
        "param": "messages",
    }
    assert hub.last_usage("too-long")["outcome"] == "rejected"


def test_upstream_headers_do_not_leak(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    headers = "content-type: application/json\r\nset-cookie: a=b\r\nserver: secret/1\r\nx-ratelimit-limit-requests: 5"
    upstream.answers["leaky"] = http(completion("leaky"), headers=headers)
    answer = chat(hub, key, "leaky")
    assert not {"set-cookie", "x-ratelimit-limit-requests"} & set(answer.headers)
    assert "secret" not in answer.headers.get("server", "")


# --- other routes -----------------------------------------------------------------------------------------------------


def test_a_definite_refusal_goes_to_the_next_route(
    hub: Server, key: str, upstream: ThreadedUpstream, second: ThreadedUpstream
) -> None:
    upstream.answers["refuses"] = http(error("busy", type_="server_error"), status="503 Busy")
    second.answers["answers"] = http(completion("answers"))
    answer = chat(hub, key, "two-routes")
    assert (answer.status, json.loads(answer.body)["model"]) == (200, "two-routes")
    row = hub.last_usage("two-routes")
    assert (row["provider"], row["attempts"], row["cost_nano"]) == ("second", 2, 1_000_000)


def test_what_may_have_been_executed_is_not_sent_again(
    hub: Server, key: str, upstream: ThreadedUpstream, second: ThreadedUpstream
) -> None:
    upstream.answers["hangs"] = hang
    second.answers["answers"] = http(completion("answers"))
    before = len(second.requests)
    assert chat(hub, key, "two-routes-ambiguous").status == 504
    assert len(second.requests) == before


# --- clients that leave, clients that wait ------------------------------------------------------------------------------


def raw_chat(hub: Server, key: str, model: str) -> socket.socket:
    address = urlsplit(hub.url)
    assert address.hostname is not None
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
    raw = socket.create_connection((address.hostname, address.port or 80), timeout=10)
    raw.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return raw


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(chunked(end=False))
    frame = chunk("endless", content="word ")
    while not writer.is_closing():
        writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        await writer.drain()
        await asyncio.sleep(0.01)


def test_a_client_that_leaves_closes_the_upstream_and_pays_for_what_it_got(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    upstream.answers["endless"] = endless
    with raw_chat(hub, key, "endless") as raw:
        while b"word" not in raw.recv(65536):
            pass
    left = time.monotonic()
    assert upstream.wait_for(lambda: upstream.open["endless"] == 0, 5)
    assert time.monotonic() - left <= 2
    row = hub.last_usage("endless")
    assert (row["outcome"], row["measured"]) == ("client_left", 0)
    assert int(str(row["cost_nano"])) > 0


def test_a_client_that_leaves_while_nothing_has_come_closes_the_upstream_too(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    upstream.answers["never"] = hang
    with raw_chat(hub, key, "never"):
        assert upstream.wait_for(lambda: upstream.open.get("never") == 1, 5)
    assert upstream.wait_for(lambda: upstream.open["never"] == 0, 2)


async def slow_start(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(chunked(b": thinking\n\n", end=False))
    await asyncio.sleep(0.9)
    writer.write(chunked(chunk("slow", content="x", finish="stop"), DONE).partition(b"\r\n\r\n")[2])
    await writer.drain()


def test_a_slow_first_event_is_bridged_by_comments(hub: Server, key: str, upstream: ThreadedUpstream) -> None:
    upstream.answers["slow"] = slow_start
    answer = chat(hub, key, "slow", stream=True)
    assert answer.status == 200
    comments, _, rest = answer.body.rpartition(b": keep-alive\n\n")
    assert comments.count(b": keep-alive") >= 1
    assert rest.endswith(chunk("slow", content="x", finish="stop") + DONE)


async def pausing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, locked: threading.Event) -> None:
    writer.write(chunked(chunk("held", content="x"), end=False))
    await writer.drain()
    await asyncio.to_thread(locked.wait, 20)
    writer.write(chunked(chunk("held", finish="stop"), DONE).partition(b"\r\n\r\n")[2])
    await writer.drain()


def test_the_terminal_event_waits_until_the_settlement_is_durable(
    hub: Server, key: str, upstream: ThreadedUpstream
) -> None:
    locked = threading.Event()
    upstream.answers["held"] = partial(pausing, locked=locked)
    seen = b""
    with (
        raw_chat(hub, key, "held") as raw,
        closing(sqlite3.connect(hub.home / "hub.db", isolation_level=None)) as other,
    ):
        while b'"x"' not in seen:
            seen += raw.recv(65536)
        other.execute("BEGIN IMMEDIATE")
        locked.set()
        while b'"stop"' not in seen:
            seen += raw.recv(65536)
        locked_until = time.monotonic() + 1.5
        while time.monotonic() < locked_until:
            seen += raw.recv(65536)  # a comment comes every 0.3 s
            assert b"[DONE]" not in seen, "the settlement cannot have been written yet"
        other.execute("ROLLBACK")
        while b"[DONE]" not in seen:
            seen += raw.recv(65536)
        assert hub.rows("SELECT outcome FROM usage WHERE model = 'held'") == [{"outcome": "completed"}]


def test_the_books_are_exact_after_all_that(hub: Server) -> None:
    assert hub.cli_json("ledger", "check") == {"exact": True, "violations": []}
