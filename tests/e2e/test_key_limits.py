"""Keys' limits on real servers: refusals in every client's language, slots, addresses, rotation, and what revoking does."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.server import Server, running

CONFIG = """
server: {{trusted_proxies: [127.0.0.1], drain_s: 2}}
store: {{path: hub.db}}
quota: {{timezone: Europe/Berlin, revoked_streams: {policy}}}
logging: {{format: json}}
providers:
  demo:
    slow_first_byte_s: 0.05
    slow_chunk_s: 0.2
    models:
      demo-chat: {{price: {{call: "0.01"}}}}
      demo-slow: {{price: {{call: "0.01"}}}}
      demo-video: {{price: {{video: {{"*": "0.05"}}}}, operations: [video]}}
  second:
    type: demo
    models: {{second-chat: {{upstream: demo-chat, price: {{call: "0.01"}}}}}}
  stuck:
    type: demo
    slow_chunk_s: 20
    models: {{demo-stuck: {{upstream: demo-slow, price: {{call: "0.01"}}}}}}
"""

HELLO = [{"role": "user", "content": "Hello!"}]
CHAT: dict[str, object] = {"model": "demo-chat", "messages": HELLO}

DIALECTS: Mapping[str, dict[str, object]] = {
    "/v1/chat/completions": CHAT,
    "/api/relay/v1/chat/completions": CHAT,
    "/v1/responses": {"model": "demo-chat", "input": "Hello!"},
    "/v1/messages": {**CHAT, "max_tokens": 50},
    "/v1beta/models/demo-chat:generateContent": {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]},
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any = field(repr=False)

    @property
    def code(self) -> str:
        error = self.body.get("error", self.body)
        return str(error.get("code") or error)


def ask(
    server: Server, key: str, path: str, body: object | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    with connection(server) as http_:
        http_.request("GET" if data is None else "POST", path, data, _headers(key, headers or {}))
        answer = http_.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(answer.read()))


def chat(server: Server, key: str, headers: Mapping[str, str] | None = None, **fields: object) -> Answer:
    return ask(server, key, "/v1/chat/completions", {**CHAT, **fields}, headers)


def _headers(key: str, more: Mapping[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json", **more}


@contextmanager
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as http_:
        yield http_


@contextmanager
def streaming(server: Server, key: str, model: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun; leaving the block leaves it."""
    with connection(server) as http_:
        http_.request(
            "POST", "/v1/chat/completions", json.dumps({**CHAT, "model": model, "stream": True}), _headers(key, {})
        )
        answer = http_.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"data: ")
        yield answer


def events(answer: http.client.HTTPResponse) -> list[Any]:
    """The rest of a stream."""
    lines = [line.removeprefix(b"data: ") for line in answer.read().splitlines() if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("limits"), CONFIG.format(policy="finish")) as server:
        yield server
        assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}


def test_a_minutes_requests_are_refused_with_when_to_come_back(server: Server) -> None:
    key = server.new_key("rpm", "--rpm", "3")
    answers = [chat(server, key) for _ in range(7)]  # a new minute may begin in between, but not two
    refused = next(answer for answer in answers if answer.status != 200)
    assert (refused.status, refused.code) == (429, "requests_per_minute_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-limit"] == "3"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
    assert refused.headers["x-should-retry"] == "true"


def test_every_dialect_says_too_many_at_a_time_and_the_slot_is_free_when_the_client_has_left(server: Server) -> None:
    key = server.new_key("slots", "--concurrent", "1")
    with streaming(server, key, "demo-stuck"):
        for path, body in DIALECTS.items():
            answer = ask(server, key, path, body)
            assert answer.status == 429, path
            assert "at a time" in json.dumps(answer.body), path
            assert (answer.headers["retry-after"], answer.headers["ratelimit-limit"]) == ("1", "1"), path
    server.wait_until(lambda: chat(server, key).status == 200, within_s=5)
    for path, body in DIALECTS.items():
        assert ask(server, key, path, body).status == 200, path


