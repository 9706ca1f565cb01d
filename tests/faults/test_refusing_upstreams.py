"""An upstream that refuses, misleads or talks too much: its words are cut, its headers stay with us, its links unused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from relayhub.testing.faults import FaultUpstream, answers, does, refusals
from tests.faults.asking import Answer
from tests.faults.bench import UPSTREAM_KEY, Bench, Json, config, provider
from tests.support.openai_wire import completion, error

GOOD = answers.whole(completion("m"))
BUSY = error("busy", type_="rate_limit_error")
BROKEN = error("it broke", type_="server_error")
OVERLOADED = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}).encode()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[FaultUpstream]:
    """Where redirects point to, and the second upstream."""
    upstream = FaultUpstream()
    with upstream.in_thread():
        yield upstream


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream, elsewhere: FaultUpstream) -> str:
    anthropic: Json = {**provider(upstream.url, "overloaded-*"), "type": "claude", "base_url": upstream.url}
    return config(
        {
            "up": provider(upstream.url, "*", "both-*"),
            "second": provider(elsewhere.url, "both-*"),
            "other": anthropic,
        }
    )


def messages(bench: Bench, model: str, **fields: object) -> Answer:
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **fields}
    return bench.post("/v1/messages", body, **{"anthropic-version": "2023-06-01"})


@pytest.mark.fault("U21", "429 with Retry-After in seconds, as a date, without one, or with nonsense")
@pytest.mark.parametrize("form", ["seconds", "date", "none", "nonsense", "negative", "past"])
def test_a_429_says_when_to_come_back(bench: Bench, form: str) -> None:
    """429, charge 0; Retry-After as the upstream meant it, in seconds, whatever form it had."""
    model = f"busy-{form}"
    said = {
        "seconds": "30",
        "date": refusals.http_date(30),
        "none": None,
        "nonsense": "soon",
        "negative": "-5",
        "past": refusals.http_date(-1000),
    }[form]
    now = ("date", refusals.http_date(0))  # dates count from the clock of the server that says them
    bench.upstream.program(model, refusals.busy(BUSY, said, more=[now]))
    answer = bench.fails_free(model, 429)
    if form in ("seconds", "date"):
        assert 28 <= int(answer.headers["retry-after"]) <= 30
    else:
        assert 0 <= int(answer.headers.get("retry-after", "1")) <= 120


@pytest.mark.fault("U21", "429, another upstream has the model")
def test_a_429_goes_to_the_next_upstream(bench: Bench, elsewhere: FaultUpstream) -> None:
    """The other one answers; one charge."""
    bench.upstream.program("both-busy", refusals.busy(BUSY, "30"))
    elsewhere.program("both-busy", GOOD)
    assert bench.chat("both-busy").status == 200
    assert bench.charged("both-busy") == 10 * 1000 + 5 * 2000


@pytest.mark.fault("U21", "429 with Retry-After, and more calls before that has passed")
def test_a_429_lets_the_upstream_rest_that_long(bench: Bench, elsewhere: FaultUpstream) -> None:
    """Nothing is sent to it until then, whoever calls; afterwards it is asked again."""
    wait_s = 2.0
    bench.upstream.program("both-rest", refusals.busy(BUSY, f"{wait_s:g}"), GOOD)
    elsewhere.program("both-rest", GOOD)
    counters = bench.upstream.counters("both-rest")
    while not counters.requests:
        rests_until = time.monotonic() + wait_s  # at least: it is told so during this call
        assert bench.chat("both-rest").status == 200
    for _ in range(10):
        assert bench.chat("both-rest").status == 200
    sent = counters.requests
    assert sent == 1 or time.monotonic() >= rests_until
    bench.hub.wait_until(lambda: bench.chat("both-rest").status == 200 and counters.requests > 1, within_s=20)
    assert time.monotonic() >= rests_until - 0.05


@pytest.mark.fault("U21", "429 from every upstream of a model")
def test_where_all_are_limited_the_shortest_wait_counts(bench: Bench, elsewhere: FaultUpstream) -> None:
    """429 with the smallest of their waits; nothing is sent to any of them meanwhile."""
    bench.upstream.program("both-limited", refusals.busy(BUSY, "50"))
    elsewhere.program("both-limited", refusals.busy(BUSY, "20"))
    sent = (bench.upstream.counters("both-limited"), elsewhere.counters("both-limited"))
    bench.hub.wait_until(
        lambda: bench.chat("both-limited").status == 429 and all(one.requests for one in sent), within_s=5
    )
    before = [one.requests for one in sent]
    answer = bench.chat("both-limited")
    assert answer.status == 429
    assert 15 <= int(answer.headers["retry-after"]) <= 20
    assert [one.requests for one in sent] == before
    assert bench.charged("both-limited") == 0


@pytest.mark.fault("U24", "500, 502, 503 and 529")
@pytest.mark.parametrize(
    ("status", "shown"), [("500 Oops", 502), ("502 Bad", 502), ("503 Busy", 503), ("529 Overloaded", 503)]
)
def test_an_error_of_the_upstream_is_an_error_and_free(bench: Bench, status: str, shown: int) -> None:
    """500 and 502 become 502, 503 and 529 become 503; charge 0."""
    model = f"status-{status[:3]}"
    bench.upstream.program(model, refusals.refusal(status, BROKEN))
    bench.fails_free(model, shown)


@pytest.mark.fault("U24", "529 from an upstream of Anthropic's wire")
@pytest.mark.parametrize("stream", [False, True])
def test_a_529_keeps_its_name_for_clients_of_the_same_dialect(bench: Bench, stream: bool) -> None:
    """`overloaded_error` with the dialect's own status; charge 0."""
    model = f"overloaded-{stream}"
    bench.upstream.program(model, refusals.refusal("529 Overloaded", OVERLOADED))
    answer = messages(bench, model, stream=stream)
    assert json.loads(answer.body)["error"]["type"] == "overloaded_error"
    assert answer.status == 529
    assert bench.charged(model) == 0


