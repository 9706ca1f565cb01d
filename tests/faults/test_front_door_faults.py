"""Faults on both ways in: what goes wrong is told, charged and logged alike, and no answer is ever followed by another
that nobody has asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress

import pytest

from relayhub.testing.faults import Fault, FaultUpstream, answers, does, framing, pace, refusals
from relayhub.testing.upstream import Wait
from tests.faults.asking import CHAT, chat_body, connected, read_all, read_until, request_bytes
from tests.faults.bench import PRICE, UPSTREAM_KEY, Bench, config, provider
from tests.faults.ledger import command
from tests.support.openai_wire import DONE, chunk, completion, error, usage_chunk
from tests.support.server import PATIENCE_S

LONG_WAY = "te: trailers"
"""A harmless header that the short way does not take."""
BODY_S = 3
LARGE = "word " * (3 << 20)
"""More than the kernel takes for a client that does not read."""
PIECES = [chunk("up", content=f"word {number}") for number in range(6)]
STREAM = [*PIECES, chunk("up", finish="stop"), usage_chunk("up", 7, 6), DONE]
CLOSING = (*answers.EVENTS, ("connection", "close"))
SERVER = {"body_timeout_s": BODY_S, "body_limit": 1 << 20}
GREAT_DEAL = 64 << 20
"""Bytes that no kernel takes on its own."""


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    patient = {"connect_s": 1, "first_byte_s": 10, "idle_s": 30, "total_s": 60}
    return config(
        {
            "up": provider(upstream.url, "*"),
            "patient": provider(upstream.url, "patient-*", timeouts=patient),
            "extra": provider(upstream.url, "extra-*", headers={"x-extra": "1"}, body_defaults={"top_p": 0.5}),
            "twin-a": provider(upstream.url, "twin-*"),
            "twin-b": provider(upstream.url, models={"twin-*": {"price": PRICE, "priority": 2}}),
        },
        SERVER,
        quota={"revoked_streams": "cut"},
    )


def words(text: str) -> Fault:
    return refusals.refusal("400 Bad Request", error(text, type_="invalid_request_error"))


ASKED: Mapping[str, Fault | bytes] = {
    "good": answers.whole(completion("up")),
    "streamed": answers.streamed(*STREAM),
    "unmeasured": answers.streamed(*PIECES, chunk("up", finish="stop"), DONE),
    "unicode": answers.streamed(*[chunk("up", content=text) for text in "äß漢😀"], chunk("up", finish="stop"), DONE),
    "error-in-stream": answers.streamed(*PIECES, b"data: " + error("it broke", type_="server_error") + b"\n\n"),
    "no-end": answers.streamed(*PIECES),
    "stalls": pace.stalls_after(*PIECES),
    "silent": pace.silence(),
    "trickles": pace.trickle(answers.streamed(*STREAM, headers=CLOSING), 0.01, 150),
    "cut": framing.ends_at(answers.streamed(*STREAM), 400),
    "reset": framing.reset_at(answers.streamed(*STREAM), 400),
    "reset-at-once": framing.reset_at(b"", 0),
    "not-http": framing.not_http(),
    "short": framing.short_body(completion("up")),
    "bad-chunk": framing.bad_chunk_size(*PIECES),
    "html": answers.whole(b"<html>", headers=(("content-type", "text/html"),)),
    "empty": answers.whole(b""),
    "no-choices": answers.whole(b"{}"),
    "429": refusals.busy(error("busy", type_="rate_limit_error"), "7"),
    "401": refusals.refusal("401 Unauthorized", error(f"bad key {UPSTREAM_KEY}", type_="x")),
    "400": words("that is wrong"),
    "large-error": words("x" * (1 << 20)),
    "500": refusals.refusal("500 No", b"Traceback"),
    "redirect": refusals.redirect("http://127.0.0.1:1/"),
    "closes": does(
        answers.whole(completion("up"), headers=(("content-type", "application/json"), ("connection", "close")))
    ),
    "extra-good": answers.whole(completion("up")),
    "twin-good": answers.streamed(*STREAM),
}

OWN = frozenset(
    {"id", "call_id", "request_id", "at", "duration_ms", "first_byte_ms", "timestamp", "ledger_id", "hold_id"}
)
"""Of a row or a line of the log: what is another one each time."""


def plain(data: bytes) -> str:
    text = re.sub(r"[a-z]{2,8}_[0-9A-HJKMNP-TV-Z]{26}", "<id>", data.decode())
    text = re.sub(r"-(fast|long)\b", "-way", text)
    return re.sub(r'"created":\s*\d+', '"created":0', text)


def told(bench: Bench, model: str, stream: bool, *more: str) -> tuple[str, list[str], str]:
    """Status line, headers and body as they stood on the wire, chunks put together."""
    bench.upstream.program(model, ASKED[model.rpartition("-")[0].partition("--")[0]])
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=stream), bench.key, *more))
        head, _, body = read_until(raw, b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head.decode().lower().split("\r\n")
        if "transfer-encoding: chunked" in lines:
            while not body.endswith(b"\r\n0\r\n\r\n"):
                body += raw.recv(65536) or _gone(body)
            body = _unchunked(body)
        else:
            (length,) = (int(line.split(": ")[1]) for line in lines if line.startswith("content-length"))
            while len(body) < length:
                body += raw.recv(65536) or _gone(body)
        lines = [plain(line.encode()) for line in lines if not line.startswith(("date:", "content-length:"))]
        return first.split()[1], sorted(re.sub("_[0-9a-z]{26}", "", line) for line in lines), plain(body)


def _gone(body: bytes) -> bytes:
    raise AssertionError(f"the connection was closed in the middle of an answer, after {body[-200:]!r}")


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + rest[:length], rest[length + 2 :]
    return whole


def entered(bench: Bench, model: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The usage row, and what the log says of the call."""
    row = bench.row(model)
    ids = {row["call_id"]} if "call_id" in row else {row["id"]}
    lines = [json.loads(line) for line in bench.hub.log().splitlines() if line.startswith("{")]
    of_call = [line for line in lines if ids & {line.get("call_id"), line.get("request_id")}]
    assert of_call
    return _shared(row), [_shared(line) for line in of_call]


