"""Stream tickets against real servers: with a plain HTTP client, across processes, and in a browser."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Browser, browsing
from tests.support.cutting_proxy import cutting_proxy
from tests.support.server import Server, running

PATH = "/api/relay/v1/stream-tickets"
HELLO = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hello!"}]}
SLOW = {**HELLO, "model": "demo-slow"}

CONFIG = """
server: {{drain_s: 20, head_wait_s: 1, keep_alive_s: 1{server}}}
store: {{path: {store}}}
logging: {{format: json}}
providers:
  demo:
    slow_first_byte_s: {first_s}
    slow_chunk_s: {pace_s}
    models:
      demo-chat: {{price: {{input: "0.10", output: "0.40"}}}}
      demo-slow: {{price: {{call: "0.01"}}}}
      demo-cut-stream: {{price: {{input: "0.10", output: "0.40"}}}}
      demo-fail-503: {{price: {{call: "0.01"}}}}
"""


def config(store: Path | str = "hub.db", *, pace_s: float = 0.05, first_s: float = 0.05, server: str = "") -> str:
    return CONFIG.format(store=store, pace_s=pace_s, first_s=first_s, server=server)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("tickets"), config()) as server:
        yield server


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return server.new_key("tickets")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""
    events: list[tuple[int, str]] = field(default_factory=list)

    def json(self) -> dict[str, object]:
        read = json.loads(self.body)
        assert isinstance(read, dict)
        return read

    @property
    def code(self) -> object:
        error = self.json()["error"]
        assert isinstance(error, dict)
        return error["code"]


def ask(url: str, method: str = "GET", body: object = None, **headers: str) -> Answer:
    """One request, and its whole answer."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, parts.path, None if body is None else json.dumps(body), named)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def make(server: Server, key: str, body: object = HELLO, **headers: str) -> Answer:
    return ask(f"{server.url}{PATH}", "POST", body, authorization=f"Bearer {key}", **headers)


def url_of(answer: Answer) -> str:
    assert answer.status == 201, answer.body
    return str(answer.json()["url"])


