"""Requests of Gemini clients: nothing is lost, both spellings are read, and calls find their results without ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.codec import Framing
from relayhub.dialects.gemini_generate import GeminiGenerate, GeminiTarget
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.signatures import mark_base64
from relayhub.types.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    FormatKind,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
)
from relayhub.types.errors import ClientError
from tests.dialects.observed import Fixture, fixtures

CODEC = GeminiGenerate()
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="
HELLO = {"role": "user", "parts": [{"text": "hello"}]}


def decoded(body: Any) -> ChatRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CODEC.decode_request(raw, CODEC.envelope(raw, model="m"))


def again(body: Any) -> Any:
    return json.loads(CODEC.encode_request(decoded(body), model="m", target=GeminiTarget()).body)


def asked(**fields: Any) -> dict[str, Any]:
    return {"contents": [HELLO], **fields}


def parts(*values: Any, role: str = "user") -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(values)}]}


@pytest.mark.parametrize("fixture", fixtures("gemini"), ids=lambda fixture: fixture.id)
def test_fixtures_come_back_equal(fixture: Fixture) -> None:
    assert again(fixture.request) == json.loads(fixture.request)


WHOLE = asked(
    systemInstruction={"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
    tools=[
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
                },
                {"name": "g", "parametersJsonSchema": {"type": "object", "properties": {"title": {"type": "string"}}}},
                {"name": "h", "behavior": "NON_BLOCKING"},
                {"name": "i", "parameters": {"type": "STRING", "example": "x", "format": "odd"}},
            ]
        },
        {"googleSearch": {}},
        {"urlContext": {}},
    ],
    toolConfig={
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
        "retrievalConfig": {"languageCode": "no"},
    },
    generationConfig={
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "maxOutputTokens": 100,
        "stopSequences": ["x"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "1:1"},
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
    },
    safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    cachedContent="cachedContents/abc",
    labels={"my_label": "x"},
    serviceTier="flex",
    store=False,
)


def test_every_field_comes_back() -> None:
    assert again(WHOLE) == WHOLE


@pytest.mark.parametrize(
    "fields",
    [
        {"generationConfig": {}},
        {"generationConfig": {"candidateCount": 1}},
        {"generationConfig": {"responseModalities": ["TEXT"]}},
        {"generationConfig": {"responseMimeType": "text/plain"}},
        {"generationConfig": {"responseMimeType": "application/json"}},
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}},
        {"generationConfig": {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}},
        {"generationConfig": {"thinkingConfig": {}}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": False}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
        {"continuationToken": "t"},
    ],
)
def test_a_field_by_itself_comes_back(fields: dict[str, Any]) -> None:
    assert again(asked(**fields)) == asked(**fields)


PARTS: list[dict[str, Any]] = [
    {"text": "a"},
    {"text": ""},
    {"text": "a", "thoughtSignature": "c2ln"},
    {"text": "", "thoughtSignature": "c2ln"},
    {"text": "a", "thought": True},
    {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
    {"inlineData": {"mimeType": "image/png", "data": PNG}},
    {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": "c2ln"},
    {"inlineData": {"mimeType": "image/png", "data": PNG}, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}},
    {"inlineData": {"mimeType": "image/png", "data": PNG}, "mediaResolution": {"level": "MEDIA_RESOLUTION_MEDIUM"}},
    {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a.pdf"}},
    {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
    {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}, "videoMetadata": {"fps": 1}},
    {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
    {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/a.pdf"}},
    {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
    {"functionCall": {"id": "c1", "name": "f"}, "thoughtSignature": "c2ln"},
    {"functionCall": {"name": "f", "args": {}}},
    {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "x"}}},
    {"functionResponse": {"name": "f", "response": {"output": {"a": 1}}}},
    {"functionResponse": {"name": "f", "response": {"output": '{"a": 1}'}}},
    {"functionResponse": {"name": "f", "response": {"error": "x"}}},
    {"functionResponse": {"name": "f", "response": {}, "willContinue": True}},
    {
        "functionResponse": {
            "name": "f",
            "response": {},
            "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
        }
    },
    {"executableCode": {"language": "PYTHON", "code": "1"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    {"toolCall": {"id": "x", "toolType": "GOOGLE_SEARCH", "args": {"a_b": 1}}},
    {"somethingNew": {"aB": [1]}, "thoughtSignature": "c2ln"},
]


@pytest.mark.parametrize("part", PARTS, ids=json.dumps)
def test_every_part_comes_back(part: dict[str, Any]) -> None:
    assert again(parts(part)) == parts(part)


@given(st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5), min_size=1, max_size=4), st.data())
def test_any_conversation_comes_back(turns: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    roles = st.sampled_from(["user", "model", "function", None])
    contents: list[dict[str, Any]] = []
    for turn in turns:
        role = data.draw(roles)
        if role == "model" and contents and contents[-1].get("role") == "model":
            role = "user"  # contents of one turn come back as one
        kept = [part for part in turn if part != {"text": ""}] or turn[:1]
        contents.append({**({"role": role} if role else {}), "parts": kept})
    assert again({"contents": contents}) == {"contents": contents}


def test_both_spellings_are_read_and_names_of_the_clients_stay() -> None:
    body = {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}]}],
        "system_instruction": {"parts": [{"text": "s"}]},
        "generation_config": {
            "max_output_tokens": 5,
            "thinking_config": {"include_thoughts": True, "thinking_level": "high"},
        },
        "tools": [
            {
                "function_declarations": [
                    {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {"my_key": {"type": "string", "min_length": "2"}},
                        },
                    }
                ]
            }
        ],
    }
    request = decoded(body)
    assert isinstance(request.messages[1].parts[0], ImagePart)
    assert request.max_output_tokens == 5
    assert request.reasoning is not None
    assert (request.reasoning.include, request.reasoning.effort) == (True, "high")
    assert request.tools[0].parameters == {
        "type": "object",
        "properties": {"my_key": {"type": "string", "minLength": 2}},
    }
    args = {
        "contents": [
            {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {"my_arg": {"b_c": 1}}}}]}
        ]
    }
    assert again(args) == args


def test_a_field_in_both_spellings_is_refused() -> None:
    with pytest.raises(ClientError) as caught:
        decoded({**asked(), "generationConfig": {"topP": 1, "top_p": 0.5}})
    assert caught.value.param == "generationConfig.topP"


@pytest.mark.parametrize("value", [40, 40.0, "40"])
def test_integers_may_be_written_in_three_ways(value: Any) -> None:
    assert decoded(asked(generationConfig={"topK": value})).sampling.top_k == 40


def test_the_role_may_be_missing_and_a_single_part_needs_no_list() -> None:
    request = decoded({"contents": {"parts": {"text": "hello"}}})
    assert request.messages[0].role is Role.USER
    assert request.messages[0].parts == (TextPart("hello"),)


def test_calls_without_ids_find_their_results_by_name_and_order() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    result = {"functionResponse": {"name": "f", "response": {"output": "x"}}}
    contents = [HELLO, {"role": "model", "parts": [call, call]}, {"role": "user", "parts": [result, result]}]
    request = decoded({"contents": contents})
    calls = [part.id for part in request.messages[1].parts if isinstance(part, ToolCallPart)]
    results = [part.call_id for part in request.messages[2].parts if isinstance(part, ToolResultPart)]
    assert calls == results
    assert len(set(calls)) == 2
    assert again({"contents": contents}) == {"contents": contents}


def test_foreign_signatures_are_unmarked_and_never_sent_upstream() -> None:
    marked = mark_base64("anthropic.messages", "sig")
    contents = [
        HELLO,
        {"role": "model", "parts": [{"text": "I ", "thought": True}]},
        {"role": "model", "parts": [{"text": "think", "thought": True}]},
        {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": marked}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "f"}}, {"text": ""}]},
    ]
    request = decoded({"contents": contents})
    assert request.messages[1].parts[0] == ReasoningPart("I think", "sig", signer="anthropic.messages")
    assert len(request.messages[1].parts) == 2
    sent = CODEC.encode_request(request, model="m", target=GeminiTarget()).body
    assert marked.encode() not in sent
    assert b"think" not in sent


def test_redacted_thinking_comes_back_as_such() -> None:
    marked = mark_base64("anthropic.messages", "redacted:xyz")
    request = decoded(parts({"text": "", "thought": True, "thoughtSignature": marked}, role="model"))
    assert request.messages[0].parts == (ReasoningPart("", redacted="xyz", signer="anthropic.messages"),)


def test_what_other_dialects_can_say_gets_the_hubs_words() -> None:
    request = decoded(
        asked(
            toolConfig={"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f"]}},
            generationConfig={"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}},
        )
    )
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names) == (ToolMode.REQUIRED, ("f",))
    assert request.output_format is not None
    assert (request.output_format.kind, request.output_format.schema) == (FormatKind.JSON_SCHEMA, {"type": "string"})


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (PARTS[6], ImagePart),
        (PARTS[10], FilePart),
        (PARTS[11], AudioPart),
        (PARTS[12], OpaquePart),
        (PARTS[14], FilePart),
    ],
)
def test_media_are_what_others_call_them(part: dict[str, Any], kind: type) -> None:
    assert isinstance(decoded(parts(part)).messages[0].parts[0], kind)


def test_only_links_that_anybody_can_follow_are_portable() -> None:
    def media(uri: str) -> tuple[Any, Any]:
        part = decoded(parts({"fileData": {"mimeType": "image/png", "fileUri": uri}})).messages[0].parts[0]
        assert isinstance(part, ImagePart)
        return part.media.url, part.media.file_id

    assert media("https://example.com/a.png") == ("https://example.com/a.png", None)
    for uri in (
        "gs://b/a.png",
        "https://www.youtube.com/watch?v=1",
        "https://generativelanguage.googleapis.com/files/1",
    ):
        assert media(uri) == (None, uri)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"cachedContent": "c"}, "cachedContent"),
        ({"continuationToken": "c"}, "continuationToken"),
        ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "generationConfig.responseModalities"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0]"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]}]},
            "contents[0].content[0]",
        ),
    ],
)
def test_another_dialect_refuses_what_only_gemini_can_do(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        OpenAIChat().encode_request(decoded({**asked(), **fields}), model="m")
    assert caught.value.param == param


def test_another_dialect_names_what_it_leaves_out_but_no_spellings() -> None:
    body = asked(
        systemInstruction={"parts": [{"text": "s"}]},
        safetySettings=[{"category": "X"}],
        generationConfig={"topK": 3, "imageConfig": {"aspectRatio": "1:1"}, "candidateCount": 1},
    )
    sent = OpenAIChat().encode_request(decoded(body), model="m")
    assert sorted(sent.dropped) == ["generationConfig.imageConfig", "safetySettings", "topK"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        (asked(generationConfig={"maxOutputTokens": 0}), "generationConfig.maxOutputTokens"),
        (asked(generationConfig={"candidateCount": "x"}), "generationConfig.candidateCount"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        (parts({"functionCall": {"args": {}}}), "contents[0].parts[0].functionCall.name"),
        (parts({"inlineData": {"mimeType": "image/png", "data": "!"}}), "contents[0].parts[0].inlineData.data"),
        (parts(1), "contents[0].parts[0]"),
        (asked(tools=[{"functionDeclarations": [{"description": "x"}]}]), "tools[0].functionDeclarations[0].name"),
    ],
)
def test_errors_name_the_place(body: Any, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        decoded(body)
    assert caught.value.param == param


def test_the_envelope_takes_model_and_framing_from_the_path() -> None:
    body = json.dumps(asked(generation_config={"max_output_tokens": "9", "candidateCount": 2})).encode()
    envelope = CODEC.envelope(body, model="models/gemini-x", framing=Framing.ARRAY)
    assert (envelope.model, envelope.stream, envelope.framing) == ("gemini-x", True, Framing.ARRAY)
    assert (envelope.output_cap, envelope.choices, envelope.user) == (9, 2, None)
    assert CODEC.envelope(body, model="m").stream is False


def test_a_streamed_turn_that_was_kept_chunk_by_chunk_is_one_turn_again() -> None:
    def chunk(**part: Any) -> dict[str, Any]:
        return {"role": "model", "parts": [part]}

    contents = [HELLO, chunk(text="a"), chunk(text="b"), chunk(text="c", thoughtSignature="c2ln"), chunk(text="d")]
    request = decoded({"contents": contents})
    signature = ReasoningPart("", "c2ln", signer="gemini.generate", wire_field="thoughtSignature")
    assert request.messages[1].parts == (TextPart("ab"), TextPart("c"), signature, TextPart("d"))
