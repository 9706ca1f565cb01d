"""A server in front of faulty upstreams, with a client, a health watch and a look at the books."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayhub.testing.faults import FaultUpstream
from tests.faults.asking import CHAT, Answer, ask, chat_body
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.support.server import Server, running

CONNECT_S, FIRST_BYTE_S, IDLE_S, TOTAL_S = 0.5, 1.0, 0.8, 2.0
LATE_S = 0.5
"""How much later than its limit an error may come."""

UPSTREAM_KEY = "sk-upstream-secret-1234567890"

Json = Mapping[str, object]
PRICE: Json = {"input": "1", "output": "2"}


def provider(url: str, *models: str, **fields: object) -> Json:
    """A provider of OpenAI's wire at ``url`` with short deadlines. Models may end in ``*``."""
    return {
        "type": "openai",
        "base_url": f"{url}/v1",
        "api_key": UPSTREAM_KEY,
        "timeouts": {"connect_s": CONNECT_S, "first_byte_s": FIRST_BYTE_S, "idle_s": IDLE_S, "total_s": TOTAL_S},
        "models": {name: {"price": PRICE} for name in models or ("*",)},
        **fields,
    }


def config(providers: Mapping[str, Json], server: Json | None = None, **sections: object) -> str:
    """YAML takes JSON."""
    whole = {
        "server": server or {},
        "store": {"path": "hub.db", "durability": "process"},
        "logging": {"format": "json"},
        "providers": providers,
        **sections,
    }
    return json.dumps(whole)


@dataclass(frozen=True)
class Bench:
    """``upstream``: the first provider's, where a module needs only one."""

    hub: Server
    key: str
    upstream: FaultUpstream

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}

    def chat(self, model: str, **fields: object) -> Answer:
        return ask(self.hub.url, "POST", CHAT, chat_body(model, **fields), self.auth)

    def post(self, path: str, value: object, **headers: str) -> Answer:
        return ask(self.hub.url, "POST", path, json.dumps(value).encode(), {**self.auth, **headers})

    def row(self, model: str) -> dict[str, object]:
        """The newest usage row of a model."""
        return self.hub.last_usage(model)

    def charged(self, model: str) -> int:
        """Nano-USD of all calls of a model."""
        self.row(model)
        return sum(
            int(str(row["cost_nano"])) for row in self.hub.rows("SELECT cost_nano FROM usage WHERE model = ?", model)
        )

    def fails_free(self, model: str, status: int, **fields: object) -> Answer:
        """A call that is answered with this error, costs nothing and says nothing of the inside."""
        answer = self.chat(model, **fields)
        assert answer.status == status, answer
        assert answer.error["code"]
        assert UPSTREAM_KEY.encode() not in answer.body
        assert b"Traceback" not in answer.body
        assert self.row(model)["cost_nano"] == 0
        return answer

    def breaks_visibly(self, model: str, *, paid: bool = True) -> Answer:
        """A stream that has begun and ends with an error event, never with the normal end; what came is charged."""
        answer = self.chat(model, stream=True)
        assert answer.status == 200, answer
        assert answer.whole
        assert not answer.done
        assert answer.error["code"]
        row = self.row(model)
        assert row["outcome"] == "upstream_error"
        assert (int(str(row["cost_nano"])) > 0) is paid
        return answer


@contextmanager
def benched(home: Path, text: str, upstream: FaultUpstream, **options: object) -> Iterator[Bench]:
    """A server with this config; its books, its health and its log are checked at the end."""
    with running(home, text, **options) as hub:  # type: ignore[arg-type]
        key = new_key(hub, "faults")
        with watched_health(hub):
            yield Bench(hub, key, upstream)
        check_balances(hub)
        check_ledger(hub)
        assert UPSTREAM_KEY not in hub.log()
