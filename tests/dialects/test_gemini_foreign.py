"""Requests of other dialects for Gemini upstreams: written, refused by name, or left out and named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.effort import EFFORTS
from relayhub.dialects.gemini_generate import GeminiGenerate, GeminiTarget, ThinkingStyle
from relayhub.dialects.openai_chat import OpenAIChat
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
from tests.dialects.observed import fixtures
from tests.dialects.views import decoded

CODEC = GeminiGenerate()
CHAT, CLAUDE, RESPONSES, OWN = "openai.chat", "anthropic.messages", "openai.responses", "gemini.generate"
PLACEHOLDER = "skip_thought_signature_validator"
HELLO = Message(Role.USER, (TextPart("hello"),))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="
IMAGE = ImagePart(Media(data=PNG, media_type="image/png"))
OLD = GeminiTarget(ThinkingStyle.BUDGET, json_schema=False, validated=False, signatures=False, result_media=False)


def encoded(
    *messages: Message, dialect: str = CHAT, target: GeminiTarget | None = None, **fields: Any
) -> tuple[Any, tuple[str, ...]]:
    request = ChatRequest(dialect, "m", messages or (HELLO,), **fields)
    sent = CODEC.encode_request(request, model="m", target=target or GeminiTarget())
    return json.loads(sent.body), sent.dropped


def config(**fields: Any) -> Any:
    return encoded(**fields)[0].get("generationConfig")


def contents(*messages: Message, **fields: Any) -> Any:
    return encoded(*messages, **fields)[0]["contents"]


def system(text: str, role: Role = Role.SYSTEM) -> Message:
    return Message(role, (TextPart(text),))


def user(*parts: Any) -> Message:
    return Message(Role.USER, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def model(*parts: Any) -> Message:
    return Message(Role.ASSISTANT, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def call(call_id: str = "a", arguments: str = '{"x":1}', **fields: Any) -> ToolCallPart:
    return ToolCallPart(call_id, f"f_{call_id}", arguments, **fields)


def result(call_id: str = "a", text: str = "ok", *more: Any, **fields: Any) -> Message:
    return Message(Role.TOOL, (ToolResultPart(call_id, (TextPart(text), *more), **fields),))


# --- turns ------------------------------------------------------------------------------------------------------------


def test_leading_system_messages_join_and_later_ones_are_wrapped() -> None:
    body, _ = encoded(system("a"), system("b", Role.DEVELOPER), HELLO, model("x"), system("late"), user("y"))
    assert body["systemInstruction"] == {"parts": [{"text": "a\n\nb"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "hello"}]},
        {"role": "model", "parts": [{"text": "x"}]},
        {"role": "user", "parts": [{"text": "<system>\nlate\n</system>"}, {"text": "y"}]},
    ]


def test_turns_of_one_side_are_merged_and_empty_texts_left_out() -> None:
    assert contents(user("a", ""), user("b"), model("c"), model("", "d"), user("e")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ((model("a"), HELLO), "messages[0]"),
        ((HELLO, model("a")), "messages[1]"),
        ((system("a"),), "messages"),
        ((user(""),), "messages"),
        ((HELLO, model(call())), "messages[1]"),
        ((HELLO, model(call()), user("b")), "messages[1]"),
        ((HELLO, model(call("a"), call("b")), result("a"), model("c"), HELLO), "messages[1]"),
        ((HELLO, result("zzz")), "messages[1].content[0]"),
        ((HELLO, model(call()), result(), result()), "messages[3].content[0]"),
        ((HELLO, model(call(), call()), result()), "messages[1].content[1]"),
        ((HELLO, model(call(arguments="{")), result()), "messages[1].content[0]"),
        ((HELLO, model(call(arguments="[1]")), result()), "messages[1].content[0]"),
        ((HELLO, model(ToolCallPart("a", "f", "x", custom=True)), result()), "messages[1].content[0]"),
        ((user(ImagePart(Media(url="https://example.com/a.png"))),), "messages[0].content[0]"),
        ((user(FilePart(Media(file_id="file-1"))),), "messages[0].content[0]"),
        ((user(OpaquePart(CHAT, "odd", {})),), "messages[0].content[0]"),
        ((Message(Role.SYSTEM, (IMAGE,)), HELLO), "messages[0]"),
    ],
)
def test_what_cannot_be_said_is_refused_by_place(messages: tuple[Message, ...], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        encoded(*messages)
    assert caught.value.param == param


# --- calls and results ------------------------------------------------------------------------------------------------


def test_results_stand_in_one_content_in_the_order_of_the_calls_before_all_else() -> None:
    turns = contents(
        HELLO, model("t", call("a"), call("b", "")), result("b", "two"), result("a", '{"k":1}'), user("go")
    )
    assert turns[1]["parts"] == [
        {"text": "t"},
        {"functionCall": {"id": "a", "name": "f_a", "args": {"x": 1}}, "thoughtSignature": PLACEHOLDER},
        {"functionCall": {"id": "b", "name": "f_b", "args": {}}},
    ]
    assert turns[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "a", "name": "f_a", "response": {"k": 1}}},
            {"functionResponse": {"id": "b", "name": "f_b", "response": {"output": "two"}}},
            {"text": "go"},
        ],
    }


@pytest.mark.parametrize(
    ("text", "is_error", "response"),
    [
        ("x", False, {"output": "x"}),
        ("x", True, {"error": "x"}),
        ("", False, {"output": ""}),
        ("[1]", False, {"output": "[1]"}),
        ('{"a":{"b":1}}', False, {"a": {"b": 1}}),
        ('{"a":1}', True, {"error": '{"a":1}'}),
    ],
)
def test_a_result_is_an_object(text: str, is_error: bool, response: Any) -> None:
    turns = contents(HELLO, model(call()), result("a", text, is_error=is_error))
    assert turns[2]["parts"][0]["functionResponse"]["response"] == response


def test_images_of_results_stand_inside_or_behind_all_results() -> None:
    messages = (HELLO, model(call("a"), call("b")), result("a", "x", IMAGE), result("b"))
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    inside = contents(*messages)[2]["parts"]
    assert inside[0]["functionResponse"]["parts"] == [inline]
    assert len(inside) == 2
    behind = contents(*messages, target=OLD)[2]["parts"]
    assert ["functionResponse" in part for part in behind] == [True, True, False]
    assert behind[2] == inline


def test_a_real_signature_goes_back_where_it_was_and_nobody_elses() -> None:
    own = call("a", signature="c2ln", signer=OWN)
    foreign = call("b", signature="zzz", signer=CLAUDE)
    steps = contents(HELLO, model(own), result("a"), model(foreign), result("b"))
    assert [steps[at]["parts"][0]["thoughtSignature"] for at in (1, 3)] == ["c2ln", PLACEHOLDER]
    older = contents(HELLO, model(own), result("a"), model(foreign), result("b"), target=OLD)
    assert ["thoughtSignature" in older[at]["parts"][0] for at in (1, 3)] == [True, False]


def test_only_own_signed_thinking_goes_back() -> None:
    turn = model(
        ReasoningPart("theirs", "x", signer=CLAUDE),
        ReasoningPart("nobody's"),
        ReasoningPart("mine", "c2ln", signer=OWN),
        "text",
        ReasoningPart("", "ZW5k", signer=OWN),
    )
    assert contents(HELLO, turn, user("go"))[1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "text", "thoughtSignature": "ZW5k"},
    ]


# --- media ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (IMAGE, "image/png"),
        (ImagePart(Media(data=PNG)), "image/png"),
        (AudioPart(Media(data="UklGRg==", media_type="audio/wav")), "audio/wav"),
        (AudioPart(Media(data="SUQz", media_type="audio/mpeg")), "audio/mp3"),
        (FilePart(Media(data="JVBERi0=")), "application/pdf"),
        (FilePart(Media(data="YQ==", media_type="text/plain")), "text/plain"),
    ],
)
def test_media_go_inline_under_their_type(part: Any, kind: str) -> None:
    [written] = contents(user(part))[0]["parts"]
    assert written == {"inlineData": {"mimeType": kind, "data": part.media.data}}


def test_details_that_have_no_place_are_named() -> None:
    detailed = ImagePart(IMAGE.media, "low")
    named = FilePart(Media(data="JVBERi0="), "a.pdf")
    assert encoded(user(detailed, named, ImagePart(IMAGE.media, "auto")))[1] == ("detail", "filename")
    [part] = contents(user(detailed), target=GeminiTarget(part_resolution=True))[0]["parts"]
    assert part["mediaResolution"] == {"level": "MEDIA_RESOLUTION_LOW"}


# --- tools ------------------------------------------------------------------------------------------------------------

SCHEMA: dict[str, Any] = {"$schema": "s", "type": "object", "properties": {"title": {"type": ["string", "null"]}}}
TOOL = Tool("f", "d", SCHEMA)


def test_schemas_go_as_they_are_or_converted() -> None:
    [new] = encoded(tools=(TOOL,))[0]["tools"]
    assert new["functionDeclarations"] == [
        {
            "name": "f",
            "description": "d",
            "parametersJsonSchema": {"type": "object", "properties": SCHEMA["properties"]},
        }
    ]
    [old] = encoded(tools=(TOOL,), target=OLD)[0]["tools"]
    assert old["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"title": {"type": "STRING", "nullable": True}},
    }


@pytest.mark.parametrize(
    "parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}, "additionalProperties": False}]
)
@pytest.mark.parametrize("target", [GeminiTarget(), OLD])
def test_a_function_that_takes_nothing_has_no_parameters(parameters: Any, target: GeminiTarget) -> None:
    [tool] = encoded(tools=(Tool("f", parameters=parameters),), target=target)[0]["tools"]
    assert tool == {"functionDeclarations": [{"name": "f"}]}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.REQUIRED, ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ToolMode.REQUIRED, ("f", "g"), True), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice(ToolMode.AUTO, ("f",), True), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choices(choice: ToolChoice, calling: Any) -> None:
    body, _ = encoded(tools=(TOOL, Tool("g")), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": calling}


def test_a_subset_without_validated_sends_only_those_tools() -> None:
    body, _ = encoded(tools=(TOOL, Tool("g")), tool_choice=ToolChoice(ToolMode.AUTO, ("g",), True), target=OLD)
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == ["g"]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}


def test_strict_tools_are_validated_or_named() -> None:
    strict = (Tool("f", parameters=SCHEMA, strict=True),)
    assert encoded(tools=strict)[0]["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    body, dropped = encoded(tools=strict, target=OLD)
    assert ("toolConfig" in body, dropped) == (False, ("strict",))


def test_hosted_tools_are_refused() -> None:
    with pytest.raises(ClientError) as caught:
        encoded(tools=(TOOL, Tool("bash", opaque=OpaquePart(CLAUDE, "bash_20250124", {}))), dialect=CLAUDE)
    assert caught.value.param == "tools[1]"


# --- parameters -------------------------------------------------------------------------------------------------------


def test_sampling_and_limits() -> None:
    sampling = Sampling(0.5, 0.9, 40, 7, 0.1, -0.1, ("x", "y"), None, True, 3)
    assert config(sampling=sampling, max_output_tokens=9, choices=2) == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "stopSequences": ["x", "y"],
        "responseLogprobs": True,
        "logprobs": 3,
        "maxOutputTokens": 9,
        "candidateCount": 2,
    }


def test_nothing_said_says_nothing() -> None:
    assert encoded()[0] == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


@pytest.mark.parametrize(("dialect", "param"), [(CHAT, "stop"), (CLAUDE, "stop_sequences")])
def test_too_many_stop_sequences_are_refused(dialect: str, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        encoded(dialect=dialect, sampling=Sampling(stop=tuple("abcdef")))
    assert caught.value.param == param
    assert config(sampling=Sampling(stop=tuple("abcde")))["stopSequences"] == list("abcde")


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"user": "u"}, ("user",)),
        ({"user": "u", "metadata": {"user_id": "u"}, "dialect": CLAUDE}, ("metadata.user_id",)),
        ({"metadata": {"a": "b"}}, ("metadata",)),
        ({"extras": {"service_tier": "flex", "stop": "x", "n": 1, "stream": False}}, ("service_tier",)),
        ({"extras": {"store": True, RESPONSES: {"input": True}}, "dialect": RESPONSES}, ()),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"parallel_tool_calls": True}, ()),
        ({"parallel_tool_calls": False, "dialect": CLAUDE}, ("disable_parallel_tool_use",)),
        ({"sampling": Sampling(logit_bias={"1": 2})}, ("logit_bias",)),
        ({"sampling": Sampling(seed=1 << 40)}, ("seed",)),
        ({"sampling": Sampling(presence_penalty=0, frequency_penalty=0.0)}, ()),
        ({"sampling": Sampling(presence_penalty=1), "target": GeminiTarget(penalties=False)}, ("presence_penalty",)),
    ],
)
def test_what_is_left_out_is_named(fields: dict[str, Any], dropped: tuple[str, ...]) -> None:
    body, named = encoded(**fields)
    assert named == dropped
    assert "generationConfig" not in body


def test_essential_fields_of_others_are_refused() -> None:
    with pytest.raises(ClientError) as caught:
        encoded(dialect=RESPONSES, extras={"previous_response_id": "r"}, essential=("previous_response_id",))
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("output", "target", "expected"),
    [
        (OutputFormat(FormatKind.TEXT), GeminiTarget(), None),
        (OutputFormat(FormatKind.JSON_OBJECT), GeminiTarget(), {"responseMimeType": "application/json"}),
        (
            OutputFormat(FormatKind.JSON_SCHEMA, "n", {"type": "object"}, True),
            GeminiTarget(),
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
        (
            OutputFormat(FormatKind.JSON_SCHEMA, "n", {"type": "object"}),
            OLD,
            {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}},
        ),
    ],
)
def test_output_formats(output: OutputFormat, target: GeminiTarget, expected: Any) -> None:
    assert config(output_format=output, target=target) == expected


# --- thinking ---------------------------------------------------------------------------------------------------------

SHOWN = {"includeThoughts": True}


def thinking(wish: Reasoning, target: GeminiTarget, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    body, dropped = encoded(reasoning=wish, target=target, **fields)
    return (body.get("generationConfig") or {}).get("thinkingConfig"), dropped


LEVELS = dict(zip(EFFORTS, ("MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"), strict=True))
BUDGETS = dict(zip(EFFORTS, (0, 512, 1024, 8192, 24576, 24576, 24576), strict=True))
PRO = GeminiTarget(levels=frozenset({"LOW", "HIGH"}))
WITH_XHIGH = GeminiTarget(levels=frozenset({"LOW", "MEDIUM", "HIGH", "XHIGH"}))
BUDGETED = GeminiTarget(ThinkingStyle.BUDGET)
ALWAYS = GeminiTarget(ThinkingStyle.BUDGET, min_budget=128, max_budget=32_768, disables=False)


@pytest.mark.parametrize("effort", EFFORTS)
def test_efforts_become_levels(effort: str) -> None:
    shown = {} if effort == "none" else SHOWN
    dropped = ("reasoning_effort",) if effort == "none" else ()
    assert thinking(Reasoning(effort), GeminiTarget()) == ({**shown, "thinkingLevel": LEVELS[effort]}, dropped)


@pytest.mark.parametrize(
    ("effort", "target", "level"),
    [("minimal", PRO, "LOW"), ("medium", PRO, "HIGH"), ("max", PRO, "HIGH"), ("xhigh", WITH_XHIGH, "XHIGH")],
)
def test_levels_that_a_model_lacks_become_the_next(effort: str, target: GeminiTarget, level: str) -> None:
    assert thinking(Reasoning(effort), target)[0]["thinkingLevel"] == level


@pytest.mark.parametrize("effort", EFFORTS)
def test_efforts_become_budgets(effort: str) -> None:
    shown = {} if effort == "none" else SHOWN
    assert thinking(Reasoning(effort), BUDGETED) == ({**shown, "thinkingBudget": BUDGETS[effort]}, ())


def test_a_model_that_always_thinks_thinks_least() -> None:
    assert thinking(Reasoning("none"), ALWAYS) == ({"thinkingBudget": 128}, ("reasoning_effort",))
    assert thinking(Reasoning("max"), ALWAYS)[0]["thinkingBudget"] == 32_768


@pytest.mark.parametrize(
    ("wish", "target", "expected"),
    [
        (Reasoning(budget_tokens=5000, enabled=True), BUDGETED, {**SHOWN, "thinkingBudget": 5000}),
        (Reasoning(budget_tokens=99_999, enabled=True), BUDGETED, {**SHOWN, "thinkingBudget": 24_576}),
        (Reasoning(budget_tokens=5000, enabled=True), GeminiTarget(), {**SHOWN, "thinkingLevel": "MEDIUM"}),
        (Reasoning(enabled=True), BUDGETED, {**SHOWN, "thinkingBudget": -1}),
        (Reasoning(enabled=True), GeminiTarget(), SHOWN),
        (Reasoning(enabled=False), BUDGETED, {"thinkingBudget": 0}),
        (Reasoning("low", include=False), GeminiTarget(), {"thinkingLevel": "LOW"}),
        (Reasoning(), GeminiTarget(), None),
    ],
)
def test_claudes_thinking(wish: Reasoning, target: GeminiTarget, expected: Any) -> None:
    assert thinking(wish, target, dialect=CLAUDE)[0] == expected


def test_responses_shows_thoughts_only_where_a_summary_is_asked_for() -> None:
    assert thinking(Reasoning("low"), GeminiTarget(), dialect=RESPONSES)[0] == {"thinkingLevel": "LOW"}
    wish = Reasoning("low", include=True)
    assert thinking(wish, GeminiTarget(), dialect=RESPONSES)[0] == {**SHOWN, "thinkingLevel": "LOW"}


def test_a_model_that_does_not_think_says_so() -> None:
    none = GeminiTarget(ThinkingStyle.NONE)
    assert thinking(Reasoning("low"), none) == (None, ("reasoning_effort",))
    assert thinking(Reasoning("none"), none) == (None, ())


@pytest.mark.parametrize(
    ("cap", "most", "sent"),
    [(1000, 65_536, (9192, 8192)), (1000, 4000, (4000, 2000)), (1000, None, (1000, 500)), (9000, None, (9000, 8192))],
)
def test_the_cap_makes_room_for_thinking(cap: int, most: int | None, sent: tuple[int, int]) -> None:
    target = GeminiTarget(ThinkingStyle.BUDGET, max_output_tokens=most)
    body = config(reasoning=Reasoning("medium"), max_output_tokens=cap, target=target)
    assert (body["maxOutputTokens"], body["thinkingConfig"]["thinkingBudget"]) == sent


def test_a_cap_without_room_turns_thinking_off() -> None:
    target = GeminiTarget(ThinkingStyle.BUDGET, min_budget=512, max_output_tokens=600)
    assert thinking(Reasoning("medium"), target, max_output_tokens=600) == (
        {"thinkingBudget": 0},
        ("reasoning_effort",),
    )


SENT = [fixture for fixture in fixtures("openai_chat") if fixture.id != "error_400"]


@pytest.mark.parametrize("fixture", SENT, ids=lambda fixture: fixture.id)
def test_what_chat_clients_send_has_no_foreign_words_in_it(fixture: Any) -> None:
    request = decoded(OpenAIChat(), fixture.request)
    body = json.loads(CODEC.encode_request(request, model="m", target=GeminiTarget()).body)
    assert set(body) <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