@pytest.mark.fault("U43", "a redirect to another server")
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_never_followed(bench: Bench, elsewhere: FaultUpstream, status: str) -> None:
    """502, charge 0; neither key nor prompt is sent there."""
    model = f"moved-{status[:3]}"
    bench.upstream.program(model, refusals.redirect(f"{elsewhere.url}/v1/chat/completions", status))
    before = elsewhere.total.connections
    answer = bench.fails_free(model, 502)
    assert "location" not in answer.headers
    assert elsewhere.total.connections == before


TALKATIVE = (
    ("set-cookie", "session=1"),
    ("server", "secret/1"),
    ("x-powered-by", "secret"),
    ("x-ratelimit-remaining-requests", "5"),
    ("location", "http://127.0.0.1:1/"),
    ("refresh", "0; url=http://127.0.0.1:1/"),
    ("strict-transport-security", "max-age=1"),
    ("access-control-allow-origin", "http://evil.example"),
    ("content-disposition", "attachment"),
    ("www-authenticate", "Basic"),
    ("x-request-id", "theirs"),
    ("connection", "keep-alive, x-odd"),
    ("x-odd", "1"),
)


@pytest.mark.fault("T10", "Set-Cookie and other headers of the upstream, in answers, streams and errors")
@pytest.mark.parametrize("kind", ["whole", "stream", "error"])
def test_no_header_of_an_upstream_reaches_the_client(bench: Bench, kind: str) -> None:
    """The client sees the hub's own headers only; the cookie is not sent back either."""
    model = f"talks-{kind}"
    fault = {
        "whole": answers.whole(completion(model), headers=[*answers.JSON, *TALKATIVE]),
        "stream": answers.streamed(b"data: [DONE]\n\n", headers=[*answers.EVENTS, *TALKATIVE]),
        "error": answers.whole(BROKEN, status="500 Oops", headers=[*answers.JSON, *TALKATIVE]),
    }[kind]
    bench.upstream.program(model, fault)
    for _ in range(2):
        answer = bench.chat(model, stream=kind == "stream")
        own = {
            "x-request-id",
            "content-type",
            "content-length",
            "date",
            "server",
            "connection",
            "vary",
            "cache-control",
        }
        own |= {"x-accel-buffering", "transfer-encoding", "retry-after", "x-should-retry"}
        assert set(answer.headers) <= own, set(answer.headers) - own
        assert answer.headers["x-request-id"] != "theirs"
        assert "secret" not in answer.headers.get("server", "")
    assert all(not request.values("cookie") for request in bench.upstream.of(model))