def stream(url: str, *, stop_after: int | None = None, last: int | None = None, **headers: str) -> Answer:
    """Follow a ticket to its end, or leave after so many events."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if last is not None:
        named["last-event-id"] = str(last)
    try:
        connection.request("GET", parts.path, None, {"accept": "text/event-stream", **named})
        response = connection.getresponse()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()})
        if response.status != 200:
            answer.body = response.read()
            return answer
        number: int | None = None
        for line in response:
            answer.body += line
            if line.startswith(b"id: "):
                number = int(line[4:])
            elif line.startswith(b"data: "):
                assert number is not None, "every event has an id"
                answer.events.append((number, line[6:].decode().rstrip("\n")))
                number = None
                if len(answer.events) == stop_after:
                    break
        return answer
    finally:
        connection.close()


def text_of(events: list[tuple[int, str]]) -> str:
    chunks = [json.loads(data) for _, data in events if data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def whole_text(server: Server, key: str, body: object) -> str:
    answer = ask(f"{server.url}/v1/chat/completions", "POST", body, authorization=f"Bearer {key}")
    choices = answer.json()["choices"]
    assert isinstance(choices, list)
    return str(choices[0]["message"]["content"])


def usage_rows(server: Server, model: str) -> list[dict[str, object]]:
    return server.rows("SELECT * FROM usage WHERE model = ?", model)


def test_a_ticket_gives_the_answer_that_the_endpoint_gives(server: Server, key: str) -> None:
    made = make(server, key)
    told = made.json()
    assert (made.status, made.headers["cache-control"], told["success"]) == (201, "no-store", True)
    assert told["url"] == f"{server.url}{PATH}/{told['ticket']}" == made.headers["location"]
    assert isinstance(told["expires_at"], int)
    answer = stream(url_of(made))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body.startswith(b"retry: 1000\n\nid: 1\ndata: {")
    assert [number for number, _ in answer.events] == list(range(1, len(answer.events) + 1))
    assert answer.events[-1][1] == "[DONE]"
    assert text_of(answer.events) == whole_text(server, key, HELLO)


def test_after_the_last_event_the_answer_is_204(server: Server, key: str) -> None:
    url = url_of(make(server, key))
    answer = stream(url)
    again = stream(url, last=answer.events[-1][0])
    assert (again.status, again.body, again.headers["cache-control"]) == (204, b"", "no-store")


def test_every_event_can_be_resumed_from_and_there_is_one_call(server: Server, key: str) -> None:
    before = len(usage_rows(server, "demo-chat"))
    url = url_of(make(server, key))
    everything = stream(url).events
    for last in range(len(everything)):
        assert stream(url, last=last).events == everything[last:]
    assert stream(url).events == everything, "who has no event yet gets all of them"
    assert len(usage_rows(server, "demo-chat")) == before + 1


def test_a_lost_connection_is_resumed_while_the_answer_is_being_written(server: Server, key: str) -> None:
    before = len(usage_rows(server, "demo-slow"))
    url = url_of(make(server, key, SLOW))
    events = stream(url, stop_after=1).events
    while events[-1][1] != "[DONE]":
        events += stream(url, last=events[-1][0], stop_after=3).events
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert text_of(events) == whole_text(server, key, SLOW)
    rows = usage_rows(server, "demo-slow")
    assert len(rows) == before + 2, "the ticket's, and the whole answer's"
    assert {row["outcome"] for row in rows} == {"completed"}


def test_several_follow_the_same_call_at_once(server: Server, key: str) -> None:
    before = len(usage_rows(server, "demo-slow"))
    url = url_of(make(server, key, SLOW))
    answers: list[Answer] = []
    readers = [threading.Thread(target=lambda: answers.append(stream(url))) for _ in range(5)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert len(answers) == 5
    assert all(answer.events == answers[0].events for answer in answers)
    assert answers[0].events[-1][1] == "[DONE]"
    assert len(usage_rows(server, "demo-slow")) == before + 1


def test_stream_is_taken_for_true_and_usage_is_sent_to_those_who_ask(server: Server, key: str) -> None:
    body = {**HELLO, "stream": False, "stream_options": {"include_usage": True}}
    answer = stream(url_of(make(server, key, body)))
    assert json.loads(answer.events[-2][1])["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "demo-chat"}, 400, "messages"),
        ({**HELLO, "stream": "yes"}, 400, "stream"),
        ({**HELLO, "messages": [{"role": "nobody", "content": "x"}]}, 400, "messages[0].role"),
        ({**HELLO, "temperature": "hot"}, 400, "temperature"),
        ({**HELLO, "model": "no-such-model"}, 404, "model"),
    ],
)
def test_mistakes_are_told_when_the_ticket_is_made(
    server: Server, key: str, body: object, status: int, param: str
) -> None:
    answer = make(server, key, body)
    error = answer.json()["error"]
    assert isinstance(error, dict)
    assert (answer.status, error["param"]) == (status, param)
    assert answer.json()["success"] is False


def test_a_ticket_needs_a_key(server: Server) -> None:
    assert ask(f"{server.url}{PATH}", "POST", HELLO).status == 401
    assert make(server, "sk_live_nonsense").status == 401


@pytest.mark.parametrize("model", ["demo-cut-stream", "demo-fail-503"])
def test_a_failure_of_the_upstream_is_the_last_event(server: Server, key: str, model: str) -> None:
    url = url_of(make(server, key, {**HELLO, "model": model}))
    answer = stream(url)
    last, data = answer.events[-1]
    assert answer.status == 200
    assert json.loads(data)["error"]["code"] == server.last_usage(model)["error_code"]
    assert "[DONE]" not in [data for _, data in answer.events]
    assert stream(url, last=last).status == 204


def test_a_revoked_keys_tickets_are_dead(server: Server) -> None:
    key = server.new_key("soon-revoked")
    unopened, opened = url_of(make(server, key)), url_of(make(server, key))
    assert stream(opened).status == 200
    server.cli("keys", "revoke", "soon-revoked")
    for url in (unopened, opened):
        answer = stream(url)
        assert (answer.status, answer.code, answer.json()["success"]) == (403, "key_revoked", False)


def test_unknown_tickets_and_wrong_ids(server: Server, key: str) -> None:
    unknown = stream(f"{server.url}{PATH}/st_nothing")
    assert (unknown.status, unknown.code) == (404, "unknown_ticket")
    url = url_of(make(server, key))
    for wrong in ("x", "-1", "1.5", "9" * 11, "²"):
        answer = ask(url, last_event_id=wrong.encode().decode("latin-1"))
        assert (answer.status, answer.json()["success"]) == (400, False)
    assert ask(url, "HEAD").status == 405, "no way to begin a call unseen"
    assert stream(url).events[-1][1] == "[DONE]"


def test_a_token_is_neither_in_the_log_nor_in_the_database(server: Server, key: str) -> None:
    made = make(server, key, {**HELLO, "messages": [{"role": "user", "content": "Canary"}]})
    token = str(made.json()["ticket"])
    assert len(token) >= 3 + 32
    assert ask(url_of(made), last_event_id="x").status == 400
    assert ask(url_of(made), "DELETE").status == 405
    stream(url_of(made))
    logged = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert f"{PATH}/…" in [line.get("path") for line in logged]
    assert token not in server.log()
    for file in filter(Path.is_file, server.home.glob("hub.db*")):
        content = file.read_bytes()
        assert token.encode() not in content
        assert b"Canary" not in content


ORIGIN = "https://app.example"


def test_a_ticket_is_bound_to_the_origin_of_the_page_that_made_it(server: Server, key: str) -> None:
    url = url_of(make(server, key, origin=ORIGIN))
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{ORIGIN}:8443"},
        {},
        {"sec_fetch_site": "cross-site", "referer": f"{ORIGIN}/"},
        {"sec_fetch_site": "same-origin"},
        {"referer": "https://evil.example/"},
    ):
        answer = stream(url, **headers)
        assert (answer.status, answer.code) == (403, "wrong_origin"), headers
    answer = stream(url, origin=ORIGIN)
    assert answer.events[-1][1] == "[DONE]"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_page_of_the_servers_own_origin_sends_none_and_is_known_all_the_same(server: Server, key: str) -> None:
    for headers in (
        {"sec_fetch_site": "same-origin", "referer": f"{server.url}/console"},
        {"sec_fetch_site": "same-origin"},
        {"referer": f"{server.url}/"},
    ):
        assert stream(url_of(make(server, key, origin=server.url)), **headers).status == 200


def test_a_ticket_made_without_an_origin_opens_for_any_that_may_call(tmp_path: Path) -> None:
    with running(tmp_path, config(server=f", cors_origins: ['{ORIGIN}']")) as server:
        key = server.new_key("k")
        url = url_of(make(server, key))
        assert stream(url, origin="https://evil.example").status == 403
        answer = stream(url, origin=ORIGIN)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert stream(url).status == 200


def test_the_address_is_the_one_from_outside(tmp_path: Path) -> None:
    outside = ", base_path: /hub, public_url: 'https://hub.example/ai'"
    with running(tmp_path, config(server=outside)) as server:
        key = make_key(server)
        made = ask(f"{server.url}{PATH}", "POST", HELLO, authorization=f"Bearer {key}")
        told = made.json()
        assert told["url"] == f"https://hub.example/ai{PATH}/{told['ticket']}"
        assert stream(f"{server.url}{PATH}/{told['ticket']}").events[-1][1] == "[DONE]"


def make_key(server: Server) -> str:
    made = server.cli_json("keys", "create", "k")
    assert isinstance(made, dict)
    key = str(made["key"])
    url = f"{server.url}/v1/models"
    server.wait_until(lambda: ask(url, x_api_key=key).status == 200, within_s=5)
    return key


def test_silence_is_filled_with_comments(tmp_path: Path) -> None:
    with running(tmp_path, config(first_s=2.5)) as server:
        answer = stream(url_of(make(server, server.new_key("k"), SLOW)))
        assert answer.body.startswith(b": keep-alive\nretry: 1000\n\n")
        assert answer.body.count(b": keep-alive") >= 2
        assert answer.events[-1][1] == "[DONE]"


@contextmanager
def two_servers(tmp_path: Path, **options: float) -> Iterator[tuple[Server, Server]]:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", config(**options)) as first:  # type: ignore[arg-type]
        store = tmp_path / "a" / "hub.db"
        with running(tmp_path / "b", config(store, **options)) as second:  # type: ignore[arg-type]
            yield first, second


def moved(url: str, server: Server) -> str:
    return f"{server.url}{urlsplit(url).path}"


def test_two_processes_resume_each_others_answers(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (first, second):
        key = first.new_key("k")
        url = url_of(make(first, key, SLOW))
        here, there = [moved(url, second), url], []
        while not there or there[-1][1] != "[DONE]":
            here.reverse()
            there += stream(here[0], last=there[-1][0] if there else None, stop_after=2).events
        assert [number for number, _ in there] == list(range(1, len(there) + 1))
        assert text_of(there) == whole_text(first, key, SLOW)
        assert stream(moved(url, second), last=there[-1][0]).status == 204
        assert len(first.rows("SELECT * FROM usage")) == 2
        assert stream(moved(url, second)).events == there, "replayed from the database alone"


def test_an_answer_whose_process_was_killed_ends_with_an_error_for_those_who_follow(tmp_path: Path) -> None:
    with two_servers(tmp_path, pace_s=0.5) as (first, second):
        url = url_of(make(first, first.new_key("k"), SLOW))
        events = stream(url, stop_after=2).events
        answers: list[Answer] = []
        follower = threading.Thread(target=lambda: answers.append(stream(moved(url, second), last=events[-1][0])))
        follower.start()
        second.wait_until(lambda: second_follows(first), within_s=10)
        first.kill()
        follower.join(30)
        (answer,) = answers
        assert json.loads(answer.events[-1][1])["error"]["code"] == "ticket_lost"
        assert "[DONE]" not in [data for _, data in answer.events]
        assert stream(moved(url, second), last=answer.events[-1][0]).status == 204


def second_follows(server: Server) -> bool:
    return bool(server.rows("SELECT * FROM stream_tickets WHERE followed_at IS NOT NULL"))


def test_sigterm_lets_the_answer_end_and_the_next_process_replays_it(tmp_path: Path) -> None:
    with running(tmp_path, config(pace_s=0.1)) as server:
        key = server.new_key("k")
        url = url_of(make(server, key, SLOW))
        stream(url, stop_after=1)
        server.terminate()
        assert server.wait() == 0
        assert [row["outcome"] for row in server.rows("SELECT * FROM usage")] == ["completed"]
    with running(tmp_path, config()) as server:
        events = stream(moved(url, server), last=1).events
        assert events[-1][1] == "[DONE]"


class Page(BaseHTTPRequestHandler):
    """An empty page: what runs in it comes through the driver."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title>")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The address of a page of another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        serving = threading.Thread(target=pages.serve_forever)
        serving.start()
        yield f"http://localhost:{pages.server_port}/"
        pages.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as running_browser:
        yield running_browser