def _shared(found: Mapping[str, object]) -> dict[str, object]:
    return {name: plain(str(value).encode()) for name, value in found.items() if name not in OWN}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_both_ways_answer_charge_and_log_alike(bench: Bench, name: str, stream: bool) -> None:
    short, long = f"{name}--{stream}-fast", f"{name}--{stream}-long"
    assert told(bench, short, stream) == told(bench, long, stream, LONG_WAY)
    assert entered(bench, short) == entered(bench, long)
    by_short, by_long = bench.upstream.of(short), bench.upstream.of(long)
    assert [plain(one.body) for one in by_short] == [plain(one.body) for one in by_long]
    assert [sorted(n for n, _ in one.headers) for one in by_short] == [
        sorted(n for n, _ in one.headers) for one in by_long
    ]


def heads(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_revoked_while_its_answer_waits_to_be_read_adds_nothing_to_it(bench: Bench, stream: bool) -> None:
    """It has been said to its end: a refusal behind it would be taken for the answer to the next request."""
    model = f"patient-{stream}"
    last = [chunk("up", content=LARGE[: 900 << 10]), chunk("up", finish="stop"), usage_chunk("up", 7, 6), DONE]
    streamed = does(
        answers.streamed(PIECES[0], end=False), Wait(0.2), answers.chunks(b"".join(last)), answers.LAST_CHUNK
    )
    bench.upstream.program(model, streamed if stream else answers.whole(completion("up", LARGE)))
    made = command(bench.hub.home, "keys", "create", f"revoked-{stream}")
    bench.hub.wait_until(lambda: bench.hub.accepts(str(made["key"])), within_s=PATIENCE_S)
    with connected(bench.hub.url, receive_buffer=64 << 10) as raw:
        raw.sendall(request_bytes(CHAT, chat_body(model, stream=stream), str(made["key"])))
        assert bench.row(model)["outcome"] == "completed"
        command(bench.hub.home, "keys", "revoke", str(made["id"]))
        bench.hub.wait_until(lambda: not bench.hub.accepts(str(made["key"])), within_s=PATIENCE_S)
        raw.sendall(request_bytes(CHAT, chat_body(model), str(made["key"]), "connection: close"))
        seen = read_all(raw)
    assert heads(seen) == [200, 401]
    assert seen.count(b"\r\n0\r\n\r\n") == int(stream)


@pytest.mark.parametrize("more", [[], [LONG_WAY]])
def test_whoever_does_not_read_refusals_is_not_read_either(bench: Bench, more: list[str]) -> None:
    """Else answers would gather in memory for as long as a client asks."""
    many = request_bytes(CHAT, b"{", bench.key, *more) * 1000
    sent = 0
    with connected(bench.hub.url, timeout_s=2, receive_buffer=64 << 10) as raw, suppress(TimeoutError):
        while sent < GREAT_DEAL:
            sent += raw.send(many[sent % len(many) :])
    assert sent < GREAT_DEAL


def test_a_smaller_limit_holds_for_the_next_request_on_a_connection(bench: Bench) -> None:
    bench.upstream.program("limited", answers.whole(completion("up")))
    asked = request_bytes(CHAT, chat_body("limited", user="x" * 5000), bench.key)
    path = bench.hub.home / "relayhub.yaml"
    before = path.read_text()
    with connected(bench.hub.url) as raw:
        raw.sendall(asked)
        assert heads(read_until(raw, b"total_tokens")) == [200]
        try:
            path.write_text(json.dumps({**json.loads(before), "server": {**SERVER, "body_limit": 4096}}))
            assert "change in force" in bench.hub.cli("reload")
            raw.sendall(asked)
            assert heads(read_until(raw, b"body_too_large")[-4096:])[-1:] == [413]
        finally:
            path.write_text(before)
            bench.hub.cli("reload")


@pytest.mark.parametrize("place", ["header", "query"])
def test_what_cannot_be_read_is_not_repeated_in_the_log(bench: Bench, place: str) -> None:
    """400, and a line that says who sent it and what was wrong with it: whoever likes can send such a thing."""
    path, credential = (CHAT, f"{bench.key}\x01") if place == "header" else (f"{CHAT}?key={bench.key}\x01", "none")
    lines = (f"POST {path} HTTP/1.1", "host: h", f"authorization: Bearer {credential}", "content-length: 2", "", "{}")
    before = len(bench.hub.log())
    with connected(bench.hub.url) as raw:
        raw.sendall("\r\n".join(lines).encode())
        assert read_all(raw).split()[1] == b"400"
    entries = [json.loads(line) for line in bench.hub.log()[before:].splitlines()]
    assert [(entry["event"], entry["level"]) for entry in entries] == [("request.unreadable", "info")]
    assert bench.key not in bench.hub.log()
