"""Where something of another dialect's request stands, in that dialect's own words, for errors and for notes."""

from __future__ import annotations

from relayhub.dialects.foreign import not_expressible
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatRequest, Role

_LISTS = {
    Dialect.OPENAI_RESPONSES.value: "input",
    Dialect.GEMINI_GENERATE.value: "contents",
}
_WORDS = {
    (Dialect.ANTHROPIC_MESSAGES.value, "stop"): "stop_sequences",
    (Dialect.ANTHROPIC_MESSAGES.value, "metadata"): "metadata.user_id",
    (Dialect.GEMINI_GENERATE.value, "stop"): "stopSequences",
    (Dialect.GEMINI_GENERATE.value, "n"): "candidateCount",
    (Dialect.GEMINI_GENERATE.value, "top_k"): "topK",
    (Dialect.GEMINI_GENERATE.value, "logprobs"): "responseLogprobs",
    (Dialect.GEMINI_GENERATE.value, "top_logprobs"): "logprobs",
    (Dialect.OPENAI_RESPONSES.value, "logprobs"): "include",
    (Dialect.GEMINI_GENERATE.value, "presence_penalty"): "presencePenalty",
    (Dialect.GEMINI_GENERATE.value, "frequency_penalty"): "frequencyPenalty",
}
_PREFILLING = frozenset({Dialect.ANTHROPIC_MESSAGES.value, Dialect.GEMINI_GENERATE.value})
"""Dialects in which a last message of the assistant is the beginning of the answer."""


def message_path(request: ChatRequest, index: int) -> str:
    """``index``: among the hub's messages. Items of Responses are merged into turns, so there only the list is named."""
    name = _LISTS.get(request.dialect, "messages")
    if request.dialect == Dialect.OPENAI_RESPONSES.value:
        return name
    if request.dialect not in _PREFILLING:
        return f"{name}[{index}]"
    leading = sum(message.role is Role.SYSTEM for message in request.messages[:index])
    if request.messages[index].role is Role.SYSTEM:
        return "system" if name == "messages" else "systemInstruction"
    return f"{name}[{index - leading}]"


def word(request: ChatRequest, name: str) -> str:
    """The client's name for a field that this dialect calls ``name``."""
    return _WORDS.get((request.dialect, name), name)


def check_prefill(request: ChatRequest) -> None:
    """Raises ``ClientError`` if the client began the answer itself: the OpenAI dialects cannot say that."""
    if request.dialect in _PREFILLING and request.messages and request.messages[-1].role is Role.ASSISTANT:
        raise not_expressible(message_path(request, len(request.messages) - 1), "the beginning of the answer")
