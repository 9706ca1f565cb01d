"""A hub with every media provider behind it: the demo, and one strict stand-in for each real upstream."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from relayhub.testing import Fate, JobSimulator
from relayhub_happyhorse.simulator import DashScopeSimulator
from relayhub_kling.simulator import KlingSimulator
from relayhub_openai.simulator import OpenAIMediaSimulator
from relayhub_seedance.simulator import ArkSimulator
from relayhub_tts.simulated_minimax import MiniMaxSimulator
from relayhub_tts.simulated_qwen import QwenSimulator
from tests.support.server import Server, running

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "client"
KEY, KLING_ACCESS, KLING_SECRET = "upstream-key-0123456789", "kling-access-key", "kling-secret-key-of-thirty-two-bytes"
PUBLIC_URL = "https://hub.example.com"
"""As clients and upstreams are told it; what is fetched from there is fetched from the real one."""
USUAL = Fate(queue_s=0.1, run_s=0.3)
END_S = 15.0
"""A bound on waiting, far above what it takes."""

PER_SECOND_NANO = 100_000_000
PER_IMAGE_NANO = 40_000_000
PER_CHARACTER_NANO = 15_000

CONFIG = """
store: {path: hub.db, durability: process}
logging: {format: json}
server: {public_url: PUBLIC_URL}
jobs: {default_video_model: demo-video}
providers:
  demo:
    video_queue_s: 0.1
    video_run_s: 0.5
    models:
      demo-chat: {free: true}
      demo-video: {operations: [video], price: {video: {"*": "0.10"}}}
      demo-job-failed: {operations: [video], price: {video: {"*": "0.10"}}}
      demo-image: {operations: [image], price: {image: {"*": "0.04"}}, aliases: [dall-e-3]}
      demo-speech: {operations: [speech], price: {characters: "15"}}
  slow:
    type: demo
    video_queue_s: 0
    video_run_s: 3600
    models:
      slow-video: {upstream: demo-video, operations: [video], price: {video: {"*": "0.10"}}}
  up:
    type: openai
    base_url: UP_URL/v1
    api_key: UP_KEY
    videos: {listing: true, cancels: true, first_s: 1, every_s: 1}
    models:
      sora-2: {operations: [video], price: {video: {"*": "0.10"}}}
      gpt-image-2: {operations: [image], price: {image: {"*": "0.04"}}}
      gpt-4o-mini-tts: {operations: [speech], price: {input: "0.60", output: "12"}}
      tts-1: {operations: [speech], price: {characters: "15"}}
  seedance:
    base_url: ARK_URL/api/v3
    api_key: UP_KEY
    poll: {first_s: 1, every_s: 1}
    default_video_model: doubao-seedance-2-0-260128
    models:
      doubao-seedance-2-0-260128: {operations: [video], price: {video: {"*": "0.10"}}}
      doubao-seedream-4-5-251128: {operations: [image], price: {image: {"*": "0.04"}}}
  happyhorse:
    base_url: DASHSCOPE_URL/api/v1
    api_key: UP_KEY
    poll: {first_s: 1, every_s: 1}
    image_poll: {first_s: 1, every_s: 1}
    model_defaults: {operations: [video], price: {video: {"*": "0.10"}}}
    models:
      happyhorse-1.0-t2v: {}
      happyhorse-1.0-i2v: {}
      happyhorse-1.0-r2v: {}
      happyhorse-1.0-video-edit: {}
      qwen-image-2.0: {operations: [image], price: {image: {"*": "0.04"}}}
      wan2.7-image: {operations: [image], price: {image: {"*": "0.04"}}}
  kling:
    base_url: KLING_URL
    access_key: KLING_ACCESS
    secret_key: KLING_SECRET
    poll: {first_s: 1, every_s: 1}
    model_defaults: {operations: [video], price: {video: {"*": "0.10"}}}
    models:
      kling-v2-6: {}
      kling-v3-omni: {operations: [video, image], price: {video: {"*": "0.10"}, image: {"*": "0.04"}}}
      kling-v2-1: {operations: [image], price: {image: {"*": "0.04"}}}
  qwen-tts:
    type: tts
    vendor: qwen
    base_url: QWEN_URL/api/v1
    api_key: UP_KEY
    models:
      qwen3-tts-flash: {operations: [speech], price: {characters: "15"}}
  minimax:
    type: tts
    vendor: minimax
    base_url: MINIMAX_URL/v1
    api_key: UP_KEY
    model_defaults: {operations: [speech], price: {characters: "15"}}
    models:
      MiniMax/speech-2.8-turbo: {}
      MiniMax/speech-2.8-hd: {}
