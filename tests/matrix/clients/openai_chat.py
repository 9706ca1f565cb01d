"""Chat completions: what is sent and what is read, the same for the Python and the Node SDK."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tests.matrix.asked import Asked, Called, Got
from tests.matrix.clients.base import Client, Speaks
from tests.support.standins.scenes import End, Spent

WORDS = {
    End.STOP: "stop",
    End.LENGTH: "length",
    End.STOP_SEQUENCE: "stop",
    End.TOOLS: "tool_calls",
    End.FILTER: "content_filter",
}
STANDARD = ("role", "content", "tool_calls")


class ChatClient(Client):
    speaks = Speaks.CHAT

    @abstractmethod
    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        """The chunks of a stream, or the one whole answer; and the headers. Raises ``Failed``."""

    def ask(self, asked: Asked) -> Got:
        values, headers = self.create(body_of(asked))
        return _streamed(values, headers) if asked.stream else _whole(values[0], headers)

    def results(self, calls: Sequence[Called], outputs: Sequence[str], *, failed: bool = False) -> tuple[Any, ...]:
        pairs = zip(calls, outputs, strict=True)
        return tuple({"role": "tool", "tool_call_id": call.id, "content": output} for call, output in pairs)

    def bare(self, turn: tuple[Any, ...]) -> tuple[Any, ...]:
        [message] = turn
        kept = {name: message[name] for name in STANDARD if name in message}
        calls = [{name: call[name] for name in ("id", "type", "function")} for call in kept.get("tool_calls", ())]
        return ({**kept, "tool_calls": calls},)

    def word(self, end: End) -> str:
        return WORDS[end]

    def sayable(self, spent: Spent) -> Spent:
        return spent


def body_of(asked: Asked) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": asked.system}] if asked.system else []
    messages += [{"role": "user", "content": _content(asked)}, *asked.history]
    body: dict[str, Any] = {"model": asked.model, "messages": messages}
    if asked.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if asked.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in asked.tools
        ]
    if asked.thinks:
        body["reasoning_effort"] = "low"
    if asked.schema is not None:
        shape = {"name": "city", "schema": asked.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return {**body, **asked.settings}


def _content(asked: Asked) -> Any:
    if not (asked.image or asked.file):
        return asked.text
    parts: list[dict[str, Any]] = [{"type": "text", "text": asked.text}]
    if asked.image:
        url = asked.image if asked.image.startswith("http") else f"data:image/png;base64,{asked.image}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    if asked.file:
        file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{asked.file}"}
        parts.append({"type": "file", "file": file})
    return parts


def _spent(usage: Mapping[str, Any] | None) -> Spent | None:
    if usage is None:
        return None
    prompt, output = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return Spent(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        prompt.get("cached_tokens") or 0,
        prompt.get("cache_write_tokens") or 0,
        output.get("reasoning_tokens") or 0,
    )


def _whole(value: Mapping[str, Any], headers: Mapping[str, str]) -> Got:
    assert value["object"] == "chat.completion"
    [choice] = value["choices"]
    return _got(value["model"], choice["message"], choice["finish_reason"], value.get("usage"), headers)


def _streamed(chunks: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> Got:
    """Strict: one id, one role, indices in order, one finish reason, and usage after it or with it."""
    assert len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks}) == 1
    last = chunks[-1]
    assert last["usage"], "it was asked for"
    rest = chunks if last["choices"] else chunks[:-1]
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    finish = ""
    for at, chunk in enumerate(rest):
        [choice] = chunk["choices"]
        assert not finish, "something follows the finish reason"
        delta = choice["delta"]
        assert at == 0 or not delta.get("role"), "the role stands in the first chunk only"
        message["content"] += delta.get("content") or ""
        for name in delta.keys() - {"role", "content", "tool_calls", "refusal", "function_call"}:
            if isinstance(delta[name], str):
                message[name] = message.get(name, "") + delta[name]
            elif delta[name] is not None:
                message[name] = delta[name]
        for piece in delta.get("tool_calls") or ():
            _add_call(calls, piece)
        finish = choice["finish_reason"] or ""
    message["tool_calls"] = calls
    return _got(last["model"], message, finish, last["usage"], headers)


def _add_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    if piece["index"] == len(calls):
        rest = {name: value for name, value in piece.items() if name != "index"}
        calls.append({**rest, "function": {"arguments": "", **piece["function"]}})
        return
    assert piece["index"] < len(calls), "indices are in order"
    assert not piece.get("id"), "the id comes once"
    assert not piece["function"].get("name"), "the name comes once"
    calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    for name in piece.keys() - {"index", "id", "type", "function"}:
        calls[piece["index"]][name] = piece[name]


def _got(model: str, message: Mapping[str, Any], finish: str, usage: Any, headers: Mapping[str, str]) -> Got:
    calls = message.get("tool_calls") or []
    turn = {name: value for name, value in message.items() if value or name == "content"}
    turn["content"] = turn.get("content") or None
    return Got(
        text=message.get("content") or "",
        finish=finish,
        model=model,
        spent=_spent(usage),
        turn=(turn,),
        headers=headers,
        reasoning=message.get("reasoning_content") or "",
        calls=tuple(
            Called(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
        ),
    )
