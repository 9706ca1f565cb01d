"""Signatures of other upstreams on their way through a chat client, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_chat.normalise import normalised
from relayhub.types.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Choice,
    Ended,
    Finished,
    FinishReason,
    ImageDelta,
    ImageForm,
    ImagePart,
    Media,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Role,
    Started,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolCallStarted,
)
from tests.dialects.observed import frames_of
from tests.dialects.views import decoded, view

CODEC = OpenAIChat()
CLAUDE, GEMINI = "anthropic.messages", "gemini.generate"
THINKING: tuple[Part, ...] = (
    ReasoningPart("let me see", signature="EqQB", signer=CLAUDE),
    ReasoningPart("", redacted="EmwK", signer=CLAUDE),
    ReasoningPart("", signature="only", signer=CLAUDE),
)


def shown(*parts: Part, **other: Any) -> Any:
    reply = ChatReply("r", "up", 1, (Choice(0, Message(Role.ASSISTANT, parts), FinishReason.STOP),))
    return json.loads(CODEC.encode_reply(reply, view(model="m", **other)))["choices"][0]["message"]


def sent_back(message: Any) -> Message:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, message]}
    return decoded(CODEC, json.dumps(body).encode()).messages[1]


def test_signed_thinking_comes_back_as_it_was() -> None:
    message = shown(*THINKING, TextPart("hi"))
    assert message["reasoning_content"] == "let me see"
    again = [part for part in sent_back(message).parts if isinstance(part, ReasoningPart)]
    assert [(part.text, part.signature, part.redacted, part.signer) for part in again] == [
        (part.text, part.signature, part.redacted, part.signer) for part in THINKING if isinstance(part, ReasoningPart)
    ]


def test_a_signed_turn_is_encoded_as_it_was_decoded() -> None:
    message = shown(*THINKING, TextPart("hi"))
    request = decoded(CODEC, json.dumps({"model": "m", "messages": [message]}).encode())
    assert json.loads(CODEC.encode_request(request, model="m").body)["messages"] == [message]


def test_a_signed_call_comes_back_as_it_was() -> None:
    call = ToolCallPart("c", "f", "{}", signature="CAIS", signer=GEMINI)
    message = shown(call)
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "CAIS"}}
    (again,) = sent_back(message).parts
    assert isinstance(again, ToolCallPart)
    assert (again.signature, again.signer) == ("CAIS", GEMINI)


def test_an_upstream_of_this_dialect_gets_only_its_own_signatures() -> None:
    calls = (
        ToolCallPart("a", "f", "{}", signature="own", signer="openai.chat"),
        ToolCallPart("b", "f", "{}", signature="CAIS", signer=GEMINI),
    )
    request = ChatRequest(
        "anthropic.messages",
        "m",
        (
            Message(Role.ASSISTANT, (*THINKING, *calls)),
            Message(Role.USER, (TextPart("go on"),)),
        ),
    )
    turn = json.loads(CODEC.encode_request(request, model="m").body)["messages"][0]
    assert [call.get("extra_content") for call in turn["tool_calls"]] == [
        {"google": {"thought_signature": "own"}},
        None,
    ]
    assert "reasoning_details" not in turn


def streamed(*events: ChatEvent, **other: Any) -> list[Any]:
    encoder = CODEC.stream_encoder(view(model="m", **other))
    return [frame["choices"][0]["delta"] for frame in frames_of(encoder.encode([Started("r", "up", 1), *events]))]


def test_streamed_thinking_is_signed_at_its_end_with_its_whole_text() -> None:
    deltas = streamed(
        ReasoningDelta(0, "let "),
        ReasoningDelta(0, "me"),
        ReasoningDelta(0, "", signature="s1", signer=CLAUDE),
        ReasoningDelta(0, "more"),
        ReasoningDelta(0, "", signature="s2", signer=CLAUDE),
        ToolCallStarted(0, 0, "c", "f", signature="CAIS", signer=GEMINI),
        Finished(0, FinishReason.TOOL_CALLS),
        Ended(),
    )
    details = [detail for delta in deltas for detail in delta.get("reasoning_details", ())]
    assert [(detail["text"], detail["signature"]) for detail in details] == [
        ("let me", f"rh1:{CLAUDE}:s1"),
        ("more", f"rh1:{CLAUDE}:s2"),
    ]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "let memore"
    (call,) = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert call["extra_content"]["google"]["thought_signature"] == "CAIS"


def test_unsigned_thinking_has_no_details() -> None:
    assert all("reasoning_details" not in delta for delta in streamed(ReasoningDelta(0, "hm"), TextDelta(0, "x")))


@pytest.mark.parametrize("form", list(ImageForm))
def test_images_are_written_in_the_form_of_the_model(form: ImageForm) -> None:
    image = ImagePart(Media(data="AAAA", media_type="image/png"))
    link = "data:image/png;base64,AAAA"
    message = shown(TextPart("see: "), image, image_form=form)
    (delta,) = streamed(ImageDelta(0, image), image_form=form)
    item = {"type": "image_url", "image_url": {"url": link}}
    assert message.get("images") == (None if form is ImageForm.TEXT else [item])
    assert message["content"] == "see: " + ("" if form is ImageForm.INLINE else f"![image]({link})")
    assert (delta["content"], delta.get("images")) == (message["content"][5:], message.get("images"))


def test_foreign_signatures_do_not_reach_an_upstream_by_the_byte_lane() -> None:
    own = {"type": "reasoning.text", "text": "x", "signature": "mine"}
    marked = [{"type": "reasoning.text", "text": "a", "signature": f"rh1:{CLAUDE}:s"}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    google = {**call, "extra_content": {"google": {"thought_signature": "CAIS"}}}
    foreign = {**call, "extra_content": {"google": {"thought_signature": "rh1:else:s"}}}
    body = {
        "model": "m",
        "messages": [
            {"role": "assistant", "reasoning_details": marked, "tool_calls": [google, foreign]},
            {"role": "assistant", "reasoning_details": [own, *marked]},
        ],
    }
    assert json.loads(normalised(json.dumps(body).encode()))["messages"] == [
        {"role": "assistant", "tool_calls": [google, call]},
        {"role": "assistant", "reasoning_details": [own]},
    ]