FOLLOW = """
const [endpoint, key, body] = args;
const made = await fetch(endpoint, {method: 'POST', body: JSON.stringify(body),
    headers: {authorization: 'Bearer ' + key, 'content-type': 'application/json'}});
const {url} = await made.json();
const source = new EventSource(url);
const seen = {text: '', ids: [], opens: 0, errors: 0, last: null};
return await new Promise(resolve => {
    source.onopen = () => seen.opens++;
    source.onmessage = event => {
        seen.ids.push(Number(event.lastEventId));
        seen.last = event.data;
        if (event.data !== '[DONE]')
            seen.text += JSON.parse(event.data).choices?.[0]?.delta?.content ?? '';
    };
    source.onerror = () => {
        seen.errors++;
        if (source.readyState === EventSource.CLOSED) resolve(seen);
    };
});
"""


def followed(chromium: Browser, endpoint: str, key: str, body: object) -> dict[str, object]:
    seen = chromium.run(FOLLOW, endpoint, key, body)
    assert isinstance(seen, dict), seen
    return seen


@pytest.mark.chromium
def test_a_plain_event_source_of_another_origin_reads_it_and_stops(
    server: Server, key: str, page: str, chromium: Browser
) -> None:
    chromium.open(page)
    seen = followed(chromium, f"{server.url}{PATH}", key, HELLO)
    assert (seen["last"], seen["text"]) == ("[DONE]", whole_text(server, key, HELLO))
    ids = seen["ids"]
    assert isinstance(ids, list)
    assert ids == list(range(1, len(ids) + 1))
    assert seen["opens"] == 1, "the end is answered with 204, on which it stops"


