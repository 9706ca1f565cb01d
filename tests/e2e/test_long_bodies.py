"""Long bodies at the front door: read to their place and checked in large steps, and still nobody can tell."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.testing.faults.doors import Authority
from tests.e2e.test_front_door import (
    CONFIG,
    LONG_WAY,
    asked,
    body,
    connected,
    made_key,
    plain,
    read_answer,
    request,
    told,
)
from tests.support.server import Server, running

MB = 1 << 20
DATA = "data:image/png;base64," + "iVBORw0KGgo" * (MB // 11)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("long"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def key(hub: Server) -> str:
    return hub.new_key("long")


def picture(url: str = DATA, **more: object) -> bytes:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is this?"}]
    return json.dumps({"messages": [{"role": "user", "content": parts}], "model": "demo-chat", **more}).encode()


def broken(at: int, odd: bytes) -> bytes:
    whole = picture()
    return whole[:at] + odd + whole[at + len(odd) :]


ASKED = {
    "whole": picture(),
    "stream": picture(stream=True, stream_options={"include_usage": True}),
    "several megabytes": picture(DATA * 5),
    "with escapes": picture(DATA.replace("Rw0", "\n")),
    "cut off": picture()[:-3],
    "a control character": broken(700_000, b"\x01"),
    "no UTF-8": broken(700_000, b"\xff"),
    "a quote": broken(700_000, b'"'),
    "a backslash": broken(700_000, b"\\k"),
    "a key twice": picture()[:-1] + b',"model":"x"}',
    "unknown model": picture(model="nobody"),
    "a long name": picture(model="n" * 100_000),
}


@pytest.mark.parametrize("name", ASKED)
def test_both_ways_give_the_same_answer(hub: Server, key: str, name: str) -> None:
    assert told(hub, request(key, ASKED[name])) == told(hub, request(key, ASKED[name], LONG_WAY))


def test_a_long_body_may_come_in_any_pieces(hub: Server, key: str) -> None:
    sent = request(key, picture())
    expected = told(hub, sent)
    with connected(hub) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in (1, 150, 400, 70_000, 500_000, len(sent) - 200_000, len(sent) - 1):
            raw.sendall(sent[:cut])
            raw.sendall(sent[cut:])
            status, _, answer, _ = read_answer(raw)
            assert (status, plain(answer)) == (expected[0], expected[2])


def test_short_and_long_ones_sent_without_waiting_are_answered_in_their_order(hub: Server, key: str) -> None:
    sent = [body("first"), picture(), body("third"), picture(), picture(model="nobody"), body("last")]
    with connected(hub) as raw:
        raw.sendall(b"".join(request(key, data) for data in sent))
        data, statuses = b"", []
        for _ in sent:
            status, _, answer, data = read_answer(raw, data)
            statuses.append(status)
    assert statuses == [200, 200, 200, 200, 404, 200]
    assert b"last" in answer


def test_a_long_body_that_stops_coming_is_a_408(hub: Server, key: str) -> None:
    with connected(hub) as raw:
        raw.sendall(request(key, picture())[:-3])
        status, headers, _, _ = read_answer(raw)
        assert (status, headers["connection"]) == (408, "close")
        assert raw.recv(1) == b""


def test_clients_that_leave_in_the_middle_of_it_are_forgotten(hub: Server, key: str) -> None:
    for part in (2, 3, 4):
        with connected(hub) as raw:
            raw.sendall(request(key, picture())[: MB // part])
    assert told(hub, request(key, picture()))[0] == 200


def test_long_bodies_over_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    authority.server()
    (cert,) = tmp_path.glob("server-*.pem")
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    tls = f"server: {{tls: {{cert_file: {cert}, key_file: {cert}}}}}"
    with running(tmp_path, CONFIG.replace("server: {body_timeout_s: 1}", tls)) as server:
        address = urlsplit(server.url)

        @contextmanager
        def connect() -> Iterator[socket.socket]:
            bare = socket.create_connection((address.hostname or "", address.port or 0), timeout=20)
            with context.wrap_socket(bare, server_hostname="127.0.0.1") as raw:
                yield raw

        key = made_key(server, connect)
        requests = [request(key, data) for data in (body(), picture(), broken(700_000, b"\x01"), picture(DATA * 3))]
        assert asked(connect, [*requests, request(key, picture(), LONG_WAY), *requests]) == [
            *(200, 200, 400, 200),
            200,
            *(200, 200, 400, 200),
        ]
