"""The management side under attack: nothing opens without the right credential, and guessing is slow for whoever guesses
only."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from relayhub.testing.faults import FaultUpstream, answers
from relayhub.web.admin.endpoint import PATH
from relayhub.web.admin.routes import add_routes
from tests.faults.asking import Answer, ask
from tests.faults.bench import Bench, config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.faults.promises.figure import slower
from tests.support.openai_wire import completion
from tests.support.server import running

pytestmark = pytest.mark.timeout(180)

SESSION = f"{PATH}/session"
OPEN = {
    ("POST", SESSION),
    ("POST", f"{PATH}/setup"),
    ("POST", f"{PATH}/registration"),
    ("GET", f"{PATH}/status"),
    ("GET", f"{PATH}/openapi.json"),
}
"""Everything that anybody may ask for. A route that is added here is open to the world: think twice."""

GUESSES, AT_ONCE = 1000, 10
TRIED = 50
"""Passwords that one address may try; a few more may be under way at that moment."""

LAG_MS = 100.0


def routes() -> set[tuple[str, str]]:
    """As the server itself has them."""
    app = web.Application()
    add_routes(app, "")
    return {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}


@pytest.mark.fault("S06", "every route of the management side, without a credential and with an API key")
def test_no_admin_route_opens_without_an_admin(bench: Bench) -> None:
    """401 or 403 for each route that the server has, but for the few that are meant for everybody."""
    everything = {(method, path) for method, path in routes() if path.startswith(PATH) and method != "HEAD"}
    assert len(everything) > 40
    opened = set()
    for method, path in sorted(everything):
        filled = path.replace("{", "").replace("}", "")
        body = None if method == "GET" else b"{}"
        for headers in ({}, {"authorization": f"Bearer {bench.key}"}, {"x-api-key": bench.key}):
            answer = ask(bench.hub.url, method, filled, body, {"content-type": "application/json", **headers})
            if answer.status not in (401, 403):
                opened.add((method, path))
    assert opened == OPEN & everything, opened ^ OPEN


@pytest.mark.fault("S08", "1 000 sign-ins with guessed passwords, ten at a time")
def test_guessing_is_slow_for_the_guesser_only(upstream: FaultUpstream, tmp_path: Path) -> None:
    """After 50 from one address 429 with Retry-After for all of them; the event loop is never late by more than 100 ms, and
    calls are answered meanwhile."""
    upstream.program("meanwhile", answers.whole(completion("m")))
    with running(tmp_path, config({"up": provider(upstream.url)})) as hub:
        bench = Bench(hub, new_key(hub, "k"), upstream)
        with watched_health(hub), ThreadPoolExecutor(AT_ONCE) as guessers:
            guesses = guessers.map(lambda number: guess(hub.url, number), range(GUESSES))
            seen = Counter(answer.status for answer in guesses if answer.status == 401 or answer.headers["retry-after"])
            assert bench.chat("meanwhile").status == 200
        assert set(seen) == {401, 429}
        assert seen[401] <= TRIED + AT_ONCE
        assert sum(seen.values()) == GUESSES
        check_balances(hub)
        check_ledger(hub)
        hub.terminate()
        assert hub.wait() == 0
        (lag,) = [json.loads(line) for line in hub.log().splitlines() if '"loop.lag"' in line]
    assert lag["p999_ms"] <= LAG_MS * slower(), lag


def guess(url: str, number: int) -> Answer:
    """A name that is guessed at more than once, and one that is guessed at once."""
    name = "root" if number % 2 else f"root-{number}"
    body = json.dumps({"name": name, "password": f"password {number}"}).encode()
    return ask(url, "POST", SESSION, body, {"content-type": "application/json"})
