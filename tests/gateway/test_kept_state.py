"""Thinking that a client's dialect cannot carry comes back where it stood."""

from __future__ import annotations

from relayhub.gateway.kept_state import TurnState, call_ref, load_state, refs_of, restored, signature_ref
from relayhub.types.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    FinishReason,
    Message,
    ReasoningDelta,
    ReasoningPart,
    Role,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolCallStarted,
)

CLAUDE = "anthropic.messages"


def turn(*parts: object) -> Message:
    return Message(Role.ASSISTANT, parts)  # type: ignore[arg-type]


def request(*messages: Message) -> ChatRequest:
    return ChatRequest("openai.chat", "m", messages)


def streamed(*events: object) -> TurnState:
    state = TurnState()
    for event in events:
        state.note(event)  # type: ignore[arg-type]
    return state


def kept(state: TurnState) -> dict[str, bytes]:
    return dict.fromkeys(state.refs, state.dump())


def test_a_streamed_turn_comes_back_whole() -> None:
    state = streamed(
        ReasoningDelta(0, "I ", signer=CLAUDE),
        ReasoningDelta(0, "think", "sig-1", signer=CLAUDE),
        ReasoningDelta(0, "", redacted="blob", signer=CLAUDE),
        TextDelta(0, "Let me see."),
        ToolCallStarted(0, 0, "call_1", "look"),
        ToolCallStarted(0, 1, "call_2", "look"),
    )
    asked = request(turn(TextPart("Let me see."), ToolCallPart("call_2", "look", "{}")))
    (message,) = restored(asked, kept(state)).messages
    assert message.parts == (
        ReasoningPart("I think", "sig-1", signer=CLAUDE),
        ReasoningPart("", redacted="blob", signer=CLAUDE),
        TextPart("Let me see."),
        ToolCallPart("call_2", "look", "{}"),
    )


def test_signed_calls_get_their_signature_back() -> None:
    call = ToolCallPart("call_1", "look", "{}", signature="sig", signer="gemini.generate")
    reply = ChatReply("i", "m", 0, (Choice(0, turn(call), FinishReason.TOOL_CALLS),))
    bare = turn(ToolCallPart("call_1", "look", "{}"))
    assert restored(request(bare), kept(TurnState.of_reply(reply))).messages == (turn(call),)


def test_unsigned_text_from_the_client_gives_way_and_signed_stays() -> None:
    state = streamed(ReasoningDelta(0, "real", "sig", signer=CLAUDE), ToolCallStarted(0, 0, "c", "f"))
    call = ToolCallPart("c", "f", "{}")
    (message,) = restored(request(turn(ReasoningPart("shown"), call)), kept(state)).messages
    assert message.parts == (ReasoningPart("real", "sig", signer=CLAUDE), call)
    own = turn(ReasoningPart("mine", "other", signer=CLAUDE), call)
    assert restored(request(own), kept(state)).messages == (own,)


def test_nothing_is_kept_of_an_answer_without_thinking() -> None:
    assert streamed(TextDelta(0, "Hi"), ToolCallStarted(0, 0, "c", "f")).refs == ()


def test_other_choices_are_not_mixed_in() -> None:
    state = streamed(ReasoningDelta(1, "other", "s", signer=CLAUDE), ToolCallStarted(1, 0, "c", "f"))
    assert state.refs == ()


def test_other_turns_are_left_alone() -> None:
    state = streamed(ReasoningDelta(0, "t", "sig", signer=CLAUDE), ToolCallStarted(0, 0, "c", "f"))
    asked = request(Message(Role.USER, (TextPart("Hi"),)), turn(ToolCallPart("another", "f", "{}")))
    assert restored(asked, kept(state)) == asked


def test_references_stand_in_the_order_of_the_conversation() -> None:
    asked = request(turn(ReasoningPart("", "sig")), turn(ToolCallPart("c", "f", "{}")))
    assert refs_of(asked.messages) == (signature_ref("sig"), call_ref("c"))


def test_dump_and_load_are_inverse() -> None:
    state = streamed(
        ReasoningDelta(0, "t", "sig", signer=CLAUDE, wire_field="reasoning"),
        ToolCallStarted(0, 0, "c", "f", signature="s2", signer="gemini.generate"),
    )
    loaded = load_state(state.dump())
    assert (loaded.reasoning, loaded.signed_calls) == (state.reasoning, state.signed_calls)
