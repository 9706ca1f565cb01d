"""Two ways into the server, and nobody can tell by which one a request came in."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.testing.faults.doors import Authority
from tests.support.server import Server, running

CONFIG = """
server: {body_timeout_s: 1}
store: {path: hub.db}
logging: {format: json}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""
CHAT = "/v1/chat/completions"
LONG_WAY = "te: trailers"
"""A harmless header that the short way does not take."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("door"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def key(hub: Server) -> str:
    return hub.new_key("door")


def body(content: str = "Hello!", **fields: object) -> bytes:
    return json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": content}], **fields}).encode()


def request(key: str, data: bytes, *extra: str, path: str = CHAT) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: hub",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"content-length: {len(data)}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


@contextmanager
def connected(hub: Server) -> Iterator[socket.socket]:
    address = urlsplit(hub.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as raw:
        yield raw


def read_answer(raw: socket.socket, data: bytes = b"") -> tuple[int, dict[str, str], bytes, bytes]:
    """Status, headers, body, and what came behind it."""
    while b"\r\n\r\n" not in data:
        data += raw.recv(65536) or _gone()
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        while not re.search(rb"(?:^|\r\n)0\r\n\r\n", rest):
            rest += raw.recv(65536) or _gone()
        whole, _, behind = rest.partition(b"0\r\n\r\n")
        return int(lines[0].split()[1]), headers, whole, behind
    length = int(headers["content-length"])
    while len(rest) < length:
        rest += raw.recv(65536) or _gone()
    return int(lines[0].split()[1]), headers, rest[:length], rest[length:]


def _gone() -> bytes:
    raise AssertionError("the connection was closed in the middle of an answer")


def plain(text: bytes) -> str:
    """Without what is another one each time."""
    text = re.sub(rb"[a-z]{2,8}_[0-9A-HJKMNP-TV-Z]{26}", b"<id>", text)
    text = re.sub(rb'"(id|request_id)":\s*"[^"]*"', b'"id":"<id>"', text)
    return re.sub(rb'"created":\s*\d+', b'"created":0', text).decode()


def told(hub: Server, sent: bytes) -> tuple[int, dict[str, str], str]:
    with connected(hub) as raw:
        raw.sendall(sent)
        status, headers, answer, _ = read_answer(raw)
    shown = {name: plain(value.encode()) for name, value in headers.items() if name not in ("date", "content-length")}
    return status, shown, plain(answer)


ASKED = {
    "whole": (CHAT, body()),
    "stream": (CHAT, body(stream=True)),
    "stream with usage": (CHAT, body(stream=True, stream_options={"include_usage": True})),
    "not JSON": (CHAT, b"{"),
    "no model": (CHAT, json.dumps({"messages": []}).encode()),
    "unknown model": (CHAT, body(model="nobody")),
    "relay mount": ("/api/relay/v1/chat/completions", body(model="nobody")),
    "messages": ("/v1/messages", body(max_tokens=5)),
    "messages in error": ("/v1/messages", body(max_tokens=0)),
    "responses": ("/v1/responses", json.dumps({"model": "demo-chat", "input": "Hi"}).encode()),
    "embeddings": ("/v1/embeddings", json.dumps({"model": "demo-chat", "input": "Hi"}).encode()),
}


@pytest.mark.parametrize("name", ASKED)
def test_both_ways_give_the_same_answer(hub: Server, key: str, name: str) -> None:
    path, data = ASKED[name]
    assert told(hub, request(key, data, path=path)) == told(hub, request(key, data, LONG_WAY, path=path))


@pytest.mark.parametrize("credential", ["", "sk_live_nobody"])
def test_both_ways_refuse_the_same_keys(hub: Server, credential: str) -> None:
    assert told(hub, request(credential, body()))[0] == 401
    assert told(hub, request(credential, body())) == told(hub, request(credential, body(), LONG_WAY))


def test_a_request_may_come_in_any_pieces(hub: Server, key: str) -> None:
    sent = request(key, body())
    with connected(hub) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(sent), 17):
            raw.sendall(sent[:cut])
            raw.sendall(sent[cut:])
            assert read_answer(raw)[0] == 200


def test_requests_of_both_kinds_follow_each_other_on_one_connection(hub: Server, key: str) -> None:
    """From the first one on that is not plain, the framework has the connection."""
    with connected(hub) as raw:
        for sent in (
            request(key, body()),
            request(key, body(stream=True)),
            request(key, body(), LONG_WAY),
            request(key, body()),
            b"GET /v1/models HTTP/1.1\r\nhost: hub\r\n\r\n",
        ):
            raw.sendall(sent)
            assert read_answer(raw)[0] == 200


def test_requests_sent_without_waiting_are_answered_in_their_order(hub: Server, key: str) -> None:
    contents = [f"number {n}" for n in range(8)]
    with connected(hub) as raw:
        raw.sendall(
            b"".join(request(key, body(content), *([LONG_WAY] if n == 5 else [])) for n, content in enumerate(contents))
        )
        data, answers = b"", []
        for _ in contents:
            status, _, answer, data = read_answer(raw, data)
            assert status == 200
            answers.append(answer.decode())
    assert [content for content, answer in zip(contents, answers, strict=True) if content not in answer] == []


def test_a_body_that_does_not_come_is_a_408(hub: Server, key: str) -> None:
    sent = request(key, body())
    with connected(hub) as raw:
        raw.sendall(sent[:-3])
        status, headers, _, _ = read_answer(raw)
        assert (status, headers["connection"]) == (408, "close")
        assert raw.recv(1) == b""


def test_a_client_that_leaves_before_its_body_is_there_is_forgotten(hub: Server, key: str) -> None:
    for _ in range(3):
        with connected(hub) as raw:
            raw.sendall(request(key, body())[:-3])
    assert told(hub, request(key, body()))[0] == 200


def test_an_idle_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as server:
        key = server.new_key("idle")
        with connected(server) as raw:
            raw.sendall(request(key, body()))
            assert read_answer(raw)[0] == 200
            server.terminate()
            assert server.wait() == 0
            assert raw.recv(1) == b""


Connect = Callable[[], AbstractContextManager[socket.socket]]


def made_key(server: Server, connect: Connect, *options: str) -> str:
    """For servers that a plain URL does not reach."""
    made = server.cli_json("keys", "create", "door", *options)
    assert isinstance(made, dict)
    key = str(made["key"])
    server.wait_until(lambda: asked(connect, [request(key, b"{")]) != [401], within_s=5)
    return key


def asked(connect: Connect, requests: list[bytes]) -> list[int]:
    """All at once."""
    with connect() as raw:
        raw.sendall(b"".join(requests))
        data, statuses = b"", []
        for _ in requests:
            status, _, _, data = read_answer(raw, data)
            statuses.append(status)
        return statuses


def test_both_ways_over_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    authority.server()
    (cert,) = tmp_path.glob("server-*.pem")
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    tls = f"server: {{tls: {{cert_file: {cert}, key_file: {cert}}}}}"
    with running(tmp_path, CONFIG.replace("server: {body_timeout_s: 1}", tls)) as server:
        address = urlsplit(server.url)

        @contextmanager
        def connect() -> Iterator[socket.socket]:
            plain_one = socket.create_connection((address.hostname or "", address.port or 0), timeout=20)
            with context.wrap_socket(plain_one, server_hostname="127.0.0.1") as raw:
                yield raw

        key = made_key(server, connect)
        requests = [request(key, body()), request(key, body(stream=True)), request(key, b"{")]
        assert asked(connect, [*requests, request(key, body(), LONG_WAY), *requests]) == [
            200,
            200,
            400,
            200,
            200,
            200,
            400,
        ]
        assert asked(connect, requests * 3) == [200, 200, 400] * 3


def test_both_ways_over_a_unix_socket_behind_a_proxy(tmp_path: Path) -> None:
    """A key that is for one network, a client that the proxy names, and what the log says of a refused one."""
    path = tmp_path / "s"
    settings = f"server: {{unix_socket: {path}, trusted_proxies: [10.0.0.0/8], base_path: /hub-2/x}}"
    with running(tmp_path, CONFIG.replace("server: {body_timeout_s: 1}", settings)) as server:

        def connect() -> AbstractContextManager[socket.socket]:
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(20)
            raw.connect(str(path))
            return closing(raw)

        chat = f"/hub-2/x{CHAT}"
        made = server.cli_json("keys", "create", "door", "--networks", "192.0.2.0/24")
        assert isinstance(made, dict)
        key = str(made["key"])

        def statuses(sent: bytes, *forwarded: str) -> list[int]:
            return [asked(connect, [request(key, sent, *forwarded, *way, path=chat)])[0] for way in ([], [LONG_WAY])]

        near = "x-forwarded-for: 192.0.2.7, 10.1.1.1"
        server.wait_until(lambda: 401 not in statuses(b"{", near), within_s=5)
        assert statuses(body(), near) == [200, 200]
        assert statuses(body(), "x-forwarded-for: 192.0.2.7", "x-forwarded-for: 10.1.1.1") == [200, 200]
        assert statuses(body(), "x-forwarded-for: 192.0.2.7, 198.51.100.1") == [401, 401]
        assert statuses(body()) == [401, 401]
        assert statuses(body(model="nobody"), near) == [404, 404]
        lines = [json.loads(line) for line in server.log().splitlines() if "model_not_found" in line]
        assert [(line["path"], line["client"]) for line in lines] == [("/…/x/v1/chat/completions", "192.0.2.7")] * 2


def test_a_body_that_comes_while_the_server_stops_begins_no_call(tmp_path: Path) -> None:
    config = CONFIG.replace("body_timeout_s: 1", "body_timeout_s: 20, drain_s: 20")
    config = config.replace("  demo:\n", "  demo:\n    slow_first_byte_s: 3\n").replace("demo-chat", "demo-slow")
    with running(tmp_path, config) as server:
        key = server.new_key("late")
        sent = request(key, body(model="demo-slow"))
        with connected(server) as busy, connected(server) as raw:
            raw.sendall(sent[:-3])
            busy.sendall(sent)
            server.wait_until(lambda: server.rows("SELECT * FROM holds") != [], within_s=5)
            server.terminate()
            server.wait_until(lambda: "Stopping" in server.log(), within_s=5)
            raw.sendall(sent[-3:])
            status, _, answer, _ = read_answer(raw)
            assert (status, json.loads(answer)["error"]["code"]) == (503, "draining")
            assert read_answer(busy)[0] == 200
