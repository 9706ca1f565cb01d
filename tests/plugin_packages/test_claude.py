from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

import relayhub_claude
from relayhub.sdk import (
    ChatRequest,
    Dialect,
    Framing,
    HttpReply,
    HttpRequest,
    Message,
    NativeCall,
    Operation,
    ProviderContext,
    Reasoning,
    Role,
    TextPart,
    UpstreamError,
)
from relayhub.testing import FakeClock, ModelListSuite, NativeSuite, RegistrationSuite
from relayhub_claude.provider import ClaudeProvider
from relayhub_claude.settings import ClaudeSettings
from relayhub_claude.traits import target_of

KEY = "sk-ant-canary-0123456789"


class TestClaude(RegistrationSuite, NativeSuite, ModelListSuite):
    provider_type = relayhub_claude.CLAUDE
    package = relayhub_claude
    settings = {"api_key": KEY}
    served = {Dialect.ANTHROPIC_MESSAGES: (Operation.CHAT, Operation.COUNT_TOKENS)}
    list_bodies = (
        b'{"data":[{"type":"model","id":"b"},{"id":"a"}],"has_more":true,"last_id":"a"}',
        b'{"data":[{"type":"model","id":"c"}],"has_more":false}',
    )
    listed = ("b", "a", "c")


def provider(**settings: object) -> ClaudeProvider:
    parsed = ClaudeSettings.model_validate({"api_key": KEY, **settings})
    return ClaudeProvider(parsed, ProviderContext("p", FakeClock(), "relayhub/test"))


def native(headers: dict[str, str] | None = None, **settings: object) -> HttpRequest:
    wire = provider(**settings).native(Dialect.ANTHROPIC_MESSAGES)
    assert wire is not None
    return wire.request(NativeCall(Operation.CHAT, "m", b"{}", Framing.SSE, headers or {}))


REQUEST = ChatRequest("openai.chat", "m", (Message(Role.USER, (TextPart("hi"),)),), reasoning=Reasoning(effort="high"))


def translated(model: str, **settings: object) -> Any:
    body = provider(**settings).chat().request(model, REQUEST).body
    assert isinstance(body, bytes)
    return json.loads(body)


@pytest.mark.parametrize("base", ["https://x.test", "https://x.test/", "https://x.test/v1"])
def test_the_address_is_as_the_vendors_own_sdk_takes_it(base: str) -> None:
    assert native(base_url=base).url == "https://x.test/v1/messages"


def test_a_clients_version_and_betas_go_along_with_the_operators_but_not_its_account() -> None:
    given = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a, b",
        "anthropic-workspace-id": "ws",
        "anthropic-user-profile-id": "up",
        "content-type": "application/json",
    }
    headers = native(given, betas=["b", "c"]).headers
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["anthropic-beta"] == "a,b,c"
    assert headers["anthropic-user-profile-id"] == "up"
    assert "anthropic-workspace-id" not in headers
    assert headers["x-api-key"] == KEY


def test_without_a_version_the_configured_one_is_named() -> None:
    assert native().headers["anthropic-version"] == "2023-06-01"
    assert native(version="2026-10-21").headers["anthropic-version"] == "2026-10-21"


def test_a_key_may_travel_as_bearer() -> None:
    headers = native(api_key_header="authorization").headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in headers


@pytest.mark.parametrize(
    "settings", [{"api_key": ""}, {"api_key": "a\nb"}, {"base_url": "ftp://x"}, {"api_key_header": "host"}]
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        provider(**settings)


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-3-5-haiku-20241022", None),
        ("claude-3-7-sonnet-latest", {"type": "enabled", "budget_tokens": 16_384, "display": "summarized"}),
        ("claude-sonnet-4-5-20250929", {"type": "enabled", "budget_tokens": 16_384, "display": "summarized"}),
        ("claude-sonnet-4-6", {"type": "adaptive", "display": "summarized"}),
        ("claude-something-new", {"type": "adaptive", "display": "summarized"}),
    ],
)
def test_each_generation_thinks_in_its_own_way(model: str, thinking: object) -> None:
    assert translated(model).get("thinking") == thinking


def test_the_operators_word_counts_more_than_the_table() -> None:
    traits = {"claude-*": {"max_output_tokens": 5}, "claude-sonnet-*": {"thinking": "none", "max_output_tokens": 7}}
    settings = ClaudeSettings.model_validate(
        {"api_key": KEY, "model_traits": traits, "thinking_budgets": {"low": 3000}}
    )
    target = target_of("claude-sonnet-4-6", settings)
    assert (target.max_output_tokens, target.thinking.value, target.budgets["low"]) == (7, "none", 3000)
    assert target_of("claude-opus-4-6", settings).max_output_tokens == 5


def count(reply: HttpReply) -> int:
    steps = provider().count_tokens("claude-sonnet-4-6", REQUEST)
    request = next(steps)
    assert isinstance(request.body, bytes)
    assert request.url.endswith("/v1/messages/count_tokens")
    assert not {"max_tokens", "stream"} & set(json.loads(request.body))
    try:
        steps.send(reply)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("one request is enough")


def test_it_counts_for_clients_of_other_dialects() -> None:
    assert count(HttpReply(200, {}, b'{"input_tokens": 14}')) == 14
    for status, body in ((500, b""), (200, b"{}"), (200, b'{"input_tokens": -1}')):
        with pytest.raises(UpstreamError):
            count(HttpReply(status, {}, body))
