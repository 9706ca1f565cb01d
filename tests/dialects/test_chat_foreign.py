"""What other dialects' requests lose on their way to a chat upstream is named, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.types.chat import (
    ChatRequest,
    FilePart,
    Media,
    Message,
    OpaquePart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
    ToolMode,
)
from relayhub.types.errors import ClientError

CODEC = OpenAIChat()
CLAUDE, GEMINI, RESPONSES = "anthropic.messages", "gemini.generate", "openai.responses"
HELLO = Message(Role.USER, (TextPart("hello"),))


def encoded(dialect: str, *messages: Message, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    sent = CODEC.encode_request(ChatRequest(dialect, "m", messages or (HELLO,), **fields), model="m")
    return json.loads(sent.body), sent.dropped


@pytest.mark.parametrize(
    ("dialect", "fields", "dropped"),
    [
        (CLAUDE, {"sampling": Sampling(top_k=3)}, ("top_k",)),
        (GEMINI, {"sampling": Sampling(top_k=3)}, ("topK",)),
        (CLAUDE, {"metadata": {"user_id": "u"}, "user": "u"}, ("metadata.user_id",)),
        (RESPONSES, {"metadata": {"a": "b"}, "user": "u"}, ()),
        (CLAUDE, {"extras": {"context_management": {"edits": []}, "speed": None}}, ("context_management",)),
        (CLAUDE, {"tools": (Tool("f", extras={"cache_control": {"type": "ephemeral"}}),)}, ("cache_control",)),
        (RESPONSES, {"extras": {"service_tier": "flex", "store": True, RESPONSES: {"input": 1}}}, ()),
    ],
)
def test_what_is_left_out_is_named(dialect: str, fields: dict[str, Any], dropped: tuple[str, ...]) -> None:
    assert encoded(dialect, **fields)[1] == dropped


def test_cache_marks_are_named_wherever_they_are_but_once() -> None:
    marked = TextPart("x", {"cache_control": {"type": "ephemeral"}})
    messages = Message(Role.SYSTEM, (marked,)), Message(Role.USER, (marked, marked))
    assert encoded(CLAUDE, *messages)[1] == ("cache_control",)


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        (CLAUDE, {"messages": (HELLO, Message(Role.ASSISTANT, (TextPart("{"),)))}, "messages[1]"),
        (GEMINI, {"messages": (HELLO, Message(Role.ASSISTANT, (TextPart("{"),)))}, "contents[1]"),
        (GEMINI, {"sampling": Sampling(stop=tuple("abcde"))}, "stopSequences"),
        (GEMINI, {"extras": {"cachedContent": "c"}, "essential": ("cachedContent",)}, "cachedContent"),
        (CLAUDE, {"tools": (Tool("t", opaque=OpaquePart(CLAUDE, "bash_20250124", {})),)}, "tools[0]"),
        (CLAUDE, {"messages": (Message(Role.USER, (FilePart(Media(file_id="f")),)),)}, "messages[0].content[0]"),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(dialect: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        encoded(dialect, *fields.pop("messages", ()), **fields)
    assert caught.value.param == param


def test_fields_that_openais_dialects_share_go_along() -> None:
    extras = {"service_tier": "flex", "prompt_cache_key": "k", "text": {"verbosity": "low"}, "truncation": "auto"}
    body, _ = encoded(RESPONSES, extras=extras, metadata={"a": "b"}, user="u")
    assert {key: body.get(key) for key in ("service_tier", "prompt_cache_key", "verbosity", "metadata", "user")} == {
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "verbosity": "low",
        "metadata": {"a": "b"},
        "user": "u",
    }


def test_custom_tools_of_responses_change_their_shape() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "x"}
    tool = Tool("raw", opaque=OpaquePart(RESPONSES, "custom", {"type": "custom", "name": "raw", "format": form}))
    opaque = OpaquePart(RESPONSES, "custom", {"type": "custom", "name": "raw"})
    body, _ = encoded(RESPONSES, tools=(tool,), tool_choice=ToolChoice(ToolMode.REQUIRED, ("raw",), opaque=opaque))
    grammar = {"syntax": "lark", "definition": "x"}
    inner = {"name": "raw", "format": {"type": "grammar", "grammar": grammar}}
    assert body["tools"] == [{"type": "custom", "custom": inner}]
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "raw"}}


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        (None, "application/pdf", "file.pdf"),
        (None, None, "file.pdf"),
        (None, "text/plain", "file.plain"),
        ("a", None, "a"),
    ],
)
def test_file_data_always_has_a_name(given: str | None, kind: str | None, name: str) -> None:
    part = FilePart(Media(data="AA==", media_type=kind), given)
    body, _ = encoded(GEMINI, Message(Role.USER, (part,)))
    assert body["messages"][0]["content"][0]["file"]["filename"] == name
