"""Whole answers of Gemini, counts and model lists: in both lanes, for its own clients and for others'."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.codec import ClientView
from relayhub.dialects.gemini_generate import GeminiGenerate, GeminiTarget
from relayhub.dialects.gemini_generate.count import count_envelope, decode_count, encode_count, unwrap_count
from relayhub.dialects.gemini_generate.models import encode_model, encode_models
from relayhub.dialects.gemini_generate.usage import read_usage, write_usage
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.signatures import mark_base64
from relayhub.types.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    FinishReason,
    ImageForm,
    ImagePart,
    Media,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import ClientError, ErrorKind, UpstreamError
from relayhub.types.model_card import ModelCard
from relayhub.types.usage import Usage
from tests.dialects.observed import Fixture, fixtures, observe_reply
from tests.dialects.views import envelope
from tests.dialects.views import view as chat_view

CODEC = GeminiGenerate()
WHOLE = [fixture for fixture in fixtures("gemini") if not fixture.streamed and fixture.status == 200]
SHOWING = ChatRequest("gemini.generate", "m", (), reasoning=Reasoning(include=True))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="
INLINE: dict[str, Any] = {"inlineData": {"mimeType": "image/png", "data": PNG}}


def view(*, model: str = "m", upstream: str = "m", **fields: Any) -> ClientView:
    return ClientView(envelope("m", stream=False), model, upstream, **fields)


def reply(*parts: Any, finish: str | None = "STOP", **extra: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return json.dumps({"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **extra}).encode()


def answer(*parts: Any, finish: FinishReason = FinishReason.STOP, **fields: Any) -> ChatReply:
    return ChatReply("", "m", 0, (Choice(0, Message(Role.ASSISTANT, tuple(parts)), finish),), **fields)


def parts_of(body: bytes) -> Any:
    return json.loads(body)["candidates"][0]["content"]["parts"]


@pytest.mark.parametrize("fixture", WHOLE, ids=lambda fixture: fixture.id)
def test_answers_pass_untouched_and_are_read_and_written_equal(fixture: Fixture) -> None:
    body, usage = CODEC.native_reply(fixture.response, view())
    assert body == fixture.response
    expected = fixture.expect["usage"]
    assert usage == Usage(expected["input"], expected["output"], expected["cached"])
    decoded = CODEC.decode_reply(fixture.response)
    assert decoded.usage == usage
    written = CODEC.encode_reply(decoded, view(model="gemini-test-1"))
    assert json.loads(written) == json.loads(fixture.response)


@pytest.mark.parametrize("fixture", [f for f in WHOLE if f.id != "image_inline"], ids=lambda fixture: fixture.id)
def test_chat_clients_see_the_same(fixture: Fixture) -> None:
    seen = observe_reply(OpenAIChat().encode_reply(CODEC.decode_reply(fixture.response), chat_view()))
    assert seen.text == fixture.expect["text"]
    assert seen.finish == {0: "content_filter" if "blocked" in fixture.expect["finish"] else "stop"}


def test_parts_are_what_the_hub_calls_them() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": "é"}}, "thoughtSignature": "c2ln"}
    draft: dict[str, Any] = {**INLINE, "thought": True}
    code: dict[str, Any] = {"executableCode": {"language": "PYTHON", "code": "1"}}
    decoded = CODEC.decode_reply(
        reply({"text": "t", "thought": True}, draft, {"text": "a", "thoughtSignature": "ZW5k"}, INLINE, code, call)
    )
    *parts, last = decoded.choices[0].message.parts
    own = "gemini.generate"
    assert parts == [
        ReasoningPart("t", signer=own),
        OpaquePart(own, "inlineData", draft),
        TextPart("a"),
        ReasoningPart("", "ZW5k", signer=own, wire_field="thoughtSignature"),
        ImagePart(Media(data=PNG, media_type="image/png")),
        OpaquePart(own, "executableCode", code),
    ]
    assert isinstance(last, ToolCallPart)
    assert (last.name, last.arguments, last.signature, last.signer) == ("f", '{"a":"é"}', "c2ln", own)
    assert last.id.startswith("call_")
    assert decoded.choices[0].finish is FinishReason.TOOL_CALLS


def test_nothing_signed_is_lost_on_the_way_to_a_gemini_client_and_back() -> None:
    given = [
        {"text": "a", "thoughtSignature": "YQ=="},
        {**INLINE, "thoughtSignature": "Yg=="},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "Yw=="},
        {"text": "", "thoughtSignature": "ZA=="},
    ]
    assert parts_of(CODEC.encode_reply(CODEC.decode_reply(reply(*given)), view())) == given


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "upstream_invalid_response"),
        (b"[]", "upstream_invalid_response"),
        (b"{}", "upstream_invalid_response"),
        (b'{"candidates":[]}', "upstream_invalid_response"),
        (b'{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}', "upstream_rate_limited"),
        (b'{"error":"odd"}', "upstream_error"),
    ],
)
def test_what_is_no_answer_is_an_error_in_both_lanes(body: bytes, code: str) -> None:
    for read in (CODEC.decode_reply, lambda data: CODEC.native_reply(data, view())):
        with pytest.raises(UpstreamError) as caught:
            read(body)
        assert caught.value.code == code


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "OTHER", "NO_IMAGE", None])
def test_an_answer_that_failed_is_an_error_only_if_it_says_nothing(word: str | None) -> None:
    assert CODEC.decode_reply(reply({"text": "a"}, finish=word)).choices[0].finish is FinishReason.STOP
    with pytest.raises(UpstreamError) as caught:
        CODEC.decode_reply(reply({"text": "t", "thought": True}, finish=word))
    assert (caught.value.kind, caught.value.delivered) == (ErrorKind.UPSTREAM_FAILED, True)


def test_an_answer_cut_while_thinking_is_empty_but_an_answer() -> None:
    body = json.dumps(
        {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": {"promptTokenCount": 1}}
    ).encode()
    decoded = CODEC.decode_reply(body)
    assert (decoded.choices[0].finish, decoded.choices[0].message.parts) == (FinishReason.LENGTH, ())


# --- writing for clients ----------------------------------------------------------------------------------------------


def test_answers_of_others_are_written_whole() -> None:
    thought = ReasoningPart("t", "sig", signer="anthropic.messages")
    hidden = ReasoningPart("", redacted="xyz", signer="anthropic.messages")
    call = ToolCallPart("c1", "f", '{"a":1}')
    whole = answer(thought, hidden, TextPart("a"), call, finish=FinishReason.TOOL_CALLS, usage=Usage(3, 2, 1, 0, 1))
    body = json.loads(CODEC.encode_reply(whole, view(model="public", call_id="c9", request=SHOWING)))
    assert body == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "t", "thought": True, "thoughtSignature": mark_base64("anthropic.messages", "sig")},
                        {
                            "text": "",
                            "thought": True,
                            "thoughtSignature": mark_base64("anthropic.messages", "redacted:xyz"),
                        },
                        {"text": "a"},
                        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 1,
            "totalTokenCount": 5,
            "cachedContentTokenCount": 1,
            "thoughtsTokenCount": 1,
        },
        "modelVersion": "public",
        "responseId": "c9",
    }
    assert parts_of(CODEC.encode_reply(whole, view()))[0] == {"text": "a"}


def test_a_signed_turn_comes_back_from_the_client_as_it_was() -> None:
    thought = ReasoningPart("t", "sig", signer="anthropic.messages")
    call = ToolCallPart("c1", "f", '{"a":1}')
    body = CODEC.encode_reply(answer(thought, TextPart("a"), call), view(request=SHOWING))
    contents = [{"role": "user", "parts": [{"text": "q"}]}, json.loads(body)["candidates"][0]["content"]]
    raw = json.dumps({"contents": contents}).encode()
    assert CODEC.decode_request(raw, CODEC.envelope(raw, model="m")).messages[1].parts == (thought, TextPart("a"), call)


def test_an_empty_answer_still_has_a_part() -> None:
    assert parts_of(CODEC.encode_reply(answer(), view())) == [{"text": ""}]
    filtered = json.loads(CODEC.encode_reply(answer(finish=FinishReason.CONTENT_FILTER), view()))
    assert filtered["candidates"] == [{"finishReason": "SAFETY", "index": 0}]


def test_arguments_that_are_no_object_are_an_error_unless_the_answer_was_cut() -> None:
    call = ToolCallPart("c", "f", '{"a"')
    assert parts_of(CODEC.encode_reply(answer(call, finish=FinishReason.LENGTH), view())) == [{"text": ""}]
    with pytest.raises(UpstreamError):
        CODEC.encode_reply(answer(call), view())


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (ImageForm.INLINE, [{"text": "a"}, INLINE]),
        (ImageForm.TEXT, [{"text": "a"}, {"text": PNG}]),
        (ImageForm.BOTH, [{"text": "a"}, {"text": PNG}, INLINE]),
    ],
)
def test_images_in_the_form_of_the_model_in_both_lanes(form: ImageForm, expected: Any) -> None:
    [fixture] = [fixture for fixture in WHOLE if fixture.id == "image_inline"]
    expected = [{"text": "Here it is."}, *expected[1:]]
    asked = view(image_form=form)
    assert parts_of(CODEC.native_reply(fixture.response, asked)[0]) == expected
    assert parts_of(CODEC.encode_reply(CODEC.decode_reply(fixture.response), asked)) == expected


def test_the_text_form_is_the_one_that_relays_are_known_for() -> None:
    inline, relayed = (next(f for f in WHOLE if f.id == name) for name in ("image_inline", "image_as_text_relay"))
    written = CODEC.native_reply(inline.response, view(image_form=ImageForm.TEXT))[0]
    assert parts_of(written)[1:] == parts_of(relayed.response)


def test_only_the_models_name_is_replaced() -> None:
    body = b'{ "candidates" : [ {"content":{"parts":[{"text":"\\u0041"}]}} ] ,"modelVersion": "up-1" }'
    renamed, _ = CODEC.native_reply(body, view(model="public", upstream="up"))
    assert renamed == body.replace(b'"up-1"', b'"public"')


# --- requests in the byte lane ----------------------------------------------------------------------------------------


def test_requests_pass_untouched_but_for_a_model_that_they_name() -> None:
    def sent(body: bytes) -> bytes:
        return CODEC.native_request(body, model="up", envelope=envelope("m"))

    body = b'{ "contents":[{"parts":[{"text":"\\u0041 model"}]}], "unknown_thing": 1.0 }'
    assert sent(body) == body
    assert sent(b'{"model":"models/m","contents":[]}') == b'{"model":"models/up","contents":[]}'
    wrapped = b'{"generateContentRequest":{ "model": "models/m","contents":[ ]}}'
    assert sent(wrapped) == wrapped.replace(b"models/m", b"models/up")


def test_marked_signatures_do_not_reach_the_upstream() -> None:
    marked, own = mark_base64("anthropic.messages", "sig"), "c2ln"
    parts = [
        {"text": "t", "thought": True, "thoughtSignature": marked},
        {"text": "a", "thoughtSignature": own},
        {"functionCall": {"name": "f"}, "thought_signature": marked},
    ]
    body = json.dumps({"contents": [{"role": "model", "parts": parts}]}).encode()
    sent = json.loads(CODEC.native_request(body, model="m", envelope=envelope("m")))
    assert sent["contents"][0]["parts"] == [
        {"text": "t", "thought": True},
        {"text": "a", "thoughtSignature": own},
        {"functionCall": {"name": "f"}, "thought_signature": "skip_thought_signature_validator"},
    ]


@pytest.mark.parametrize("signer", ["openai.chat", "openai.responses", "anthropic.messages"])
@given(value=st.text(max_size=5))
def test_every_marked_signature_is_noticed(signer: str, value: str) -> None:
    marked = mark_base64(signer, value)
    body = json.dumps({"contents": [{"parts": [{"text": "", "thoughtSignature": marked}]}]}).encode()
    assert marked.encode() not in CODEC.native_request(body, model="m", envelope=envelope("m"))


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}, Usage(5, 3)),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 10},
            Usage(5, 5, 0, 0, 2),
        ),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 10},
            Usage(5, 5, 0, 0, 2),
        ),
        (
            {"promptTokenCount": 5, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 10},
            Usage(9, 1),
        ),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, Usage(5, 0, 5)),
        ({"promptTokenCount": "5", "candidatesTokenCount": "3"}, Usage(5, 3)),
        ({"promptTokenCount": -5}, None),
        ({"promptTokenCount": 5, "candidatesTokenCount": 1 << 40}, None),
        ({"promptTokenCount": True}, None),
        ({"totalTokenCount": 5}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_believed_within_reason(said: Any, usage: Usage | None) -> None:
    assert read_usage(said) == usage


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_usage_comes_back_equal(given_: int, made: int, cached: int, thought: int) -> None:
    usage = Usage(given_, made, min(cached, given_), 0, min(thought, made))
    assert read_usage(write_usage(usage)) == usage


# --- counts and lists -------------------------------------------------------------------------------------------------

BARE = b'{"contents":[{"parts":[{"text":"hello"}]}]}'


@pytest.mark.parametrize("key", [b"generateContentRequest", b"generate_content_request"])
def test_a_count_request_holds_a_chat_request_or_its_contents(key: bytes) -> None:
    wrapped = b'{"' + key + b'":' + BARE + b"}"
    for body in (BARE, wrapped):
        asked = count_envelope(body, "models/m")
        assert (asked.model, asked.stream) == ("m", False)
        request = CODEC.decode_request(unwrap_count(body), asked)
        assert request.messages == (
            Message(Role.USER, (TextPart("hello"),), extras={"gemini.generate": {"roleless": True}}),
        )


@pytest.mark.parametrize("body", [b"{}", b'{"generateContentRequest":{}}', b'{"contents":[]}'])
def test_a_count_request_without_contents_is_refused(body: bytes) -> None:
    with pytest.raises(ClientError):
        count_envelope(body, "m")


def test_counts_come_back() -> None:
    assert decode_count(encode_count(12)) == 12
    for body in (b"", b"{}", b'{"totalTokens":-1}', b'{"totalTokens":"x"}'):
        with pytest.raises(UpstreamError):
            decode_count(body)


CARDS = [ModelCard(f"m{number}", "p", 0, 100 if number else None) for number in range(5)]


def test_models_are_paged_without_loss_or_repetition() -> None:
    seen, token, pages = [], None, 0
    while True:
        page = json.loads(encode_models(CARDS, page_size=2, page_token=token))
        seen += [model["name"] for model in page["models"]]
        pages += 1
        token = page.get("nextPageToken")
        if token is None:
            break
    assert (seen, pages) == ([f"models/m{number}" for number in range(5)], 3)
    assert "nextPageToken" not in json.loads(encode_models(CARDS, page_size=5, page_token=None))
    assert json.loads(encode_models([], page_size=None, page_token=None)) == {"models": []}


def test_a_page_token_from_elsewhere_is_refused() -> None:
    for token in ("!", "bm9wZQ=="):
        with pytest.raises(ClientError) as caught:
            encode_models(CARDS, page_size=2, page_token=token)
        assert caught.value.param == "pageToken"


def test_a_model_says_what_it_serves() -> None:
    shown = json.loads(encode_model(ModelCard("m", "p", 0, 9, ("chat", "embeddings", "rerank"))))
    assert shown["name"] == "models/m"
    assert shown["outputTokenLimit"] == 9
    assert shown["supportedGenerationMethods"] == [
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
    ]


def test_the_conversation_of_a_chat_client_keeps_its_signature() -> None:
    """Gemini's answer → chat client → Gemini's next request, by the client's own fields alone."""
    given = reply({"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "c2ln"})
    message = json.loads(OpenAIChat().encode_reply(CODEC.decode_reply(given), chat_view()))["choices"][0]["message"]
    history = [{"role": "user", "content": "q"}, message, {"role": "tool", "tool_call_id": "c", "content": "ok"}]
    raw = json.dumps({"model": "m", "messages": history}).encode()
    request = OpenAIChat().decode_request(raw, OpenAIChat().envelope(raw))
    body = json.loads(CODEC.encode_request(request, model="m", target=GeminiTarget()).body)
    assert body["contents"][1]["parts"] == [
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}
    ]
