"""The store in trouble, met by everything that writes: calls of each kind, jobs, redemptions and the management side. Each
is refused with 503 and when to come back, nothing reaches an upstream, nothing is half done, and what was under way ends
well."""

from __future__ import annotations

import json
import resource
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relayhub.testing import Fate
from relayhub.testing.faults import FaultUpstream, answers
from relayhub.web.admin.endpoint import PATH
from relayhub_openai.simulator import OpenAIMediaSimulator
from tests.faults.asking import Answer, ask
from tests.support.admin import admin_key
from tests.support.openai_wire import completion
from tests.support.server import Server, running

KEY = "upstream-key-0123456789"
CONFIG = """
store: {path: hub.db, durability: process}
logging: {format: json}
providers:
  text:
    type: openai
    base_url: TEXT_URL/v1
    api_key: KEY
    models: {chat: {price: {call: "0.001"}}, embed: {operations: [embeddings], price: {call: "0.001"}}}
  media:
    type: openai
    base_url: MEDIA_URL/v1
    api_key: KEY
    videos: {first_s: 1, every_s: 1}
    models:
      sora-2: {operations: [video], price: {video: {"*": "0.10"}}}
      gpt-image-2: {operations: [image], price: {image: {"*": "0.04"}}}
      tts-1: {operations: [speech], price: {characters: "15"}}
"""
SAID = [{"role": "user", "content": "hi"}]
VECTOR = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "model": "embed",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
LOCKED_S = 8.0
END_S = 20.0


@dataclass
class Hub:
    server: Server
    text: FaultUpstream
    media: OpenAIMediaSimulator
    key: str
    admin: str
    codes: list[str]
    account: str
    victim: str

    def send(self, path: str, body: object, *, admin: bool = False, method: str = "POST", **headers: str) -> Answer:
        said = {
            "authorization": f"Bearer {self.admin if admin else self.key}",
            "content-type": "application/json",
            **headers,
        }
        return ask(self.server.url, method, path, json.dumps(body).encode(), said, timeout_s=40)

    def asked(self) -> dict[str, Answer]:
        """Everything that writes, side by side."""
        everything = {
            "chat": lambda: self.send("/v1/chat/completions", {"model": "chat", "messages": SAID}),
            "named chat": lambda: self.send(
                "/v1/chat/completions", {"model": "chat", "messages": SAID}, **{"idempotency-key": "one"}
            ),
            "messages": lambda: self.send("/v1/messages", {"model": "chat", "messages": SAID, "max_tokens": 9}),
            "embeddings": lambda: self.send("/v1/embeddings", {"model": "embed", "input": "hi"}),
            "ticket": lambda: self.send("/api/relay/v1/stream-tickets", {"model": "chat", "messages": SAID}),
            "video": lambda: self.send("/v1/videos", {"model": "sora-2", "prompt": "a cat", "seconds": "4"}),
            "named video": lambda: self.send(
                "/v1/videos", {"model": "sora-2", "prompt": "a dog", "seconds": "4"}, **{"idempotency-key": "two"}
            ),
            "image": lambda: self.send("/v1/images/generations", {"model": "gpt-image-2", "prompt": "a cat"}),
            "speech": lambda: self.send("/v1/audio/speech", {"model": "tts-1", "input": "hi", "voice": "alloy"}),
            "redemption": lambda: self.send("/api/user/redemption", {"code": self.codes[0]}),
            "account": lambda: self.managed("/accounts", {"name": "late"}),
            "key": lambda: self.managed("/keys", {"name": "late", "account_id": self.account}),
            "grant": lambda: self.managed(f"/accounts/{self.account}/grants", {"units": 7, "reason": "late"}),
            "revocation": lambda: self.managed(f"/keys/{self.victim}", {}, method="DELETE"),
            "codes": lambda: self.managed("/code-batches", {"name": "late", "units": 5, "codes": 3}),
            "person": lambda: self.managed("/people", {"name": "late", "password": "correct horse", "role": "viewer"}),
            "admin key": lambda: self.managed("/admin-keys", {"name": "late", "role": "viewer"}),
        }
        with ThreadPoolExecutor(len(everything)) as pool:
            running_ = {name: pool.submit(work) for name, work in everything.items()}
            return {name: future.result() for name, future in running_.items()}

    def managed(self, path: str, body: object, method: str = "POST") -> Answer:
        return self.send(PATH + path, body, admin=True, method=method)

    def executions(self) -> int:
        return (
            self.text.counters("chat").executions
            + self.text.counters("embed").executions
            + self.media.counters.executions
        )

    def made_late(self) -> dict[str, int]:
        """How often each change was made."""
        counts = {
            "account": "accounts WHERE name = 'late'",
            "key": "keys WHERE name = 'late'",
            "grant": "ledger WHERE reason = 'late'",
            "revocation": "keys WHERE name = 'victim' AND revoked_at IS NOT NULL",
            "codes": "code_batches WHERE name = 'late'",
            "person": "people WHERE name = 'late'",
            "admin key": "admin_keys WHERE name = 'late'",
            "redemption": "redemptions",
        }
        return {name: self.count(rows) for name, rows in counts.items()}

    def count(self, rows: str) -> int:
        return int(str(self.server.rows(f"SELECT count(*) AS n FROM {rows}")[0]["n"]))

    def books_are_exact(self) -> None:
        self.server.wait_until(lambda: self.count("holds") == 0, within_s=END_S)
        assert self.server.cli_json("ledger", "check") == {"exact": True, "violations": []}
        self.server.cli("audit", "check")
        paid = self.count("usage WHERE outcome = 'completed'")
        assert paid == self.executions(), "each execution is booked once, and nothing else"


