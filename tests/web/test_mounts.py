"""In whose dialect an error under a path is told."""

from __future__ import annotations

import pytest

from relayhub.config.schema import RESERVED_PROVIDER_NAMES
from relayhub.dialects.openai_chat.errors import ErrorProfile
from relayhub.types.call import Dialect
from relayhub.web.mounts import Manner, manner_of

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
ANTHROPIC, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE
RELAY = ErrorProfile.RELAY


def manner(path: str, base_path: str = "", **headers: str) -> Manner | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return manner_of(path, named, {}, base_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", Manner(CHAT)),
        ("/v1", Manner(CHAT)),
        ("/v1/nowhere", Manner(CHAT)),
        ("/v1/responses", Manner(RESPONSES)),
        ("/v1/messages", Manner(ANTHROPIC)),
        ("/v1/messages/count_tokens", Manner(ANTHROPIC)),
        ("/v1/models/m:generateContent", Manner(GEMINI)),
        ("/v1/models/m", Manner(CHAT)),
        ("/v1beta/models", Manner(GEMINI)),
        ("/v1alpha/nowhere", Manner(GEMINI)),
        ("/api/relay/v1/chat/completions", Manner(CHAT, RELAY)),
        ("/claude/v1/messages", Manner(ANTHROPIC)),
        ("/gemini/v1beta/models/m:generateContent", Manner(GEMINI)),
        ("/kling/v1/chat/completions", Manner(CHAT)),
        ("/api/health", None),
        ("/api/v1/chat", None),
        ("/a/b/v1/chat/completions", None),
        ("/v2/chat", None),
        ("/", None),
    ],
)
def test_the_path_decides(path: str, expected: Manner | None) -> None:
    assert manner(path) == expected
    assert manner("/hub" + path, "/hub") == expected


def test_a_path_outside_the_base_belongs_to_no_mount() -> None:
    assert manner("/v1/messages", "/hub") is None


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m"])
def test_the_clients_headers_decide_where_dialects_share_a_path(path: str) -> None:
    assert manner(path) == Manner(CHAT)
    assert manner(path, anthropic_version="2023-06-01") == Manner(ANTHROPIC)
    assert manner(path, x_goog_api_key="k") == Manner(GEMINI)
    assert manner_of(path, {}, {"key": "k"}, "") == Manner(GEMINI)
    assert manner_of(path, {}, {"pageSize": "5"}, "") == Manner(GEMINI)


def test_first_words_of_the_hubs_own_paths_are_reserved() -> None:
    assert {"v1", "v1beta", "v1alpha", "api", "livez", "readyz"} <= set(RESERVED_PROVIDER_NAMES)
