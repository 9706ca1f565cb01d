"""The demo models and what they pretend to cost: above zero, so that quota moves."""

from __future__ import annotations

from collections.abc import Mapping

CHAT = "demo-chat"
EMBEDDING = "demo-embedding"
SLOW = "demo-slow"
FAIL_429 = "demo-fail-429"
FAIL_503 = "demo-fail-503"
CUT_STREAM = "demo-cut-stream"

CHAT_MODELS = frozenset({CHAT, SLOW, FAIL_429, FAIL_503, CUT_STREAM})

_CHAT_PRICE: Mapping[str, object] = {"input": "0.10", "output": "0.40"}

DEMO_MODELS: Mapping[str, Mapping[str, object]] = {
    CHAT: {"price": _CHAT_PRICE},
    EMBEDDING: {"price": {"input": "0.02"}, "operations": ["embeddings"]},
    SLOW: {"price": _CHAT_PRICE},
    FAIL_429: {"price": _CHAT_PRICE},
    FAIL_503: {"price": _CHAT_PRICE},
    CUT_STREAM: {"price": _CHAT_PRICE},
}