def test_tokens_are_limited_by_what_a_request_may_come_to(server: Server) -> None:
    key = server.new_key("tpm", "--tpm", "1000")
    refused = chat(server, key, max_tokens=5000)
    assert (refused.status, refused.code) == (429, "tokens_per_minute_exceeded")
    assert refused.headers["x-should-retry"] == "false", "no minute is ever long enough"
    assert "retry-after" not in refused.headers
    # Each may come to more than half of the limit, and comes to little: what is not used is given back at once.
    assert [chat(server, key, max_tokens=600).status for _ in range(4)] == [200] * 4


def test_spending_is_limited_by_the_day(server: Server) -> None:
    key = server.new_key("spender", "--spend-per-day", "10000", "--spend-per-month", "20000")
    assert [chat(server, key).status for _ in range(2)] == [200, 200]
    refused = chat(server, key)
    assert (refused.status, refused.code) == (402, "spend_per_day_exceeded")
    shown = server.cli_json("keys", "show", "spender")
    assert isinstance(shown, dict)
    assert shown["use"] == {"spend_per_day": 10000, "spend_per_month": 10000}
    server.cli("keys", "update", "spender", "--spend-per-day", "none")
    assert [chat(server, key).status for _ in range(3)] == [200, 200, 402]


def test_jobs_have_a_limit_in_flight_and_seconds_per_day(server: Server) -> None:
    key = server.new_key("films", "--jobs", "1", "--video-seconds", "9")
    film = {"model": "demo-video", "prompt": "a cat", "seconds": "4"}
    made = ask(server, key, "/v1/videos", film)
    assert made.status == 200, made.body
    refused = ask(server, key, "/v1/videos", film)
    assert (refused.status, refused.code) == (429, "jobs_in_flight_exceeded")

    def over() -> bool:
        return bool(ask(server, key, f"/v1/videos/{made.body['id']}").body["status"] == "completed")

    server.wait_until(over, within_s=30)
    assert ask(server, key, "/v1/videos", film).status == 200
    server.wait_until(lambda: ask(server, key, "/v1/videos", film).code != "jobs_in_flight_exceeded", within_s=30)
    refused = ask(server, key, "/v1/videos", film)
    assert (refused.status, refused.code) == (429, "video_seconds_per_day_exceeded")
    assert int(refused.headers["retry-after"]) <= 25 * 3600


def test_a_key_for_some_networks_is_good_from_there_alone(server: Server) -> None:
    made = server.cli_json("keys", "create", "office", "--networks", "203.0.113.0/24,2001:db8::/32")
    assert isinstance(made, dict)
    key = str(made["key"])
    office = {"x-forwarded-for": "203.0.113.9"}
    server.wait_until(lambda: chat(server, key, office).status == 200, within_s=5)
    for forwarded in ("198.51.100.1", "203.0.113.9, 198.51.100.1", "nonsense", "::ffff:198.51.100.1"):
        refused = chat(server, key, {"x-forwarded-for": forwarded})
        assert (refused.status, refused.code) == (401, "address_not_allowed"), forwarded
    assert chat(server, key).code == "address_not_allowed", "the proxy itself is no client"
    assert ask(server, key, "/v1/models").status == 401
    for forwarded in ("198.51.100.1, 203.0.113.9", "2001:db8::5", "::ffff:203.0.113.9"):
        assert chat(server, key, {"x-forwarded-for": forwarded}).status == 200, forwarded


