"""Several upstreams behind a real server: what rests, what serves in its place, and why."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.testing import Answer, Gate, Hang, Recorded, UpstreamSimulator
from tests.faults.ledger import check_balances, check_ledger
from tests.support.admin import Api, admin_key
from tests.support.openai_wire import completion, error
from tests.support.server import Server, running

PRICE = {"input": "1", "output": "2"}
NANO = 10 * 1000 + 5 * 2000
PATIENT = {"connect_s": 20, "first_byte_s": 30, "idle_s": 30, "total_s": 60}
"""For calls that wait until the test lets them go on, however slow the machine is."""


class ChatUpstream(UpstreamSimulator):
    """Knows chat and the list of models. ``refuses``: by key, what that key gets."""

    def __init__(self) -> None:
        super().__init__(forbidden=("sk_live_",))
        self.refuses: dict[str, Answer] = {}

    def answer(self, request: Recorded) -> Answer:
        if request.path == "/v1/models":
            return Answer.json({"data": [{"id": "m"}]})
        if request.path != "/v1/chat/completions":
            return Answer.json({"error": {"message": "unknown path"}}, 404)
        return self.refuses.get(key_of(request)) or Answer(200, completion("m"))

    def keys(self) -> list[str]:
        """Of the chat requests, in order."""
        return [key_of(request) for request in self.requests if request.path.endswith("/completions")]


def key_of(request: Recorded) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")


def limited(retry_after: str) -> Answer:
    return Answer(429, error("slow down", type_="rate_limit_error"), {"retry-after": retry_after})


def broken(status: int = 503) -> Answer:
    return Answer(status, error("out of order", type_="server_error"))


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]
    took_s: float

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


@dataclass
class Bench:
    hub: Server
    key: str
    ups: Sequence[ChatUpstream]

    def ask(self, model: str = "m", path: str = "/v1/chat/completions", **fields: object) -> Reply:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **fields})
        began = time.monotonic()
        connection = http.client.HTTPConnection(urlsplit(self.hub.url).netloc, timeout=20)
        try:
            headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            headers = {name.lower(): text for name, text in answer.getheaders()}
            return Reply(answer.status, content, headers, time.monotonic() - began)
        finally:
            connection.close()

    def explained(self, model: str = "m", **fields: str) -> dict[str, object]:
        api = admin_key(self.hub, "viewer")
        query = "&".join(f"{name}={text}" for name, text in {"key": "k", "model": model, **fields}.items())
        found: dict[str, object] = api.get(f"/api/admin/routes/explain?{query}").data
        return found

    def books_are_exact(self) -> None:
        check_balances(self.hub)
        check_ledger(self.hub)


def entry(up: ChatUpstream, *credentials: str, model: Mapping[str, object] | None = None, **fields: object) -> object:
    keys: dict[str, object] = (
        {"credentials": [{"name": f"n-{key}", "api_key": key} for key in credentials]}
        if credentials
        else {"api_key": "sk-only"}
    )
    said = {"price": PRICE, **(model or {})}
    timeouts = {"connect_s": 1, "first_byte_s": 1, "idle_s": 1, "total_s": 5}
    return {
        "type": "openai",
        "base_url": f"{up.url}/v1",
        "models": {"m": said},
        "timeouts": timeouts,
        **keys,
        **fields,
    }


@contextmanager
def bench(home: Path, count: int, make: Callable[..., Mapping[str, object]], **sections: object) -> Iterator[Bench]:
    """``make``: the providers of so many upstreams."""
    ups = [ChatUpstream() for _ in range(count)]
    with ExitStack() as stack:
        for up in ups:
            stack.enter_context(up.in_thread())
        store = {"path": "hub.db", "durability": "process"}
        config = {"store": store, "logging": {"format": "json"}, "providers": make(*ups), **sections}
        hub = stack.enter_context(running(home, json.dumps(config)))
        yield Bench(hub, hub.new_key("k"), ups)


# --- credentials --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [limited("30"), broken(401)], ids=["429", "401"])
def test_a_key_that_is_refused_rests_while_the_other_serves(home: Path, refusal: Answer) -> None:
    with bench(home, 1, lambda up: {"up": entry(up, "sk-bad", "sk-good")}) as hub:
        up = hub.ups[0]
        up.refuses["sk-bad"] = refusal
        assert [hub.ask().status for _ in range(25)] == [200] * 25
        assert up.keys().count("sk-bad") == 1
        routes = hub.explained()["routes"]
        assert isinstance(routes, list)
        by_name = {route["credential"]: route for route in routes}
        assert (by_name["n-sk-bad"]["state"], by_name["n-sk-bad"]["position"]) == ("open", None)
        assert (by_name["n-sk-good"]["state"], by_name["n-sk-good"]["position"]) == ("closed", 1)
        hub.books_are_exact()


def test_keys_take_turns(home: Path) -> None:
    with bench(home, 1, lambda up: {"up": entry(up, "sk-1", "sk-2")}) as hub:
        for _ in range(40):
            hub.ask()
        assert min(hub.ups[0].keys().count(key) for key in ("sk-1", "sk-2")) >= 6


def test_where_every_key_is_limited_the_client_is_told_the_smallest_wait(home: Path) -> None:
    with bench(home, 1, lambda up: {"up": entry(up, "sk-1", "sk-2")}) as hub:
        hub.ups[0].refuses = {"sk-1": limited("200"), "sk-2": limited("20")}
        hub.ask()
        sent = len(hub.ups[0].requests)
        answer = hub.ask()
        assert answer.status == 429
        assert 15 <= int(answer.headers["retry-after"]) <= 20
        assert len(hub.ups[0].requests) == sent == 2
        hub.books_are_exact()


# --- providers ----------------------------------------------------------------------------------------------------------


def test_a_provider_that_is_down_is_replaced_and_taken_back(home: Path) -> None:
    circuit = {"failures": 3, "rest_s": 2}
    with bench(home, 2, lambda a, b: {"a": entry(a), "b": entry(b)}, routing={"circuit": circuit}) as hub:
        first, second = hub.ups
        first.refuses["sk-only"] = broken()
        assert [hub.ask().status for _ in range(8)] == [200] * 8
        assert len(first.keys()) <= 4  # three failures, and perhaps a probe
        assert len(second.keys()) == 8
        first.refuses.clear()
        hub.hub.wait_until(lambda: hub.ask().status == 200 and first.keys().count("sk-only") > 6, within_s=10)
        hub.books_are_exact()


def test_one_hung_provider_leaves_the_good_one_alone(home: Path) -> None:
    def make(hung: ChatUpstream, good: ChatUpstream) -> Mapping[str, object]:
        return {
            "hung": entry(hung, models={"slow": {"price": PRICE}}, timeouts=PATIENT),
            "soon": entry(hung, models={"hasty": {"price": PRICE}}),
            "good": entry(good),
        }

    with bench(home, 2, make) as hub:
        gate = Gate()
        hub.ups[0].refuses["sk-only"] = Answer(200, completion("m"), before=(gate,), executed=False)
        alone = sorted(hub.ask().took_s for _ in range(30))
        hanging = [threading.Thread(target=hub.ask, args=("slow",)) for _ in range(20)]
        for thread in hanging:
            thread.start()
        try:
            hub.ups[0].wait_for(lambda counters: counters.open == 20, 20)
            beside = sorted(hub.ask().took_s for _ in range(30))
            answer = hub.ask("hasty")
            assert hub.ups[0].counters.open >= 20
        finally:
            hub.ups[0].open(gate)
            for thread in hanging:
                thread.join(20)
        assert beside[15] - alone[15] < 0.1
        assert answer.status == 504
        assert answer.took_s < 4, "it waited for the total limit"


def test_a_hung_provider_of_the_same_model_is_soon_avoided(home: Path) -> None:
    circuit = {"failures": 2, "rest_s": 60}
    with bench(home, 2, lambda a, b: {"a": entry(a), "b": entry(b)}, routing={"circuit": circuit}) as hub:
        hub.ups[0].refuses["sk-only"] = Answer(200, completion("m"), before=(Hang(),), executed=False)
        statuses = [hub.ask().status for _ in range(6)]
        assert statuses == [504, 504, 200, 200, 200, 200]
        assert len(hub.ups[0].keys()) == 2
        hub.books_are_exact()


def test_a_resting_provider_is_asked_beside_calls_if_the_operator_wants_it(home: Path) -> None:
    routing = {"circuit": {"failures": 1, "rest_s": 0.2}, "probe_s": 0.1}
    with bench(home, 2, lambda a, b: {"a": entry(a), "b": entry(b)}, routing=routing) as hub:
        hub.ups[0].refuses["sk-only"] = broken()
        assert hub.ask().status == 200
        hub.ups[0].wait_for(lambda _: any(request.path == "/v1/models" for request in hub.ups[0].requests))


def test_tiers_weights_and_fall_backs(home: Path) -> None:
    def make(first: ChatUpstream, reserve: ChatUpstream, other: ChatUpstream) -> Mapping[str, object]:
        mini: object = {**entry(other), "models": {"mini": {"upstream": "m-small", "price": PRICE}}}  # type: ignore[dict-item]
        return {
            "reserve": entry(reserve, model={"priority": 2}),
            "first": entry(first, model={"fallbacks": ["mini"]}),
            "other": mini,
        }

    with bench(home, 3, make, routing={"failovers": 5}) as hub:
        first, reserve, _ = hub.ups
        hub.ask()
        assert [len(up.keys()) for up in hub.ups] == [1, 0, 0]
        first.refuses["sk-only"] = broken()
        hub.ask()
        assert [len(up.keys()) for up in hub.ups] == [2, 1, 0]
        reserve.refuses["sk-only"] = broken()
        answer = hub.ask()
        assert answer.json["model"] == "mini"
        assert hub.hub.last_usage("mini")["provider"] == "other"
        hub.books_are_exact()


# --- limits -------------------------------------------------------------------------------------------------------------


def test_a_full_provider_is_passed_by_and_a_full_hub_refuses_at_once(home: Path) -> None:
    full = {"max_in_flight": 1, "timeouts": PATIENT}
    with bench(
        home, 2, lambda a, b: {"a": entry(a, **full), "b": entry(b, **full)}, server={"max_in_flight": 3}
    ) as hub:
        gates = [Gate() for _ in hub.ups]
        for up, gate in zip(hub.ups, gates, strict=True):
            up.refuses["sk-only"] = Answer(200, completion("m"), before=(gate,))
        waiting = [threading.Thread(target=hub.ask) for _ in range(2)]
        try:
            for thread in waiting:
                thread.start()
            for up in hub.ups:
                up.wait_for(lambda counters: counters.open == 1, 20)
            busy = hub.ask()
            assert (busy.status, busy.headers["retry-after"]) == (503, "1")
            assert busy.took_s < 5, "it waited for something"
            assert b"provider_busy" in busy.body
            health = http.client.HTTPConnection(urlsplit(hub.hub.url).netloc, timeout=5)
            health.request("GET", "/api/health")
            assert health.getresponse().status == 200
            health.close()
        finally:
            for up, gate in zip(hub.ups, gates, strict=True):
                up.open(gate)
            for thread in waiting:
                thread.join(20)
        assert hub.ask().status == 200
        hub.books_are_exact()


def test_beyond_its_limits_the_hub_turns_away_all_but_health_checks(home: Path) -> None:
    with bench(home, 1, lambda up: {"up": entry(up)}, server={"max_clients": 4}) as hub, ExitStack() as stack:
        address = (urlsplit(hub.hub.url).hostname or "", urlsplit(hub.hub.url).port or 0)
        for _ in range(5):
            stack.enter_context(socket.create_connection(address))
        refused = hub.ask()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert b"overloaded" in refused.body
        assert hub.ups[0].counters.requests == 0
        watch = http.client.HTTPConnection(*address, timeout=5)
        watch.request("GET", "/api/health")
        assert watch.getresponse().status == 200
        watch.close()
        stack.close()
        hub.hub.wait_until(lambda: hub.ask().status == 200, within_s=5)


# --- explained ----------------------------------------------------------------------------------------------------------


def test_the_decision_is_explained_by_the_config_and_by_the_running_hub(home: Path) -> None:
    def make(a: ChatUpstream, b: ChatUpstream) -> Mapping[str, object]:
        return {
            "a": entry(a, model={"weight": 3}),
            "b": entry(b, model={"weight": 0}),
            "c": entry(a, model={"priority": 2}),
        }

    with bench(home, 2, make) as hub:
        said = hub.hub.cli("explain", "--key", "k", "--model", "m")
        assert "chat with the model m, key k; strategy weight" in said
        for words in ("weight 3", "weight 0", "priority 2", "circuit closed", "never repeated", "by the config alone"):
            assert words in said, said
        found = hub.hub.cli_json("explain", "--key", "k", "--model", "m")
        assert isinstance(found, dict)
        assert [(route["provider"], route["position"]) for route in found["routes"]] == [("a", 1), ("b", 2), ("c", 3)]

        hub.ups[0].refuses["sk-only"] = limited("200")
        hub.ask()
        made = hub.hub.cli_json("admin-keys", "create", "watcher", "--role", "viewer")
        assert isinstance(made, dict)
        live = hub.hub.cli("explain", "--key", "k", "--model", "m", "--server", hub.hub.url, "--admin-key", made["key"])
        assert "it is rate limited, rests for" in live
        assert "by the config alone" not in live
        assert "sk-only" not in said + live


@pytest.mark.parametrize(
    ("query", "status"),
    [("key=nobody&model=m", 404), ("key=k&model=none", 404), ("key=k", 400), ("key=k&model=m&x=1", 400)],
)
def test_what_cannot_be_explained_says_why(home: Path, query: str, status: int) -> None:
    with bench(home, 1, lambda up: {"up": entry(up)}) as hub:
        answer = admin_key(hub.hub, "viewer").get(f"/api/admin/routes/explain?{query}")
        assert answer.status == status
        assert answer.body["message"]
        assert Api(hub.hub.url, hub.key).get("/api/admin/routes/explain?key=k&model=m").status in (401, 403)