"""


@dataclass(frozen=True, slots=True)
class Upstreams:
    openai: OpenAIMediaSimulator
    ark: ArkSimulator
    dashscope: DashScopeSimulator
    kling: KlingSimulator
    qwen: QwenSimulator
    minimax: MiniMaxSimulator

    def of(self, provider: str) -> JobSimulator:
        """By the provider's name in the config."""
        return {
            "up": self.openai,
            "seedance": self.ark,
            "happyhorse": self.dashscope,
            "kling": self.kling,
            "qwen-tts": self.qwen,
            "minimax": self.minimax,
        }[provider]


@dataclass(frozen=True, slots=True)
class Hub:
    """``key``: of the account that has all that there is."""

    server: Server
    upstreams: Upstreams
    key: str

    @property
    def url(self) -> str:
        return self.server.url

    def client(self, key: str | None = None) -> httpx2.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30)

    def strangers_key(self) -> str:
        """Of a new account with nothing in it."""
        self.server.cli("accounts", "create", "stranger")
        return self.server.new_key("stranger", "--account", "stranger")

    def job(self, shown_id: str) -> dict[str, Any]:
        return self.server.rows("SELECT * FROM jobs WHERE id = ?", canonical(shown_id))[0]

    def usage_by(self, answer: httpx2.Response) -> dict[str, Any]:
        """Of a call that is over, by its answer."""
        rows = self.server.rows("SELECT * FROM usage WHERE call_id = ?", answer.headers["x-request-id"])
        assert len(rows) == 1, f"there are {len(rows)} usage rows"
        return rows[0]

    def usage_of(self, shown_id: str) -> dict[str, Any]:
        """Of a job that has ended: there as soon as its end is."""
        rows = self.server.rows(
            "SELECT u.* FROM usage u JOIN ledger l USING (id) JOIN jobs j USING (hold_id) WHERE j.id = ?",
            canonical(shown_id),
        )
        assert len(rows) == 1, f"{shown_id} has {len(rows)} usage rows"
        return rows[0]

    def ended(self, shown_id: str) -> dict[str, Any]:
        """The job's row, once it has ended."""
        self.server.wait_until(
            lambda: self.job(shown_id)["state"] in ("succeeded", "failed", "cancelled"), within_s=END_S
        )
        return self.job(shown_id)

    def reached(self, shown_id: str, state: str) -> None:
        self.server.wait_until(lambda: self.job(shown_id)["state"] == state, within_s=END_S)

    def open_link(self, link: object) -> httpx2.Response:
        """As anybody may, without a key: it must be one of ours, which shows nothing of the upstream."""
        assert isinstance(link, str)
        assert LINK.fullmatch(link.removeprefix(PUBLIC_URL)), f"{link} is no link of the hub's"
        return httpx2.get(self.url + link.removeprefix(PUBLIC_URL))

    def got(self, asked: object, content: bytes) -> bool:
        """Whether ``content`` stands in what an upstream was asked: as a file, as base64, or behind a link of ours."""
        match asked:
            case dict():
                return any(self.got(value, content) for value in asked.values())
            case list():
                return any(self.got(value, content) for value in asked)
            case str() if asked.startswith(PUBLIC_URL):
                return self.open_link(asked).content == content
            case str():
                return base64.b64encode(content).decode() in asked
            case _:
                return getattr(asked, "content", None) == content

    def check_books(self) -> None:
        """Every hold of a job that has ended is given back, every charge is in the ledger, and the sums agree."""
        open_jobs = "SELECT count(*) AS n FROM jobs WHERE state IN ('new', 'submit_unknown', 'queued', 'in_progress')"
        held = self.server.rows("SELECT count(*) AS n FROM holds")[0]["n"]
        assert held == self.server.rows(open_jobs)[0]["n"], "a hold without an open job, or a job without its hold"
        wrong = self.server.rows(
            "SELECT u.model, u.cost_nano, sum(l.amount_nano) AS booked FROM usage u "
            "LEFT JOIN ledger l ON l.id = u.id AND l.kind = 'settlement' GROUP BY u.id "
            "HAVING coalesce(abs(booked), 0) != u.cost_nano"
        )
        assert wrong == []
        self.server.cli("ledger", "check")


