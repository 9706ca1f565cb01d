from __future__ import annotations

import json

import pytest

import relayhub_gemini
from relayhub.sdk import (
    ChatRequest,
    Dialect,
    EmbeddingRequest,
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
from relayhub_gemini.provider import GeminiProvider
from relayhub_gemini.settings import GeminiSettings
from relayhub_gemini.traits import target_of

KEY = "AIza-canary-0123456789"


class TestGemini(RegistrationSuite, NativeSuite, ModelListSuite):
    provider_type = relayhub_gemini.GEMINI
    package = relayhub_gemini
    settings = {"api_key": KEY}
    served = {
        Dialect.GEMINI_GENERATE: (Operation.CHAT, Operation.COUNT_TOKENS),
        Dialect.GEMINI_EMBEDDINGS: (Operation.EMBEDDINGS,),
    }
    list_bodies = (
        b'{"models":[{"name":"models/b"},{"name":"tunedModels/a"}],"nextPageToken":"t=1"}',
        b'{"models":[{"name":"models/c"}]}',
    )
    listed = ("b", "tunedModels/a", "c")


def provider(**settings: object) -> GeminiProvider:
    parsed = GeminiSettings.model_validate({"api_key": KEY, **settings})
    return GeminiProvider(parsed, ProviderContext("p", FakeClock(), "relayhub/test"))


def native(operation: Operation, framing: Framing | None = None, body: bytes = b"{}", model: str = "m") -> HttpRequest:
    wire = provider(base_url="https://x.test/v1beta/").native(Dialect.GEMINI_GENERATE)
    assert wire is not None
    return wire.request(NativeCall(operation, model, body, framing))


@pytest.mark.parametrize(
    ("operation", "framing", "body", "verb"),
    [
        (Operation.CHAT, None, b"{}", "generateContent"),
        (Operation.CHAT, Framing.SSE, b"{}", "streamGenerateContent?alt=sse"),
        (Operation.CHAT, Framing.ARRAY, b"{}", "streamGenerateContent"),
        (Operation.COUNT_TOKENS, None, b"{}", "countTokens"),
        (Operation.EMBEDDINGS, None, b'{"content":{"parts":[{"text":"\\"requests\\""}]}}', "embedContent"),
        (Operation.EMBEDDINGS, None, b'{"requests":[]}', "batchEmbedContents"),
    ],
)
def test_each_operation_has_its_verb(operation: Operation, framing: Framing | None, body: bytes, verb: str) -> None:
    assert native(operation, framing, body).url == f"https://x.test/v1beta/models/m:{verb}"


def test_a_models_name_cannot_leave_its_place_in_the_path() -> None:
    assert (
        native(Operation.CHAT, model="models/../a?b").url == "https://x.test/v1beta/models/..%2Fa%3Fb:generateContent"
    )


def test_the_key_is_in_a_header() -> None:
    assert native(Operation.CHAT).headers["x-goog-api-key"] == KEY


REQUEST = ChatRequest("openai.chat", "m", (Message(Role.USER, (TextPart("hi"),)),), reasoning=Reasoning(effort="high"))


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("gemini-2.0-flash", None),
        ("gemini-2.5-flash", {"thinkingBudget": 24_576, "includeThoughts": True}),
        ("gemini-2.5-flash-image", None),
        ("gemini-3-pro-preview", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-9-new", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemma-3-27b-it", None),
    ],
)
def test_each_generation_thinks_in_its_own_way(model: str, thinking: object) -> None:
    sent = provider().chat().request(model, REQUEST)
    assert isinstance(sent.body, bytes)
    assert json.loads(sent.body).get("generationConfig", {}).get("thinkingConfig") == thinking


def test_the_operators_word_counts_more_than_the_table() -> None:
    settings = GeminiSettings.model_validate(
        {"api_key": KEY, "model_traits": {"gemini-*": {"levels": ["LOW"]}}, "thinking_budgets": {"low": 7}}
    )
    target = target_of("models/gemini-3.5-flash", settings)
    assert (target.levels, target.budgets["low"]) == (frozenset({"LOW"}), 7)


def test_links_are_fetched_by_the_hub() -> None:
    assert getattr(provider().chat(), "inline_media", False) is True


def test_embeddings_of_other_dialects_are_asked_for_in_one_batch() -> None:
    wire = provider().embeddings()
    request = wire.request("e", EmbeddingRequest("e", ("a", "b")))
    assert isinstance(request.body, bytes)
    assert request.url.endswith("/models/e:batchEmbedContents")
    assert [one["content"]["parts"] for one in json.loads(request.body)["requests"]] == [
        [{"text": "a"}],
        [{"text": "b"}],
    ]


def count(reply: HttpReply) -> int:
    steps = provider().count_tokens("gemini-3.5-flash", REQUEST)
    request = next(steps)
    assert isinstance(request.body, bytes)
    inner = json.loads(request.body)["generateContentRequest"]
    assert inner["model"] == "models/gemini-3.5-flash"
    try:
        steps.send(reply)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("one request is enough")


def test_it_counts_for_clients_of_other_dialects() -> None:
    assert count(HttpReply(200, {}, b'{"totalTokens": 14}')) == 14
    for status, body in ((500, b""), (200, b"{}")):
        with pytest.raises(UpstreamError):
            count(HttpReply(status, {}, body))
