"""Requests of other dialects for an Anthropic upstream: its order of turns, its thinking, and what it cannot say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relayhub.dialects.anthropic_messages import AnthropicMessages, AnthropicTarget, ThinkingStyle
from relayhub.types.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    FormatKind,
    ImagePart,
    Media,
    Message,
    OpaquePart,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from relayhub.types.errors import ClientError

CODEC = AnthropicMessages()
BUDGET = AnthropicTarget(64_000, ThinkingStyle.BUDGET, both_samplings=False)
ADAPTIVE = AnthropicTarget(64_000)
PNG = Media(data="iVBORw0KGgo=", media_type="image/png")


def user(*parts: Part) -> Message:
    return Message(Role.USER, parts or (TextPart("go"),))


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def encoded(*messages: Message, target: AnthropicTarget = ADAPTIVE, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    request = ChatRequest(fields.pop("dialect", "openai.chat"), "m", messages or (user(),), **fields)
    sent = CODEC.encode_request(request, model="up", target=target)
    return json.loads(sent.body), sent.dropped


CALLS = assistant(TextPart("ok"), ToolCallPart("a.1", "f", ""), ToolCallPart("b", "g", '{"x":1}'))
RESULTS = (
    Message(Role.TOOL, (ToolResultPart("b", (TextPart("two"), ImagePart(PNG))),)),
    Message(Role.TOOL, (ToolResultPart("a.1", (TextPart("one"),), is_error=True),)),
)


def test_all_results_of_a_turn_come_first_in_one_user_message() -> None:
    body, dropped = encoded(
        Message(Role.SYSTEM, (TextPart("s1"),)),
        Message(Role.DEVELOPER, (TextPart("s2"),)),
        user(),
        CALLS,
        *RESULTS,
        user(TextPart("and?")),
    )
    assert body["system"] == "s1\n\ns2"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    _, calls, results = (message["content"] for message in body["messages"])
    first = calls[1]["id"]
    assert [(block["type"], block.get("id"), block.get("input")) for block in calls] == [
        ("text", None, None),
        ("tool_use", first, {}),
        ("tool_use", "b", {"x": 1}),
    ]
    assert [(block["type"], block.get("tool_use_id"), block.get("is_error")) for block in results] == [
        ("tool_result", "b", None),
        ("tool_result", first, True),
        ("text", None, None),
    ]
    assert [block["type"] for block in results[0]["content"]] == ["text", "image"]
    assert dropped == ()


def test_ids_that_are_not_allowed_come_back_as_they_were() -> None:
    body, _ = encoded(user(), CALLS, *RESULTS, user())
    request = json.dumps({"model": "m", "max_tokens": 1, "messages": body["messages"]}).encode()
    again = CODEC.decode_request(request, CODEC.envelope(request))
    assert [part.id for part in again.messages[1].parts if isinstance(part, ToolCallPart)] == ["a.1", "b"]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((user(), CALLS, RESULTS[0], user()), "'a.1'"),
        ((user(), CALLS, RESULTS[0]), "'a.1'"),
        ((user(), RESULTS[0]), "no open tool call"),
        ((user(), assistant(ToolCallPart("a", "f", "[1]"))), "not a JSON object"),
        ((user(), assistant(ToolCallPart("a", "f", '{"x"'))), "not a JSON object"),
        ((assistant(TextPart("hi")), user()), "first turn must be the user's"),
        ((user(), assistant(TextPart("{"))), "at the end"),
        ((user(AudioPart(Media(data="AA==", media_type="audio/wav"))),), "audio"),
        ((user(ImagePart(Media(data="AA==", media_type="image/tiff"))),), "image/tiff"),
        ((user(FilePart(Media(file_id="file-1"))),), "uploaded file"),
        ((user(OpaquePart("gemini.generate", "videoMetadata", {})),), "videoMetadata"),
        ((user(TextPart("")),), "user message with content"),
    ],
)
def test_what_this_upstream_would_refuse_is_refused_here_by_name(messages: tuple[Message, ...], said: str) -> None:
    with pytest.raises(ClientError, match=said.replace("(", r"\(")):
        encoded(*messages)


@pytest.mark.parametrize(
    ("fields", "expected", "dropped"),
    [
        ({}, {"max_tokens": 64_000}, ()),
        ({"max_output_tokens": 9}, {"max_tokens": 9}, ()),
        ({"sampling": Sampling(temperature=1.5)}, {"temperature": 1}, ("temperature",)),
        ({"sampling": Sampling(temperature=0.5, top_k=3)}, {"temperature": 0.5, "top_k": 3}, ()),
        ({"sampling": Sampling(stop=("a", ""))}, {"stop_sequences": ["a"]}, ()),
        (
            {"sampling": Sampling(seed=0, presence_penalty=0.0, frequency_penalty=1.0)},
            {},
            ("seed", "frequency_penalty"),
        ),
        ({"user": "u"}, {"metadata": None}, ("user",)),
        (
            {"parallel_tool_calls": False, "tools": (Tool("f"),)},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            (),
        ),
        (
            {"tools": (Tool("f", strict=True),), "tool_choice": ToolChoice(ToolMode.REQUIRED)},
            {"tool_choice": {"type": "any"}},
            (),
        ),
        (
            {"tools": (Tool("f"), Tool("g")), "tool_choice": ToolChoice(ToolMode.REQUIRED, ("g",))},
            {"tool_choice": {"type": "tool", "name": "g"}},
            (),
        ),
        ({"tools": (Tool("f"),), "tool_choice": ToolChoice(ToolMode.NONE)}, {"tool_choice": {"type": "none"}}, ()),
        ({"output_format": OutputFormat(FormatKind.JSON_OBJECT)}, {"output_config": None}, ("response_format",)),
        (
            {"output_format": OutputFormat(FormatKind.JSON_SCHEMA, "n", {"type": "object", "$schema": "x"})},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            (),
        ),
    ],
)
def test_parameters(fields: dict[str, Any], expected: dict[str, Any], dropped: tuple[str, ...]) -> None:
    body, left_out = encoded(**fields)
    assert {key: body.get(key) for key in expected} == expected
    assert left_out == dropped


def test_a_subset_of_tools_is_all_that_is_sent() -> None:
    choice = ToolChoice(ToolMode.AUTO, ("g",), subset=True)
    body, _ = encoded(tools=(Tool("f"), Tool("g", parameters={"$schema": "x"})), tool_choice=choice)
    assert body["tools"] == [{"name": "g", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize(
    "fields", [{"choices": 2}, {"sampling": Sampling(logprobs=True)}, {"sampling": Sampling(stop=(" ",))}]
)
def test_what_has_no_equal_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ClientError):
        encoded(**fields)


def test_a_model_of_the_newest_kind_takes_no_sampling() -> None:
    target = replace(ADAPTIVE, sampling=False)
    body, dropped = encoded(target=target, sampling=Sampling(temperature=1, top_p=0.5, top_k=None))
    assert "temperature" not in body
    assert dropped == ("top_p",)


@pytest.mark.parametrize(
    ("target", "reasoning", "thinking", "effort"),
    [
        (ADAPTIVE, Reasoning(effort="minimal"), "adaptive", "low"),
        (ADAPTIVE, Reasoning(effort="high"), "adaptive", "high"),
        (
            replace(ADAPTIVE, efforts=frozenset({"low", "medium", "high"})),
            Reasoning(effort="xhigh"),
            "adaptive",
            "high",
        ),
        (ADAPTIVE, Reasoning(effort="none"), "disabled", None),
        (replace(ADAPTIVE, disables=False), Reasoning(effort="none"), None, "low"),
        (ADAPTIVE, Reasoning(budget_tokens=8_000), "adaptive", "medium"),
        (BUDGET, Reasoning(effort="none"), "disabled", None),
    ],
)
def test_reasoning(target: AnthropicTarget, reasoning: Reasoning, thinking: str | None, effort: str | None) -> None:
    body, _ = encoded(target=target, reasoning=reasoning)
    assert (body.get("thinking") or {}).get("type") == thinking
    assert (body.get("output_config") or {}).get("effort") == effort


@pytest.mark.parametrize(
    ("reasoning", "cap", "budget", "max_tokens"),
    [
        (Reasoning(effort="low"), 9_000, 2_048, 9_000),
        (Reasoning(effort="high"), 4_096, 16_384, 20_480),
        (Reasoning(budget_tokens=100), None, 1_024, 64_000),
        (Reasoning(effort="max"), None, 32_000, 64_000),
    ],
)
def test_a_budget_is_always_below_the_cap(reasoning: Reasoning, cap: int | None, budget: int, max_tokens: int) -> None:
    body, _ = encoded(target=BUDGET, reasoning=reasoning, max_output_tokens=cap)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget, "display": "summarized"}
    assert body["max_tokens"] == max_tokens


def test_a_forced_tool_switches_a_budget_off_and_says_so() -> None:
    choice = {"tools": (Tool("f"),), "tool_choice": ToolChoice(ToolMode.REQUIRED)}
    body, dropped = encoded(target=BUDGET, reasoning=Reasoning(effort="low"), **choice)
    assert "thinking" not in body
    assert dropped == ("thinking",)


SIGNED = ReasoningPart("hm", signature="S", signer="anthropic.messages")
CALL, RESULT = ToolCallPart("a", "f", "{}"), Message(Role.TOOL, (ToolResultPart("a", (TextPart("1"),)),))


def test_signed_thinking_of_this_upstream_leads_its_turn() -> None:
    body, dropped = encoded(user(), assistant(SIGNED, CALL), RESULT, target=BUDGET, reasoning=Reasoning(effort="low"))
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "S"}
    assert body["thinking"]["type"] == "enabled"
    assert dropped == ()


@pytest.mark.parametrize("other", [ReasoningPart("hm"), ReasoningPart("", signature="G", signer="gemini.generate")])
@pytest.mark.parametrize("target", [BUDGET, ADAPTIVE])
def test_without_it_thinking_is_off_and_that_is_said(other: ReasoningPart, target: AnthropicTarget) -> None:
    body, dropped = encoded(user(), assistant(other, CALL), RESULT, target=target, reasoning=Reasoning(effort="low"))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert body["thinking"] == {"type": "disabled"}
    assert dropped == ("thinking",)


def test_files_and_texts() -> None:
    text = FilePart(Media(data="aGk=", media_type="text/plain"), "a.txt")
    pdf = FilePart(Media(data="JVBERi0=", media_type="application/pdf"))
    link = ImagePart(Media(url="https://x.test/a.png"), detail="low")
    body, dropped = encoded(user(text, pdf, link))
    assert [block["source"]["type"] for block in body["messages"][0]["content"]] == ["text", "base64", "url"]
    assert body["messages"][0]["content"][0]["title"] == "a.txt"
    assert dropped == ("detail",)


def test_a_thought_that_comes_back_in_pieces_is_whole_again_under_its_signature() -> None:
    signer = "anthropic.messages"
    last = ReasoningPart("tools.", "S", signer=signer, extras={"openai.responses": {"item": {"id": "rs_1"}}})
    turn = assistant(ReasoningPart("I need "), ReasoningPart("both "), last, CALLS.parts[2])
    body, _ = encoded(user(), turn, RESULTS[0], reasoning=Reasoning("low"))
    thinking, call = body["messages"][1]["content"]
    assert thinking == {"type": "thinking", "thinking": "I need both tools.", "signature": "S"}
    assert call["type"] == "tool_use"


def test_a_thought_that_nobody_signed_belongs_to_no_later_one() -> None:
    signed = ReasoningPart("mine", "S", signer="anthropic.messages")
    turn = assistant(ReasoningPart("whose?"), TextPart("so"), signed, CALLS.parts[2])
    body, _ = encoded(user(), turn, RESULTS[0], reasoning=Reasoning("low"))
    text, thinking, _ = body["messages"][1]["content"]
    assert (text["text"], thinking["thinking"]) == ("so", "mine")
