"""An answer as bytes of OpenAI's wire: whole, or as SSE frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from relayhub_demo.asked import Asked
from relayhub_demo.spoken import Spoken, speak

CREATED = 1_790_000_000
"""The same for every answer: nothing here depends on the time."""

ARGUMENTS_STEP = 8
"""Characters of a call's arguments in one chunk."""


def whole(asked: Asked) -> bytes:
    """The answer to a request that does not stream."""
    spoken = speak(asked)
    message: dict[str, object] = {"role": "assistant", "content": spoken.text or None, "refusal": None}
    if spoken.thoughts:
        message["reasoning_content"] = spoken.thought
    if spoken.calls:
        message["tool_calls"] = spoken.calls
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": spoken.finish}
        for index in range(asked.choices)
    ]
    return orjson.dumps({**_head(asked, "chat.completion"), "choices": choices, "usage": _usage(asked, spoken)})


def frames(asked: Asked) -> Iterator[bytes]:
    """The answer as SSE frames, one as a server would flush them."""
    spoken = speak(asked)
    for index in range(asked.choices):
        yield _frame(asked, index, {"role": "assistant", "content": ""})
        for piece in spoken.thoughts:
            yield _frame(asked, index, {"reasoning_content": piece})
        for piece in spoken.pieces:
            yield _frame(asked, index, {"content": piece})
        yield from _call_frames(asked, index, spoken.calls)
        yield _frame(asked, index, {}, spoken.finish)
    if asked.usage_in_stream:
        head = _head(asked, "chat.completion.chunk")
        yield _data({**head, "choices": [], "usage": _usage(asked, spoken)})
    yield b"data: [DONE]\n\n"


def _usage(asked: Asked, spoken: Spoken) -> dict[str, object]:
    output = spoken.output_tokens * asked.choices
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": asked.prompt_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": spoken.reasoning_tokens * asked.choices},
    }


def _call_frames(asked: Asked, index: int, calls: Sequence[Mapping[str, object]]) -> Iterator[bytes]:
    for position, call in enumerate(calls):
        function = call["function"]
        assert isinstance(function, dict)
        arguments = str(function["arguments"])
        opened = {**call, "index": position, "function": {"name": function["name"], "arguments": ""}}
        yield _frame(asked, index, {"tool_calls": [opened]})
        for start in range(0, len(arguments), ARGUMENTS_STEP):
            part = {"index": position, "function": {"arguments": arguments[start : start + ARGUMENTS_STEP]}}
            yield _frame(asked, index, {"tool_calls": [part]})


def _head(asked: Asked, kind: str) -> dict[str, object]:
    return {"id": f"chatcmpl-{asked.identity}", "object": kind, "created": CREATED, "model": asked.model}


def _frame(asked: Asked, index: int, delta: Mapping[str, object], finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    usage: dict[str, object] = {"usage": None} if asked.usage_in_stream else {}
    return _data({**_head(asked, "chat.completion.chunk"), "choices": [choice], **usage})


def _data(value: Mapping[str, object]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