@pytest.mark.chromium
def test_a_plain_event_source_of_our_own_origin_reads_it(server: Server, key: str, chromium: Browser) -> None:
    chromium.open(f"{server.url}/livez")
    seen = followed(chromium, PATH, key, HELLO)
    assert (seen["last"], seen["text"]) == ("[DONE]", whole_text(server, key, HELLO))


@pytest.mark.chromium
def test_a_plain_event_source_survives_lost_connections(server: Server, key: str, page: str, chromium: Browser) -> None:
    before = len(usage_rows(server, "demo-slow"))
    chromium.open(page)
    with cutting_proxy(server.url, f"GET {PATH}".encode(), [b"\r\n\r\n", b"id: 3\n", b"id: 5\n"]) as proxy:
        seen = followed(chromium, f"{proxy.url}{PATH}", key, SLOW)
        assert proxy.cuts == 3
    ids = seen["ids"]
    assert isinstance(ids, list)
    assert ids == list(range(1, len(ids) + 1)), "nothing twice, nothing lost"
    assert (seen["last"], seen["text"]) == ("[DONE]", whole_text(server, key, SLOW))
    assert len(usage_rows(server, "demo-slow")) == before + 2


@pytest.mark.chromium
def test_another_page_cannot_open_it(server: Server, key: str, page: str, chromium: Browser) -> None:
    url = url_of(make(server, key, origin=ORIGIN))
    chromium.open(page)
    state = chromium.run(
        "const source = new EventSource(args[0]);"
        "return await new Promise(done => source.onerror = () => done(source.readyState));",
        url,
    )
    assert state == 2, "closed for good"
    assert stream(url, origin=ORIGIN).status == 200, "and the ticket is still whole"
