"""The official Anthropic SDK for Python: create, and the stream helper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anthropic

from tests.matrix.asked import Asked, Called, Failed, Got
from tests.matrix.clients.base import Client, Speaks, Tap
from tests.support.standins.scenes import End, Spent

WORDS = {
    End.STOP: "end_turn",
    End.LENGTH: "max_tokens",
    End.STOP_SEQUENCE: "stop_sequence:three",
    End.TOOLS: "tool_use",
    End.FILTER: "refusal",
}
BUDGET = 2048


class MessagesClient(Client):
    sdk = "anthropic for Python"
    speaks = Speaks.MESSAGES

    def __init__(self, url: str, key: str) -> None:
        self._tap = Tap()
        self._client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, http_client=self._tap.http)

    def ask(self, asked: Asked) -> Got:
        body = body_of(asked)
        seen: list[str] = []
        try:
            message = self._streamed(body, seen) if asked.stream else self._client.messages.create(**body)
        except anthropic.APIStatusError as error:
            raise self._failed(error, seen) from error
        return _got(message.to_dict(mode="json"), self._tap.headers)

    def _streamed(self, body: Mapping[str, Any], seen: list[str]) -> Any:
        with self._client.messages.stream(**body) as stream:
            for text in stream.text_stream:
                seen.append(text)  # what came before it raises counts
            return stream.get_final_message()

    def _failed(self, error: anthropic.APIStatusError, seen: Sequence[str]) -> Failed:
        said = error.body["error"] if isinstance(error.body, dict) else {}
        kind, message = str(said.get("type")), str(said.get("message"))
        name = type(error).__name__
        return Failed(name, error.status_code, kind, message, headers=self._tap.headers, partial="".join(seen))

    def results(self, calls: Sequence[Called], outputs: Sequence[str], *, failed: bool = False) -> tuple[Any, ...]:
        pairs = zip(calls, outputs, strict=True)
        mark = {"is_error": True} if failed else {}
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": output, **mark} for call, output in pairs]
        return ({"role": "user", "content": blocks},)

    def bare(self, turn: tuple[Any, ...]) -> tuple[Any, ...]:
        [message] = turn
        blocks = [block for block in message["content"] if "thinking" not in block["type"]]
        return ({**message, "content": blocks},)

    def word(self, end: End) -> str:
        return WORDS[end]

    def sayable(self, spent: Spent) -> Spent:
        return spent

    def count(self, asked: Asked) -> int | None:
        body = {name: value for name, value in body_of(asked).items() if name != "max_tokens"}
        return self._client.messages.count_tokens(**body).input_tokens

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        return None

    def models(self) -> list[str]:
        return [model.id for model in self._client.models.list()]

    def close(self) -> None:
        self._client.close()


def body_of(asked: Asked) -> dict[str, Any]:
    question = {"role": "user", "content": _content(asked)}
    body: dict[str, Any] = {"model": asked.model, "max_tokens": 8000, "messages": [question, *asked.history]}
    if asked.system:
        body["system"] = asked.system
    if asked.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in asked.tools
        ]
    if asked.thinks:
        body["thinking"] = {"type": "enabled", "budget_tokens": BUDGET}
    if asked.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": asked.schema}}
    return {**body, **asked.settings}


def _content(asked: Asked) -> Any:
    if not (asked.image or asked.file):
        return asked.text
    blocks: list[dict[str, Any]] = []
    if asked.image:
        link = {"type": "url", "url": asked.image}
        inline = {"type": "base64", "media_type": "image/png", "data": asked.image}
        blocks.append({"type": "image", "source": link if asked.image.startswith("http") else inline})
    if asked.file:
        source = {"type": "base64", "media_type": "application/pdf", "data": asked.file}
        blocks.append({"type": "document", "title": "a.pdf", "source": source})
    return [*blocks, {"type": "text", "text": asked.text}]


def _got(message: Mapping[str, Any], headers: Mapping[str, str]) -> Got:
    assert message["type"] == "message"
    blocks = message["content"]
    assert all(block["text"] for block in blocks if block["type"] == "text"), "no empty text blocks"
    thoughts = [block for block in blocks if block["type"] == "thinking"]
    sequence = message.get("stop_sequence")
    return Got(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        finish=f"{message['stop_reason']}:{sequence}" if sequence else message["stop_reason"],
        model=message["model"],
        spent=_spent(message["usage"]),
        turn=({"role": "assistant", "content": [_sent_back(block) for block in blocks]},),
        headers=headers,
        reasoning="".join(block["thinking"] for block in thoughts),
        calls=tuple(
            Called(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ),
    )


def _sent_back(block: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the stream helper adds for itself."""
    return {name: value for name, value in block.items() if value is not None and name != "parsed_output"}


def _spent(usage: Mapping[str, Any]) -> Spent:
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Spent(usage["input_tokens"] + cached + written, usage["output_tokens"], cached, written, reasoning)