ECHOES = {
    "their key": f"Incorrect API key provided: {UPSTREAM_KEY}.",
    "a link": "see https://10.1.2.3:8443/internal?token=abcdef0123456789abcdef0123456789",
    "a trace": 'Traceback (most recent call last):\n  File "/srv/app.py", line 1',
}


@pytest.mark.fault("T11", "the upstream's 401 repeats the key it was sent")
@pytest.mark.parametrize("status", ["401 No", "403 No", "500 Oops", "429 Wait"])
def test_the_upstreams_key_is_never_shown(bench: Bench, status: str) -> None:
    """The error has the hub's own words; the key is in no answer and in no line of the log."""
    model = f"echo-{status[:3]}"
    echoed = error(ECHOES["their key"], type_="invalid_request_error", code="invalid_api_key")
    bench.upstream.program(model, refusals.refusal(status, echoed))
    answer = bench.chat(model)
    assert answer.status in (429, 502, 503)
    assert UPSTREAM_KEY not in answer.body.decode()
    assert UPSTREAM_KEY not in bench.hub.log()


@pytest.mark.fault("T11", "an error text with addresses and a stack trace")
@pytest.mark.parametrize("what", ["a link", "a trace"])
def test_what_an_upstream_says_of_its_inside_stays_inside(bench: Bench, what: str) -> None:
    """502 with the hub's own words."""
    model = f"inside-{what.replace(' ', '-')}"
    bench.upstream.program(model, refusals.refusal("500 Oops", error(ECHOES[what], type_="server_error")))
    answer = bench.fails_free(model, 502)
    assert b"10.1.2.3" not in answer.body
    assert b"/srv/app.py" not in answer.body


@pytest.mark.fault("T10", "an error text with line breaks, control characters and HTML")
def test_an_error_text_breaks_nothing(bench: Bench) -> None:
    """The answer is JSON with one error; the log has one line for it."""
    text = "no\r\nx-evil: 1\r\n\r\n<script>alert(1)</script>\x00\x1b[31m\u2028"
    body = error(text, type_="invalid_request_error", param="messages")
    bench.upstream.program("evil", refusals.refusal("400 Bad Request", body))
    answer = bench.chat("evil")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert "x-evil" not in answer.headers
    assert all(json.loads(line) for line in bench.hub.log().rstrip("\n").split("\n"))


@pytest.mark.fault("T10", "usage that no model can have had")
@pytest.mark.parametrize(
    "claimed", [{"prompt_tokens": 10**15, "completion_tokens": 1}, {"prompt_tokens": -1}, "many", []]
)
def test_forged_usage_is_not_believed(bench: Bench, claimed: object) -> None:
    """200; the call is charged by what it says, and the row says so."""
    model = f"forged-{len(str(claimed))}"
    value = {**json.loads(completion(model)), "usage": claimed}
    bench.upstream.program(model, does(answers.whole(json.dumps(value).encode())))
    assert bench.chat(model).status == 200
    row = bench.row(model)
    assert row["measured"] == 0
    assert int(str(row["cost_nano"])) < 10**6
