"""A client that sends what no client should: a 4xx, nothing sent upstream, nothing charged, and never a second meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from relayhub.testing.faults import answers
from tests.faults.asking import CHAT, ask, chat_body, connected, read_all, read_until, request_bytes
from tests.faults.bench import UPSTREAM_KEY, Bench
from tests.faults.ledger import new_key
from tests.support.openai_wire import DONE, chunk, completion

GOOD = answers.whole(completion("m"))


@dataclass(frozen=True)
class Refused:
    """What the raw tests look at."""

    status: int
    closed: bool
    text: bytes


def raw_exchange(bench: Bench, data: bytes) -> Refused:
    """Send bytes as they are, and read until the server closes, or until it has answered and waits for more."""
    with connected(bench.hub.url) as raw:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before everything was read
            raw.sendall(data)
        try:
            text, closed = read_all(raw), True
        except TimeoutError:
            text, closed = b"", False
    return Refused(int(text.split()[1]) if text else 0, closed, text)


@pytest.fixture
def free(bench: Bench) -> Iterator[Bench]:
    """Nothing reaches an upstream, and nothing is written to the books."""
    bench.upstream.program("never", GOOD)
    before = bench.hub.rows("SELECT count(*) AS rows FROM ledger"), bench.upstream.total.connections
    yield bench
    assert (bench.hub.rows("SELECT count(*) AS rows FROM ledger"), bench.upstream.total.connections) == before


HEADS = {
    "a header of 64 KiB": "x-long: " + "a" * (64 << 10),
    "1 000 headers": "\r\n".join(f"x-{number}: a" for number in range(1000)),
    "a header without a colon": "nonsense",
    "a header with a space in its name": "x y: a",
    "a header with a null byte": "x-null: a\x00b",
    "a folded header": "x-folded: a\r\n b",
}


@pytest.mark.fault("C06", "a header of 64 KiB, 1 000 headers, or one that is none")
@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_too_large_or_none_is_refused(free: Bench, name: str) -> None:
    """400 and a closed connection; nothing sent upstream, charge 0."""
    found = raw_exchange(free, request_bytes(CHAT, chat_body("never"), free.key, HEADS[name]))
    assert found.status in (400, 431)
    assert found.closed


@pytest.mark.fault("C06", "a URL of 64 KiB")
def test_a_long_url_is_refused(free: Bench) -> None:
    """400 or 414 and a closed connection."""
    found = raw_exchange(free, request_bytes(CHAT + "?x=" + "a" * (64 << 10), chat_body("never"), free.key))
    assert (found.status in (400, 414), found.closed) == (True, True)


BODIES = {
    "cut": b'{"model":"never","messages":[',
    "empty": b"",
    "array": b"[]",
    "text": b'"never"',
    "null": b"null",
    "invalid UTF-8": b'{"model":"never","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "lone surrogate": b'{"model":"never","messages":[{"role":"user","content":"\\ud800"}]}',
    "UTF-16": json.dumps({"model": "never"}).encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + chat_body("never"),
    "deep": b'{"model":"never","messages":' + b"[" * 100_000,
    "deep and closed": b'{"model":"never","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not a number": b'{"model":"never","temperature":NaN}',
    "infinite": b'{"model":"never","temperature":Infinity}',
    "huge number": b'{"model":"never","messages":[],"n":1' + b"0" * 5000 + b"}",
    "one key twice": b'{"model":"never","model":"other","messages":[]}',
    "null byte outside": chat_body("never") + b"\x00",
    "two values": chat_body("never") * 2,
}


@pytest.mark.fault("C08", "a body that is not JSON, empty, or of another shape; hostile JSON")
@pytest.mark.fault("C11", "invalid UTF-8, lone surrogates, NUL, UTF-16")
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request_is_a_400(free: Bench, name: str) -> None:
    """400; nothing sent upstream, charge 0."""
    answer = ask(free.hub.url, "POST", CHAT, BODIES[name], free.auth)
    assert answer.status == 400
    assert answer.error["code"]


FRAMINGS = {
    "size -1": b"-1\r\n",
    "size +5": b"+5\r\nhello\r\n0\r\n\r\n",
    "size 0x5": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "size beyond 64 bits": b"1" + b"0" * 17 + b"\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "letters": b"zz\r\nhello\r\n0\r\n\r\n",
    "bare line feeds": b"5\nhello\n0\n\n",
    "too long for its size": b"2\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.fault("C13", "chunk sizes of -1, +5, 0x5, 2^64 and other nonsense")
@pytest.mark.parametrize("name", FRAMINGS)
def test_a_bad_chunk_is_refused_and_the_connection_closed(free: Bench, name: str) -> None:
    """400 and a closed connection; nothing sent upstream, charge 0."""
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {free.key}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    found = raw_exchange(free, head.encode() + FRAMINGS[name])
    assert (found.status, found.closed) == (400, True)


@pytest.mark.fault("C13", "a chunk extension of 1 MiB")
def test_a_chunk_extension_is_bounded_or_ignored(free: Bench) -> None:
    """400 and a closed connection, or ignored; never kept."""
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {free.key}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    data = b"2;" + b"x" * (1 << 20) + b"\r\n{}\r\n0\r\n\r\n"
    found = raw_exchange(free, head.encode().replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + data)
    assert found.status == 400


SMUGGLED = "GET /v1/models HTTP/1.1\r\nhost: hub\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": "content-length: 4\r\ntransfer-encoding: chunked",
    "two lengths": "content-length: 4\r\ncontent-length: 40",
    "a list of lengths": "content-length: 4, 40",
    "a signed length": "content-length: +4",
    "a negative length": "content-length: -4",
    "a length in hex": "content-length: 0x4",
    "chunks twice": "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "chunks not last": "transfer-encoding: chunked, identity",
    "an unknown coding": "transfer-encoding: xchunked",
    "a tab before the colon": "transfer-encoding\t: chunked",
    "a vertical tab in the value": "transfer-encoding: \x0bchunked",
    "chunks in HTTP/1.0": None,
}


@pytest.mark.fault("T9", "a request whose end can be read in two ways, with another one hidden in it (smuggling)")
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_request_in_doubt_is_refused_and_what_follows_is_not_read(free: Bench, name: str) -> None:
    """One 400 and a closed connection; the hidden request is never answered."""
    framing, version = AMBIGUOUS[name] or "transfer-encoding: chunked", "1.1" if AMBIGUOUS[name] else "1.0"
    head = f"POST {CHAT} HTTP/{version}\r\nhost: hub\r\nauthorization: Bearer {free.key}\r\n{framing}\r\n\r\n"
    found = raw_exchange(free, head.encode() + b"0\r\n\r\n" + SMUGGLED.encode())
    assert (found.status, found.closed) == (400, True)
    assert len(re.findall(rb"(?m)^HTTP/1.[01] ", found.text)) == 1


@pytest.mark.fault("C14", "ten requests on one connection without waiting for answers (pipelining)")
def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    """Ten answers in the order of the requests, each sent once and charged once."""
    names = [f"piped-{number}" for number in range(10)]
    for name in names:
        bench.upstream.program(name, answers.whole(completion(name)))
    with connected(bench.hub.url) as raw:
        last = request_bytes(CHAT, chat_body(names[-1]), bench.key, "connection: close")
        raw.sendall(b"".join(request_bytes(CHAT, chat_body(name), bench.key) for name in names[:-1]) + last)
        text = read_all(raw).decode()
    places = [text.index(f'"{name}"') for name in names]
    assert places == sorted(places)
    assert [bench.upstream.counters(name).executions for name in names] == [1] * 10
    assert len({bench.charged(name) for name in names}) == 1


@pytest.mark.fault("C15", "Expect: 100-continue with a key that has no quota left")
def test_nobody_without_quota_is_served_after_a_body(bench: Bench) -> None:
    """402 as the final answer; nothing sent upstream."""
    bench.upstream.program("poor", GOOD)
    poor = new_key(bench.hub, "poor", "--quota", "1")
    with connected(bench.hub.url) as raw:
        body = chat_body("poor")
        request = request_bytes(CHAT, body, poor, "expect: 100-continue", "connection: close")
        raw.sendall(request)
        assert b"HTTP/1.1 402 " in read_all(raw)
    assert bench.upstream.counters("poor").requests == 0


@pytest.mark.fault("C15", "Expect: 100-continue without a key, or with a body that is too large")
@pytest.mark.parametrize(("key", "length", "status"), [("none", 10, 401), (None, 1 << 40, 413)])
def test_nobody_is_asked_for_a_body_that_will_be_refused(
    free: Bench, key: str | None, length: int, status: int
) -> None:
    """The final 4xx at once, without 100."""
    with connected(free.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, b"", key or free.key, "expect: 100-continue", length=length))
        assert read_until(raw, b"\r\n\r\n").startswith(f"HTTP/1.1 {status} ".encode())


EVIL = "a\r\nx-evil: 1\r\n\r\nGET / HTTP/1.1"


@pytest.mark.fault("C18", "line breaks in the model, the user's identifier and other values")
def test_line_breaks_never_become_headers_or_lines(bench: Bench) -> None:
    """They are data: in no header upstream, in no header of the answer, in no line of the log."""
    bench.upstream.program("breaks", answers.streamed(chunk("breaks", finish="stop"), DONE))
    assert bench.chat("breaks", stream=True, user=EVIL, safety_identifier=EVIL, metadata={"x": EVIL}).status == 200
    assert bench.chat(f"breaks{EVIL}").status in (200, 404, 502)
    for _, request in bench.upstream.requests:
        assert b"\nx-evil" not in request.head.lower()
    assert all(json.loads(line)["event"] for line in bench.hub.log().rstrip("\n").split("\n"))
    bench.upstream.unknown.clear()


@pytest.mark.fault("C22", "TRACE, CONNECT and unknown methods")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "BREW"])
def test_other_methods_are_refused(free: Bench, method: str) -> None:
    """4xx; nothing is echoed."""
    found = raw_exchange(free, request_bytes(CHAT, b"", free.key, "connection: close", method=method))
    assert 400 <= found.status < 500
    assert free.key.encode() not in found.text


PATHS = [
    "/v1/..%2fv1/chat/completions",
    "/v1/%2e%2e/v1/chat/completions",
    "/v1//chat/completions",
    "//v1/chat/completions",
    "/v1/chat/completions;x=1",
    "/v1/chat/completions/",
    "/v1/chat/completions%00",
    "/v1/chat%2fcompletions",
    "/V1/chat/completions",
    "/v1/./chat/completions/../../nothing",
]


@pytest.mark.fault("C22", "`..%2f`, `//`, `;`, `%00` and other disguises in the path")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("known", [True, False])
def test_a_disguised_path_is_no_way_around_the_key(free: Bench, path: str, known: bool) -> None:
    """404, or 401 without a key; never an answer that the plain path would not give."""
    key = free.key if known else "nobody"
    found = raw_exchange(free, request_bytes(path, chat_body("unpriced/x"), key, "connection: close"))
    assert 400 <= found.status < 500


FORBIDDEN = {
    "host": "evil.example",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "x-fault": "reset",
    "x-api-base": "http://127.0.0.1:1",
    "api-base": "http://127.0.0.1:1",
    "cookie": "a=b",
    "proxy-authorization": "Basic x",
    "te": "trailers",
    "upgrade": "h2c",
    "openai-organization": "theirs",
    "accept-encoding": "gzip, br",
    "x-stainless-lang": "python",
}


@pytest.mark.fault("S12", "`api_base` in the body, X-Forwarded-*, Host, hop-by-hop and other headers of the client")
def test_a_client_never_chooses_the_target_or_a_header(bench: Bench) -> None:
    """The call goes where the config says, with the hub's own headers and the provider's key."""
    bench.upstream.program("target", GOOD)
    body = json.loads(
        chat_body("target", api_base="http://127.0.0.1:1", base_url="http://127.0.0.1:1", api_key="theirs")
    )
    answer = ask(bench.hub.url, "POST", CHAT, json.dumps(body).encode(), {**bench.auth, **FORBIDDEN})
    assert answer.status == 200
    (request,) = bench.upstream.of("target")
    sent = dict(request.headers)
    assert sent["host"] == urlsplit(bench.upstream.url).netloc
    assert sent["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert not {name for name in FORBIDDEN if name not in ("host", "accept-encoding")} & set(sent)
    assert bench.key.encode() not in request.head + request.body


QUOTES = [
    "' OR 1=1 --",
    '"; DROP TABLE keys; --',
    "%' UNION SELECT * FROM keys --",
    "\\'; SELECT sleep(5)",
    "{{7*7}}",
    "${7*7}",
]


@pytest.mark.fault("S16", "SQL and template syntax in the key, the model, the user's identifier and the path")
@pytest.mark.parametrize("text", QUOTES)
def test_syntax_is_only_text(bench: Bench, text: str) -> None:
    """401, 404 or 200, as for any other text; no word of the database in the answer."""
    bench.upstream.program("quoted", GOOD)
    answers_seen = [
        ask(bench.hub.url, "POST", CHAT, chat_body("quoted"), {"authorization": f"Bearer {text}"}),
        ask(bench.hub.url, "GET", "/api/relay/v1/models", None, {"x-api-key": text}),
        ask(bench.hub.url, "POST", CHAT, chat_body("quoted", user=text, metadata={text: text}), bench.auth),
    ]
    assert [answer.status for answer in answers_seen] == [401, 401, 200]
    for answer in answers_seen:
        assert not {b"sqlite", b"SELECT", b"syntax error", b"49"} & set(answer.body.split(b'"'))
    assert bench.row("quoted")["outcome"] == "completed"
