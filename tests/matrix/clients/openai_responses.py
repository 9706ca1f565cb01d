"""The Responses API: what is sent and what is read, the same for the Python and the Node SDK."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tests.matrix.asked import Asked, Called, Failed, Got
from tests.matrix.clients.base import Client, Speaks
from tests.support.standins.scenes import End, Spent

WORDS = {
    End.STOP: "completed",
    End.LENGTH: "incomplete:max_output_tokens",
    End.STOP_SEQUENCE: "completed",
    End.TOOLS: "completed",
    End.FILTER: "incomplete:content_filter",
}


class ResponsesClient(Client):
    speaks = Speaks.RESPONSES

    @abstractmethod
    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        """The events of a stream, or the one whole answer; and the headers. Raises ``Failed``."""

    def ask(self, asked: Asked) -> Got:
        values, headers = self.create(body_of(asked))
        return _got(_streamed(values, headers) if asked.stream else values[0], headers)

    def results(self, calls: Sequence[Called], outputs: Sequence[str], *, failed: bool = False) -> tuple[Any, ...]:
        pairs = zip(calls, outputs, strict=True)
        return tuple({"type": "function_call_output", "call_id": call.id, "output": output} for call, output in pairs)

    def bare(self, turn: tuple[Any, ...]) -> tuple[Any, ...]:
        calls = [item for item in turn if item["type"] == "function_call"]
        return tuple({name: item[name] for name in ("type", "call_id", "name", "arguments")} for item in calls)

    def word(self, end: End) -> str:
        return WORDS[end]

    def sayable(self, spent: Spent) -> Spent:
        return spent


def body_of(asked: Asked) -> dict[str, Any]:
    question = {"role": "user", "content": _content(asked)}
    body: dict[str, Any] = {"model": asked.model, "input": [question, *asked.history], "store": False}
    if asked.system:
        body["instructions"] = asked.system
    if asked.stream:
        body["stream"] = True
    if asked.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in asked.tools
        ]
    if asked.thinks:
        body |= {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    if asked.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "city", "schema": asked.schema, "strict": True}}
    return {**body, **asked.settings}


def _content(asked: Asked) -> Any:
    if not (asked.image or asked.file):
        return asked.text
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": asked.text}]
    if asked.image:
        url = asked.image if asked.image.startswith("http") else f"data:image/png;base64,{asked.image}"
        parts.append({"type": "input_image", "image_url": url, "detail": "auto"})
    if asked.file:
        data = f"data:application/pdf;base64,{asked.file}"
        parts.append({"type": "input_file", "filename": "a.pdf", "file_data": data})
    return parts


def _streamed(events: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> Mapping[str, Any]:
    """The final response; strict about numbers, and that the pieces add up to it."""
    numbers = [event["sequence_number"] for event in events]
    in_order = numbers == list(range(len(events)))
    assert in_order or numbers[:-1] == list(range(len(events) - 1))
    assert events[0]["type"] == "response.created"
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    last = events[-1]
    response: Mapping[str, Any] = last["response"]
    if last["type"] == "response.failed":
        code, message = response["error"]["code"], response["error"]["message"]
        raise Failed("failed", None, code, message, headers=headers, partial=text, in_order=in_order)
    assert in_order
    assert last["type"] == f"response.{response['status']}", last["type"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == response["output"], "the items add up to the response"
    assert text == _text(response["output"])
    arguments = _joined(events, "response.function_call_arguments.delta")
    assert arguments == {at: item["arguments"] for at, item in enumerate(done) if item["type"] == "function_call"}
    return response


def _joined(events: Sequence[Mapping[str, Any]], kind: str) -> dict[int, str]:
    joined: dict[int, str] = {}
    for event in events:
        if event["type"] == kind:
            joined[event["output_index"]] = joined.get(event["output_index"], "") + event["delta"]
    return joined


def _text(items: Sequence[Mapping[str, Any]]) -> str:
    messages = [item for item in items if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"] if part["type"] == "output_text")


def _got(response: Mapping[str, Any], headers: Mapping[str, str]) -> Got:
    items = response["output"]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    calls = [item for item in items if item["type"] == "function_call"]
    shown = [part["text"] for item in thoughts for part in (item.get("content") or item["summary"])]
    detail = (response.get("incomplete_details") or {}).get("reason")
    return Got(
        text=_text(items),
        finish=f"{response['status']}:{detail}" if detail else response["status"],
        model=response["model"],
        spent=_spent(response["usage"]),
        turn=tuple({name: value for name, value in item.items() if value is not None} for item in items),
        headers=headers,
        reasoning="".join(shown),
        calls=tuple(Called(item["call_id"], item["name"], json.loads(item["arguments"])) for item in calls),
    )


def _spent(usage: Mapping[str, Any]) -> Spent:
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    details = usage["input_tokens_details"]
    return Spent(
        usage["input_tokens"],
        usage["output_tokens"],
        details["cached_tokens"],
        details["cache_write_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
    )
