"""Bad input is never a 5xx, never reaches an upstream, never costs units; the answer is the mount's own error body."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.support.server import Server

GOOD = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}).encode()
CHAT = "/v1/chat/completions"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, object]:
        value = json.loads(self.body)["error"]
        assert isinstance(value, dict)
        return value


def ask(
    hub: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def auth(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json"}


@pytest.fixture(autouse=True)
def _costs_nothing(hub: Server) -> Iterator[None]:
    booked = "SELECT count(*) AS rows FROM ledger"
    before = hub.rows(booked)
    yield
    assert hub.rows(booked) == before


BODIES = [
    (b"", "invalid_json"),
    (b"{", "invalid_json"),
    (b"[]", "invalid_json"),
    (b'"text"', "invalid_json"),
    (b'{"model":"demo-chat","messages":NaN}', "invalid_json"),
    (b'{"model":"demo-chat","x":Infinity}', "invalid_json"),
    (b'{"model":"demo-chat","x":"\xff"}', "invalid_json"),
    (b'{"model":"demo-chat","x":"\\ud800"}', "invalid_json"),
    ('{"model":"demo-chat"}'.encode("utf-16"), "invalid_json"),
    (b'{"model":"demo-chat","model":"hidden","messages":[]}', "duplicate_key"),
    (b'{"model":"demo-chat", "messages":[], "mod\\u0065l":"hidden"}', "duplicate_key"),
    (b'{"model":"demo-chat","messages":' + b"[" * 200 + b"]" * 200 + b"}", "json_too_deep"),
    (b'{"messages":[{"role":"user","content":"hi"}]}', "missing_required_parameter"),
    (b'{"model":7,"messages":[{"role":"user","content":"hi"}]}', None),
    (b'{"model":"demo-chat","messages":"hi"}', None),
    (b'{"model":"demo-chat","messages":[]}', None),
    (b'{"model":"demo-chat","messages":[{"role":"user","content":"hi"}],"stream":"yes"}', None),
    (b'{"model":"demo-chat","messages":[{"role":"user","content":"hi"}],"n":-1}', None),
    (b'{"model":"demo-chat","messages":[{"role":"user","content":"hi"}],"max_tokens":1e400}', None),
    (b'{"model":"demo-chat","messages":[{"role":"user","content":"hi"}],"max_tokens":2.5}', None),
]


@pytest.mark.parametrize(("body", "code"), BODIES, ids=[repr(body[:50]) for body, _ in BODIES])
def test_a_malformed_body_is_a_400(hub: Server, auth: dict[str, str], body: bytes, code: str | None) -> None:
    answer = ask(hub, "POST", CHAT, body, auth)
    assert answer.status == 400
    assert answer.error["request_id"] == answer.headers["x-request-id"]
    if code is not None:
        assert answer.error["code"] == code


@pytest.mark.parametrize(
    ("headers", "path", "code"),
    [
        ({}, CHAT, "missing_api_key"),
        ({"authorization": "Bearer nonsense"}, CHAT, "invalid_api_key"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, CHAT, "invalid_api_key"),
        ({"x-api-key": "' OR 1=1 --"}, CHAT, "invalid_api_key"),
        ({"x-api-key": "sk_live_" + "A" * 38}, CHAT, "invalid_api_key"),
        ({"authorization": "Bearer a", "x-api-key": "b"}, CHAT, "conflicting_api_keys"),
        ({"x-goog-api-key": "a"}, CHAT + "?key=b", "conflicting_api_keys"),
    ],
)
def test_the_credential_is_checked_before_anything_else(
    hub: Server, headers: dict[str, str], path: str, code: str
) -> None:
    answer = ask(hub, "POST", path, b"{not json", headers)
    assert (answer.status, answer.error["code"]) == (401, code)


@pytest.mark.parametrize("place", ["authorization", "x-api-key", "x-goog-api-key", "query"])
def test_each_place_for_a_credential_works(hub: Server, key: str, place: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if place == "authorization" else {place: key}
    answer = ask(
        hub, "GET", f"/api/relay/v1/models?key={key}" if place == "query" else "/api/relay/v1/models", None, headers
    )
    assert answer.status == 200


def test_the_same_key_twice_is_not_a_conflict(hub: Server, key: str) -> None:
    assert ask(hub, "GET", f"/v1/models?key={key}", None, {"x-api-key": key}).status == 200


def test_an_announced_body_over_the_limit_is_refused_unread(hub: Server, auth: dict[str, str]) -> None:
    address = urlsplit(hub.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=20) as raw:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {auth['authorization']}\r\n"
            "content-length: 99999999999\r\n\r\n"
        )
        raw.sendall(head.encode())
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_nobody_without_a_key_is_asked_for_a_body(hub: Server) -> None:
    address = urlsplit(hub.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=20) as raw:
        raw.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n".encode())
        assert raw.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_whoever_waits_for_100_continue_gets_it_and_an_answer(hub: Server, auth: dict[str, str]) -> None:
    address = urlsplit(hub.url)
    assert address.hostname is not None
    bad = b"{}"
    with socket.create_connection((address.hostname, address.port or 80), timeout=20) as raw:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {auth['authorization']}\r\n"
            f"content-length: {len(bad)}\r\nexpect: 100-continue\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")
        raw.sendall(bad)
        assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_an_encoded_body_is_a_415(hub: Server, auth: dict[str, str]) -> None:
    answer = ask(hub, "POST", CHAT, GOOD, {**auth, "content-encoding": "gzip"})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize("prefix", ["/v1", "/api/relay/v1"])
def test_a_wrong_method_is_a_405_that_names_the_right_one(hub: Server, auth: dict[str, str], prefix: str) -> None:
    answer = ask(hub, "GET", f"{prefix}/chat/completions", None, auth)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1//chat/completions", "/api/relay/v1/nothing", "/v1/chat/completions/"]
)
def test_an_unknown_path_is_a_404_in_its_mounts_shape(hub: Server, auth: dict[str, str], path: str) -> None:
    answer = ask(hub, "GET", path, None, auth)
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")


@pytest.mark.parametrize("path", ["/%2e%2e/v1/models", "/nobody/v1/models", "/v1/v1/models"])
def test_an_unknown_platform_names_the_known_ones(hub: Server, path: str) -> None:
    answer = ask(hub, "GET", path)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (404, "unknown_platform")
    assert "demo" in error["message"]


@pytest.mark.parametrize("path", ["/", "/api/nothing", "/api/..%2fv1/models"])
def test_an_unknown_path_elsewhere_is_seed_shaped(hub: Server, path: str) -> None:
    answer = ask(hub, "GET", path)
    body = json.loads(answer.body)
    assert (answer.status, body["success"], body["code"]) == (404, False, "unknown_path")


def test_relay_errors_are_read_by_sdk_and_seed_clients_alike(hub: Server) -> None:
    answer = ask(hub, "POST", "/api/relay/v1/chat/completions", GOOD)
    body = json.loads(answer.body)
    assert answer.status == 401
    assert body["message"] == body["error"]["message"]


def test_models_without_a_key_are_public_under_v1_only(hub: Server) -> None:
    public = json.loads(ask(hub, "GET", "/v1/models").body)
    names = [model["id"] for model in public["data"]]
    assert public["success"] is True
    assert "demo-chat" in names
    assert "hidden" not in names
    assert ask(hub, "GET", "/api/relay/v1/models").status == 401
    assert ask(hub, "GET", "/v1/models", None, {"x-api-key": "wrong"}).status == 401


@pytest.mark.parametrize("value", ["demo-chat\r\nx-evil: 1", "demo-chat\x00", "../../etc", "' OR 1=1", "x" * 5000])
def test_hostile_model_names_are_only_unknown(hub: Server, auth: dict[str, str], value: str) -> None:
    body = json.dumps({"model": value, "messages": [{"role": "user", "content": "hi"}]}).encode()
    answer = ask(hub, "POST", CHAT, body, auth)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "x-evil" not in answer.headers


def test_a_chat_model_does_not_embed_and_says_so(hub: Server, auth: dict[str, str]) -> None:
    answer = ask(hub, "POST", "/v1/embeddings", b'{"model":"demo-chat","input":"x"}', auth)
    assert (answer.status, answer.error["code"]) == (404, "operation_not_supported")