LINK = re.compile(r"/files/[\w.-]+\?expires=\d+&sign=[\w-]+")


def canonical(shown_id: str) -> str:
    return "task_" + shown_id.partition("_")[2]


def fixture(name: str, **said: object) -> bytes:
    """The body of a fixture, byte for byte as it goes out, with what differs from run to run replaced by name wherever it
    stands."""
    body = json.loads((FIXTURES / f"{name}.json").read_text())["response"]["body"]
    found: set[str] = set()
    text = json.dumps(_replaced(body, said, found), separators=(",", ":"), ensure_ascii=False)
    assert found == said.keys(), f"{name} has no {said.keys() - found}"
    return text.encode()


def _replaced(value: object, said: Mapping[str, object], found: set[str]) -> object:
    if isinstance(value, list):
        return [_replaced(one, said, found) for one in value]
    if not isinstance(value, dict):
        return value
    found |= value.keys() & said.keys()
    return {name: said[name] if name in said else _replaced(inner, said, found) for name, inner in value.items()}


def recent(moment: object) -> int:
    """A unix time that is now."""
    assert isinstance(moment, int)
    assert abs(moment - time.time()) < 120
    return moment


@contextmanager
def upstreams() -> Iterator[Upstreams]:
    keys: dict[str, Any] = {"keys": (KEY,), "forbidden": ["sk_live_"], "fate": USUAL}
    all_ = Upstreams(
        OpenAIMediaSimulator(**keys),
        ArkSimulator(**keys),
        DashScopeSimulator(**keys),
        KlingSimulator(accounts={KLING_ACCESS: KLING_SECRET}, forbidden=["sk_live_"], fate=USUAL),
        QwenSimulator(**keys),
        MiniMaxSimulator(**keys),
    )
    with ExitStack() as stack:
        for one in (all_.openai, all_.ark, all_.dashscope, all_.kling, all_.qwen, all_.minimax):
            stack.enter_context(one.in_thread())
        yield all_


@contextmanager
def media_hub(home: Path) -> Iterator[Hub]:
    with upstreams() as all_:
        config = CONFIG
        for name, value in {
            "PUBLIC_URL": PUBLIC_URL,
            "KLING_URL": all_.kling.url,
            "KLING_ACCESS": KLING_ACCESS,
            "KLING_SECRET": KLING_SECRET,
            "ARK_URL": all_.ark.url,
            "DASHSCOPE_URL": all_.dashscope.url,
            "QWEN_URL": all_.qwen.url,
            "MINIMAX_URL": all_.minimax.url,
            "UP_URL": all_.openai.url,
            "UP_KEY": KEY,
        }.items():
            config = config.replace(name, str(value))
        with running(home, config) as server:
            hub = Hub(server, all_, server.new_key("media"))
            yield hub
            hub.check_books()
