"""The demo models and what they pretend to cost: above zero, so that quota moves."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import PriceList

CHAT = "demo-chat"
EMBEDDING = "demo-embedding"
SLOW = "demo-slow"
FAIL_429 = "demo-fail-429"
FAIL_503 = "demo-fail-503"
CUT_STREAM = "demo-cut-stream"
IMAGE = "demo-image"
SPEECH = "demo-speech"
VIDEO = "demo-video"
JOB_FAILED = "demo-job-failed"

CHAT_MODELS = frozenset({CHAT, SLOW, FAIL_429, FAIL_503, CUT_STREAM})
VIDEO_MODELS = frozenset({VIDEO, JOB_FAILED})

_VIDEO: Mapping[str, object] = {"price": {"video": {"*": "0.05"}}, "operations": ["video"]}
_CHAT_PRICE: Mapping[str, object] = {"input": "0.10", "output": "0.40"}

DEMO_MODELS: Mapping[str, Mapping[str, object]] = {
    CHAT: {"price": _CHAT_PRICE},
    EMBEDDING: {"price": {"input": "0.02"}, "operations": ["embeddings"]},
    SLOW: {"price": _CHAT_PRICE},
    FAIL_429: {"price": _CHAT_PRICE},
    FAIL_503: {"price": _CHAT_PRICE},
    CUT_STREAM: {"price": _CHAT_PRICE},
    IMAGE: {"price": {"image": {"*": "0.02"}}, "operations": ["image"]},
    SPEECH: {"price": {"characters": "15"}, "operations": ["speech"]},
    VIDEO: _VIDEO,
    JOB_FAILED: _VIDEO,
}

PRICES = PriceList(
    as_of="2026-07-01",
    source="made up, as everything here",
    prices={
        f"{CHAT}*": _CHAT_PRICE,
        EMBEDDING: {"input": "0.02"},
        SLOW: _CHAT_PRICE,
        "demo-fail-*": _CHAT_PRICE,
        CUT_STREAM: _CHAT_PRICE,
    },
)
