"""What a Responses request cannot say to an upstream of another dialect is refused by the client's own word for it, or left
out and named; nothing goes missing, and nothing of the hub's own goes along."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.types.chat import ChatRequest, Message, OpaquePart, Reasoning, Role, Sampling, TextPart
from relayhub.types.errors import ClientError
from tests.dialects.codecs import CHAT, CODECS, GEMINI, MESSAGES, RESPONSES, encode_for
from tests.dialects.views import view

OTHERS = (CHAT, MESSAGES, GEMINI)
HELLO = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "done"}
PICTURE = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


def decoded(*items: Any, **fields: Any) -> ChatRequest:
    body = json.dumps({"model": "m", "input": list(items or (HELLO,)), **fields}).encode()
    return CODECS[RESPONSES].decode_request(body, CODECS[RESPONSES].envelope(body))


def encoded(target: str, *items: Any, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    sent = encode_for(target, decoded(*items, **fields))
    return json.loads(sent.body), sent.dropped


def refusal(target: str, *items: Any, **fields: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        encoded(target, *items, **fields)
    return caught.value


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("conversation", {"conversation": {"id": "conv_1"}}),
        ("prompt", {"prompt": {"id": "pmpt_1"}}),
        ("background", {"background": True}),
        ("text.format", {"text": {"format": {"type": "grammar", "definition": "x"}}}),
        ("tools[0]", {"tools": [{"type": "web_search"}]}),
        ("tools[1]", {"tools": [FUNCTION, {"type": "mcp", "server_label": "s", "server_url": "https://s.test"}]}),
        ("tool_choice", {"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}),
    ],
)
def test_fields_that_change_the_meaning_are_refused(target: str, param: str, fields: dict[str, Any]) -> None:
    assert refusal(target, **fields).param == param


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]},
        {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]},
    ],
    ids=lambda item: item.get("type") or item["content"][0]["type"],
)
def test_items_that_only_this_dialect_knows_are_refused_in_input(target: str, item: Any) -> None:
    error = refusal(target, HELLO, item)
    assert error.param is not None
    assert error.param.startswith("input")


@pytest.mark.parametrize(
    ("target", "param", "fields"),
    [
        (MESSAGES, "include", {"include": ["message.output_text.logprobs"]}),
        (MESSAGES, "top_logprobs", {"top_logprobs": 2}),
        (MESSAGES, "tools[0]", {"tools": [{"type": "custom", "name": "raw"}]}),
        (GEMINI, "tools[0]", {"tools": [{"type": "custom", "name": "raw"}]}),
    ],
)
def test_what_one_target_lacks_is_refused_there(target: str, param: str, fields: dict[str, Any]) -> None:
    assert refusal(target, **fields).param == param


@pytest.mark.parametrize(
    ("fields", "chat", "messages", "gemini"),
    [
        ({"truncation": "auto"}, ["truncation"], ["truncation"], ["truncation"]),
        ({"include": ["web_search_call.action.sources"]}, ["include"], ["include"], ["include"]),
        ({"max_tool_calls": 2}, ["max_tool_calls"], ["max_tool_calls"], ["max_tool_calls"]),
        ({"a_new_field": 1}, ["a_new_field"], ["a_new_field"], ["a_new_field"]),
        ({"text": {"verbosity": "low"}}, [], ["text.verbosity"], ["text.verbosity"]),
        ({"service_tier": "flex"}, [], ["service_tier"], ["service_tier"]),
        ({"prompt_cache_key": "k"}, [], ["prompt_cache_key"], ["prompt_cache_key"]),
        ({"safety_identifier": "s"}, [], ["safety_identifier"], ["safety_identifier"]),
        ({"user": "u"}, [], ["user"], ["user"]),
        ({"metadata": {"a": "b"}}, [], ["metadata"], ["metadata"]),
        ({"temperature": 1.5}, [], ["temperature"], []),
        ({"tools": [FUNCTION], "parallel_tool_calls": False}, [], [], ["parallel_tool_calls"]),
    ],
)
def test_fields_that_do_not_change_the_meaning_are_left_out_and_named(
    fields: dict[str, Any], chat: list[str], messages: list[str], gemini: list[str]
) -> None:
    named = {target: list(encoded(target, **fields)[1]) for target in OTHERS}
    assert named == {CHAT: chat, MESSAGES: messages, GEMINI: gemini}


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"store": False},
        {"truncation": "disabled"},
        {"background": False},
        {"previous_response_id": None},
        {"include": ["reasoning.encrypted_content"]},
        {"text": {"format": {"type": "text"}}},
        {"reasoning": {"effort": "low", "summary": "concise"}},
        {"top_logprobs": 0},
    ],
)
def test_defaults_and_what_the_hub_does_itself_are_not_named(target: str, fields: dict[str, Any]) -> None:
    body, dropped = encoded(target, **fields)
    assert dropped == ()
    assert not {"store", "truncation", "background", "include", "text", "top_logprobs"} & body.keys()


@pytest.mark.parametrize("target", OTHERS)
def test_what_the_hub_keeps_for_this_dialect_stays_here(target: str) -> None:
    spoken = [{"type": "output_text", "text": "ok", "annotations": []}]
    said = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": spoken}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
    sent, dropped = encoded(target, HELLO, said, HELLO, thought, CALL, RESULT, tools=[FUNCTION])
    assert dropped == ()
    for mine in (RESPONSES, "openai.responses", "msg_1", "rs_1", "fc_1", "sealed", "completed"):
        assert mine not in json.dumps(sent)


def test_annotations_of_an_answer_are_named() -> None:
    noted = {"type": "output_text", "text": "ok", "annotations": [{"type": "url_citation", "url": "https://a.test"}]}
    for target in OTHERS:
        assert encoded(target, HELLO, {"role": "assistant", "content": [noted]}, HELLO)[1] == ("annotations",)


def signed_by(signer: str) -> dict[str, Any]:
    shown = [{"type": "summary_text", "text": "hm"}]
    return {"type": "reasoning", "id": "rs_1", "summary": shown, "encrypted_content": f"rh1:{signer}:c2lnbmVk"}


def test_thinking_that_another_upstream_signed_goes_back_to_it_as_it_was() -> None:
    turn = (HELLO, signed_by("anthropic.messages"), CALL, RESULT)
    body, dropped = encoded(MESSAGES, *turn, tools=[FUNCTION], reasoning={"effort": "low"})
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}
    assert (body["messages"][1]["content"][0], dropped) == (thinking, ())
    body, dropped = encoded(GEMINI, HELLO, signed_by("gemini.generate"), CALL, RESULT, tools=[FUNCTION])
    signatures = [part.get("thoughtSignature") for content in body["contents"] for part in content["parts"]]
    assert ("c2lnbmVk" in signatures, dropped) == (True, ())


def test_thinking_that_another_upstream_signed_goes_to_no_other() -> None:
    for signer, target in (("anthropic.messages", GEMINI), ("gemini.generate", MESSAGES), ("gemini.generate", CHAT)):
        body, _ = encoded(target, HELLO, signed_by(signer), CALL, RESULT, tools=[FUNCTION])
        assert "c2lnbmVk" not in json.dumps(body)


def test_without_the_signed_thinking_of_a_tool_turn_thinking_is_off_and_that_is_noted() -> None:
    body, dropped = encoded(MESSAGES, HELLO, CALL, RESULT, tools=[FUNCTION], reasoning={"effort": "low"})
    assert (body["thinking"], dropped) == ({"type": "disabled"}, ("thinking",))


def test_what_the_others_can_say_arrives() -> None:
    raw = {"type": "custom", "name": "raw"}
    assert encoded(CHAT, tools=[raw])[0]["tools"] == [{"type": "custom", "custom": {"name": "raw"}}]
    picture = {"type": "input_image", "image_url": PICTURE}
    content = [{"type": "input_text", "text": "what?"}, picture]
    result = {**RESULT, "output": [picture]}
    for target in OTHERS:
        body, dropped = encoded(target, {"role": "user", "content": content}, CALL, result, tools=[FUNCTION])
        assert (json.dumps(body).count("iVBORw0KGgo="), dropped) == (2, ())


def test_logprobs_that_nobody_asked_to_see_are_not_asked_for() -> None:
    assert "top_logprobs" not in encoded(CHAT, top_logprobs=3)[0]
    asked = encoded(CHAT, top_logprobs=3, include=["message.output_text.logprobs"])[0]
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 3)


# --- the other direction ----------------------------------------------------------------------------------------------


def to_responses(dialect: str, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    request = ChatRequest(dialect, "m", (Message(Role.USER, (TextPart("hello"),)),), **fields)
    sent = OpenAIResponses().encode_request(request, model="up")
    return json.loads(sent.body), sent.dropped


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        ("openai.chat", {"choices": 2}, "n"),
        ("gemini.generate", {"choices": 2}, "candidateCount"),
        ("openai.chat", {"sampling": Sampling(stop=("x",))}, "stop"),
        ("anthropic.messages", {"sampling": Sampling(stop=("x",))}, "stop_sequences"),
        ("gemini.generate", {"sampling": Sampling(stop=("x",))}, "stopSequences"),
    ],
)
def test_what_responses_lacks_is_refused_by_the_clients_word(dialect: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        to_responses(dialect, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("dialect", "sampling", "dropped"),
    [
        ("openai.chat", Sampling(seed=0), ("seed",)),
        (
            "openai.chat",
            Sampling(presence_penalty=0.5, frequency_penalty=0.0),
            ("presence_penalty",),
        ),
        ("openai.chat", Sampling(logit_bias={"1": 2}), ("logit_bias",)),
        ("anthropic.messages", Sampling(top_k=3), ("top_k",)),
        ("gemini.generate", Sampling(top_k=3, frequency_penalty=1.0), ("topK", "frequencyPenalty")),
    ],
)
def test_settings_that_responses_lacks_are_named(dialect: str, sampling: Sampling, dropped: tuple[str, ...]) -> None:
    assert to_responses(dialect, sampling=sampling)[1] == dropped


@pytest.mark.parametrize(
    ("dialect", "wish", "shown"),
    [
        ("anthropic.messages", Reasoning(budget_tokens=2048, enabled=True), True),
        ("anthropic.messages", Reasoning(enabled=True, include=False), False),
        ("anthropic.messages", Reasoning("low"), False),
        ("gemini.generate", Reasoning("low", include=True), True),
        ("openai.chat", Reasoning("low"), False),
    ],
)
def test_thinking_is_shown_to_those_who_asked_to_see_it(dialect: str, wish: Reasoning, shown: bool) -> None:
    body, dropped = to_responses(dialect, reasoning=wish)
    assert ("summary" in body.get("reasoning", {}), dropped) == (shown, ())


def test_the_upstream_is_asked_to_keep_nothing_and_to_give_its_thinking_away_sealed() -> None:
    body, _ = to_responses("anthropic.messages")
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])


@pytest.mark.parametrize(
    ("dialect", "param"),
    [("openai.responses", "input"), ("gemini.generate", "contents[0]"), ("openai.chat", "messages[0]")],
)
def test_an_upstream_of_messages_names_places_in_the_clients_words(dialect: str, param: str) -> None:
    unknown = Message(Role.USER, (OpaquePart(dialect, "something", {}),))
    with pytest.raises(ClientError) as caught:
        encode_for(MESSAGES, ChatRequest(dialect, "m", (unknown,)))
    assert caught.value.param == f"{param}.content[0]"


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        ("gemini.generate", {"choices": 2}, "candidateCount"),
        ("gemini.generate", {"sampling": Sampling(stop=(" ",))}, "stopSequences"),
        ("gemini.generate", {"sampling": Sampling(logprobs=True, top_logprobs=2)}, "responseLogprobs"),
        ("openai.chat", {"sampling": Sampling(logprobs=True, top_logprobs=2)}, "logprobs"),
    ],
)
def test_an_upstream_of_messages_names_fields_in_the_clients_words(
    dialect: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ClientError) as caught:
        encode_for(MESSAGES, ChatRequest(dialect, "m", (Message(Role.USER, (TextPart("x"),)),), **fields))
    assert caught.value.param == param


@pytest.mark.parametrize("client", OTHERS)
def test_what_an_answer_keeps_for_this_dialect_is_shown_to_no_other(client: str) -> None:
    spoken = {"type": "output_text", "text": "ok", "annotations": [], "logprobs": []}
    items = [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [spoken]},
        CALL,
    ]
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "up", "output": items}
    reply = CODECS[RESPONSES].decode_reply(json.dumps(answer).encode())
    shown = CODECS[client].encode_reply(reply, view(model="public"))
    for mine in (b'"openai.responses"', b"msg_1", b"rs_1", b"fc_1", b"output_text", b"summary_text"):
        assert mine not in shown