def test_a_stream_ticket_opens_only_where_its_key_may_be_used(server: Server) -> None:
    made = server.cli_json("keys", "create", "browsers", "--networks", "203.0.113.0/24")
    assert isinstance(made, dict)
    key, office, stranger = str(made["key"]), {"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "198.51.100.1"}
    server.wait_until(lambda: chat(server, key, office).status == 200, within_s=5)
    ticket = ask(server, key, "/api/relay/v1/stream-tickets", CHAT, office)
    assert ticket.status == 201
    path = "/api/relay/v1/stream-tickets/" + ticket.body["ticket"]
    refused = ask(server, key, path, headers=stranger)
    assert (refused.status, refused.code) == (403, "address_not_allowed")
    with connection(server) as http_:
        http_.request("GET", path, None, office)
        assert b"[DONE]" in http_.getresponse().read(), "the refusal has not used it up"


def test_without_a_trusted_proxy_nobody_can_say_where_they_are(home: Path) -> None:
    config = CONFIG.format(policy="finish").replace("trusted_proxies: [127.0.0.1], ", "")
    with running(home, config) as server:
        key = server.new_key("here", "--networks", "127.0.0.1")
        made = server.cli_json("keys", "create", "office", "--networks", "203.0.113.0/24")
        assert isinstance(made, dict)
        office = {"x-forwarded-for": "203.0.113.9"}
        server.wait_until(lambda: chat(server, str(made["key"]), office).code != "invalid_api_key", within_s=5)
        assert chat(server, str(made["key"]), office).code == "address_not_allowed"
        assert chat(server, key, office).status == 200


def test_a_key_reaches_its_providers_only(server: Server) -> None:
    key = server.new_key("narrow", "--providers", "second")
    assert [model["id"] for model in ask(server, key, "/v1/models").body["data"]] == ["second-chat"]
    assert chat(server, key, model="second-chat").status == 200
    refused = chat(server, key)
    assert (refused.status, refused.code) == (404, "model_not_found")


def test_a_rotated_key_has_two_secrets_for_a_while(server: Server) -> None:
    old = server.new_key("rotating", "--quota", "50000000")
    fresh = str(_rotated(server, "86400")["key"])
    server.wait_until(lambda: chat(server, fresh).status == 200, within_s=1.5)
    assert chat(server, old).status == 200
    newest = _rotated(server, "0")
    server.wait_until(lambda: chat(server, fresh).status == 401, within_s=1.5)
    assert chat(server, fresh).code == "key_rotated"
    assert chat(server, old).code == "invalid_api_key"
    assert chat(server, str(newest["key"])).status == 200
    assert newest["quota"] == 50_000_000
    shown = server.cli("keys", "show", "rotating")
    assert all(secret not in shown for secret in (old, fresh, str(newest["key"])))


def _rotated(server: Server, overlap: str) -> dict[str, object]:
    made = server.cli_json("keys", "rotate", "rotating", "--overlap", overlap)
    assert isinstance(made, dict)
    return made


def test_a_disabled_key_is_out_within_a_second_and_its_open_answer_finishes(server: Server) -> None:
    key = server.new_key("switched")
    with streaming(server, key, "demo-slow") as answer:
        server.cli("keys", "disable", "switched")
        server.wait_until(lambda: chat(server, key).status == 401, within_s=1.5)
        assert chat(server, key).code == "key_disabled"
        assert events(answer)[-1] == "[DONE]"
    server.cli("keys", "enable", "switched")
    server.wait_until(lambda: chat(server, key).status == 200, within_s=1.5)


def test_where_the_policy_says_so_a_revoked_keys_open_answers_are_cut_and_told_why(home: Path) -> None:
    with running(home, CONFIG.format(policy="cut")) as server:
        revoked, other = server.new_key("revoked"), server.new_key("other")
        with streaming(server, other, "demo-stuck"), streaming(server, revoked, "demo-stuck") as answer:
            server.cli("keys", "revoke", "revoked")
            last = events(answer)[-1]
            assert last["error"]["code"] == "key_revoked"
            assert len(server.rows("SELECT 1 FROM holds")) == 1, "the other's goes on"
        server.wait_until(lambda: not server.rows("SELECT 1 FROM holds"), within_s=5)
        ended = server.rows("SELECT error_code, outcome FROM usage ORDER BY at")
        assert [one["error_code"] for one in ended] == ["key_revoked", None]
        assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}