@contextmanager
def troubled(home: Path) -> Iterator[Hub]:
    with ExitStack() as stack:
        text = FaultUpstream()
        stack.enter_context(text.in_thread())
        text.program("chat", answers.whole(completion("chat")))
        text.program("embed", answers.whole(json.dumps(VECTOR).encode()))
        media = OpenAIMediaSimulator(keys=(KEY,), fate=Fate(queue_s=0.05, run_s=0.3))
        stack.enter_context(media.in_thread())
        config = CONFIG.replace("TEXT_URL", text.url).replace("MEDIA_URL", media.url).replace("KEY", KEY)
        server = stack.enter_context(running(home, config, module="tests.support.troubled_hub", env=IMPORTABLE))
        admin = admin_key(server)
        account = admin.post(f"{PATH}/accounts", {"name": "team", "unlimited": True}).data["id"]
        victim = admin.post(f"{PATH}/keys", {"name": "victim", "account_id": account}).data["id"]
        batch = admin.post(f"{PATH}/code-batches", {"name": "spring", "units": 5, "codes": 3}).data
        assert admin.credential is not None
        key = server.new_key("client")
        yield Hub(server, text, media, key, admin.credential, _codes(batch), account, victim)


def _codes(batch: Any) -> list[str]:
    return list(batch["secrets"] if "secrets" in batch else batch["codes"])


IMPORTABLE = {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def hub(home: Path) -> Iterator[Hub]:
    with troubled(home) as hub:
        yield hub


def is_refusal(answer: Answer) -> bool:
    return (
        answer.status == 503 and answer.headers.get("retry-after", "").isdigit() and b"store_unavailable" in answer.body
    )


def begin(trouble: str, server: Server) -> None:
    """A full disk takes nothing more: neither from the database nor from the log."""
    if trouble == "full":
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    else:
        (server.home / trouble).touch()


def end(trouble: str, server: Server) -> None:
    if trouble == "full":
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        (server.home / trouble).unlink()


@pytest.mark.parametrize("trouble", ["read-only", "full"])
def test_nothing_is_sent_nothing_is_half_done_and_all_goes_on_afterwards(hub: Hub, trouble: str) -> None:
    begun = hub.send("/v1/videos", {"model": "sora-2", "prompt": "before", "seconds": "4"})
    assert begun.status == 200, begun
    begin(trouble, hub.server)
    for _ in range(2):
        before = hub.executions()
        refused = hub.asked()
        assert {name: answer for name, answer in refused.items() if not is_refusal(answer)} == {}
        assert hub.executions() == before, "nothing is sent without a hold"
    assert set(hub.made_late().values()) == {0}
    health = ask(hub.server.url, "GET", "/api/health")
    assert (health.status, json.loads(health.body)["checks"]["db"]) == (503, "fail")
    assert ask(hub.server.url, "GET", "/livez").status == 200

    end(trouble, hub.server)
    hub.server.wait_until(lambda: ask(hub.server.url, "GET", "/api/health").status == 200, within_s=10)
    again = hub.asked()
    assert {name: answer for name, answer in again.items() if answer.status not in (200, 201)} == {}
    assert set(hub.made_late().values()) == {1}
    hub.server.wait_until(lambda: hub.count("jobs WHERE finished_at IS NULL") == 0, within_s=END_S)
    assert ("of this log are lost" in hub.server.log()) is (trouble == "full")
    assert hub.count("jobs WHERE state = 'succeeded'") == hub.count("jobs"), "the one from before too"
    hub.books_are_exact()


def test_a_lock_of_eight_seconds_is_waited_for_or_refused_and_leaves_clean_books(hub: Hub) -> None:
    with (
        closing(sqlite3.connect(hub.server.home / "hub.db", isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        asking = pool.submit(hub.asked)
        assert not hub.text.wait_for(lambda: hub.executions() > 0, LOCKED_S), "nothing is sent without a hold"
        assert ask(hub.server.url, "GET", "/livez").took_s < 0.5
        other.execute("ROLLBACK")
        answered = asking.result()
    wrong = {
        name: answer for name, answer in answered.items() if answer.status not in (200, 201) and not is_refusal(answer)
    }
    assert wrong == {}
    done = {name for name, answer in answered.items() if answer.status in (200, 201)}
    assert {name for name, count in hub.made_late().items() if count} == done & hub.made_late().keys()
    hub.server.wait_until(lambda: hub.count("jobs WHERE finished_at IS NULL") == 0, within_s=END_S)
    hub.books_are_exact()
    assert hub.send("/v1/chat/completions", {"model": "chat", "messages": SAID}).status == 200
