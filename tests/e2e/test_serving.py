"""How the hub listens, and what it says of itself."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import openai
import pytest

from tests.e2e.test_bad_input import ask
from tests.support.raw_upstream import http as answer
from tests.support.server import Server, running
from tests.support.threaded_upstream import threaded_upstream

DEMO = """
store: {path: hub.db}
logging: {format: json}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""
HELLO = [{"role": "user", "content": "Hello!"}]
PREFLIGHT = {
    "origin": "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-api-key",
}


def with_server(settings: str) -> str:
    return f"server: {{{settings}}}\n{DEMO}"


@contextmanager
def tls_files(folder: Path) -> Iterator[tuple[Path, Path]]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out"]
    subprocess.run([*command, str(cert), *subject], check=True, capture_output=True, timeout=60)
    yield cert, key


# --- browsers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/relay/v1/chat/completions"])
def test_a_browsers_preflight_allows_what_the_sdks_send(hub: Server, path: str) -> None:
    reply = ask(hub, "OPTIONS", path, None, PREFLIGHT)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == "*"
    allowed = {name.strip() for name in reply.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type", "x-api-key", "x-stainless-lang", "idempotency-key"} <= allowed
    assert "POST" in reply.headers["access-control-allow-methods"]


def test_answers_errors_and_streams_may_be_read_by_a_browser(hub: Server, key: str) -> None:
    body = json.dumps({"model": "demo-chat", "messages": HELLO, "stream": True}).encode()
    origin = {"origin": "https://app.example"}
    for headers in ({**origin, "authorization": f"Bearer {key}"}, origin):
        reply = ask(hub, "POST", "/v1/chat/completions", body, headers)
        assert reply.headers["access-control-allow-origin"] == "*"
        assert {"x-request-id", "retry-after"} <= {
            name.strip() for name in reply.headers["access-control-expose-headers"].split(",")
        }
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("path", ["/api/health", "/api/admin/keys", "/livez"])
def test_nothing_else_may_be_read_by_a_browser(hub: Server, path: str) -> None:
    for method in ("GET", "OPTIONS"):
        assert "access-control-allow-origin" not in ask(hub, method, path, None, PREFLIGHT).headers


def test_origins_may_be_restricted(home: Path) -> None:
    with running(home, with_server('cors_origins: ["https://app.example"]')) as server:
        allowed = ask(server, "GET", "/v1/models", None, {"origin": "https://app.example"})
        other = ask(server, "GET", "/v1/models", None, {"origin": "https://evil.example"})
    assert (allowed.headers["access-control-allow-origin"], allowed.headers["vary"]) == (
        "https://app.example",
        "Origin",
    )
    assert "access-control-allow-origin" not in other.headers


# --- where it listens -------------------------------------------------------------------------------------------------


def test_a_base_path_stands_before_everything(home: Path) -> None:
    with running(home, with_server("base_path: /ai")) as server:
        assert server.url.endswith("/ai")
        root = Server(server.process, server.url.removesuffix("/ai"), home, server.env, [])
        key = server.new_key("k")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key) as client:
            assert client.chat.completions.create(model="demo-chat", messages=HELLO).choices
        assert ask(root, "GET", "/ai/api/health").status == 200
        assert ask(root, "GET", "/v1/models").status == 404
        assert (
            json.loads(ask(root, "POST", "/ai/v1/chat/completions", b"{}").body)["error"]["code"] == "missing_api_key"
        )
        assert ask(root, "OPTIONS", "/ai/v1/models", None, PREFLIGHT).status == 204


def test_https_with_its_own_certificate(home: Path) -> None:
    with (
        tls_files(home) as (cert, key),
        running(home, with_server(f"tls: {{cert_file: {cert}, key_file: {key}}}")) as server,
    ):
        assert server.url.startswith("https://")
        host, port = server.url.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_unix_socket_also_one_that_a_dead_server_left(home: Path) -> None:
    path = home / "hub.sock"
    with closing(socket.socket(socket.AF_UNIX)) as stale:
        stale.bind(str(path))
    with running(home, with_server(f"unix_socket: {path}")) as server:
        assert server.url == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_client_behind_a_trusted_proxy_is_logged_and_nobody_else_is_believed(home: Path) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
    with running(home, with_server("trusted_proxies: [127.0.0.0/8, 198.51.100.0/24]")) as server:
        ask(server, "GET", "/v1/nothing", None, forwarded)
        assert '"client": "203.0.113.9"' in server.log()
    with running(home, with_server("port: 8080")) as server:
        ask(server, "GET", "/v1/else", None, forwarded)
        assert server.log().count("203.0.113.9") == 1


def test_an_upstream_behind_a_proxy_is_reached(home: Path) -> None:
    with threaded_upstream() as proxy:
        proxy.answers["m"] = answer(
            b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"model":"m"}'
        )
        config = (
            "store: {path: hub.db}\nproviders:\n  up:\n    type: openai\n    base_url: http://nowhere.invalid/v1\n"
            f"    proxy: {proxy.url.removesuffix('/v1')}\n    models: {{m: {{free: true}}}}\n"
        )
        with (
            running(home, config) as server,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.new_key("k")) as client,
        ):
            assert client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "hi"
        assert proxy.heads[-1].startswith(b"POST http://nowhere.invalid/v1/chat/completions ")


# --- health -----------------------------------------------------------------------------------------------------------


def test_health_is_well_and_needs_no_key(hub: Server) -> None:
    assert json.loads(ask(hub, "GET", "/api/health").body) == {
        "status": "ok",
        "checks": {"db": "ok", "redis": "disabled"},
    }
    assert ask(hub, "GET", "/livez").status == ask(hub, "GET", "/readyz").status == 200


def test_a_store_that_cannot_be_written_shows_and_nothing_is_sent_without_a_hold(home: Path) -> None:
    with threaded_upstream() as upstream:
        config = (
            "store: {path: hub.db}\nproviders:\n  up:\n    type: openai\n"
            f"    base_url: {upstream.url}\n    models: {{m: {{price: {{call: '0.01'}}}}}}\n"
        )
        with running(home, config) as server:
            key = server.new_key("k")
            with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                health = ask(server, "GET", "/api/health")
                assert health.status == 503
                assert json.loads(health.body) == {"status": "error", "checks": {"db": "fail", "redis": "disabled"}}
                assert ask(server, "GET", "/livez").status == 200
                body = json.dumps({"model": "m", "messages": HELLO}).encode()
                refused = ask(server, "POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}"})
                assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
                assert refused.headers["retry-after"]
                assert upstream.requests == []
            server.wait_until(lambda: ask(server, "GET", "/api/health").status == 200, within_s=5)
            assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}


def test_prompts_and_keys_are_in_no_log_and_no_column(home: Path) -> None:
    with running(home, DEMO.replace("format: json", "format: json, level: debug")) as server:
        key = server.new_key("k")
        canary = "canary-prompt-4711"
        for body in ({"model": "demo-chat", "messages": [{"role": "user", "content": canary}]}, {"model": canary}):
            ask(server, "POST", f"/v1/chat/completions?key={key}", json.dumps(body).encode())
        ask(server, "POST", "/v1/chat/completions", b"{" + canary.encode(), {"x-api-key": key})
        assert "call.finished" in server.log()
    for file in home.rglob("*"):
        if file.is_file():
            assert canary.encode() not in file.read_bytes(), file
            assert key.encode() not in file.read_bytes(), file
