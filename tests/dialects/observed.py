"""What a client sees of an answer, read by a second, obvious reader; and the fixtures with what they must show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayhub.dialects.codec import NativeStream, StreamDecoder, StreamEncoder
from relayhub.types.chat import Ended

FIXTURES = Path(__file__).parent.parent / "fixtures" / "text"


@dataclass(frozen=True)
class Fixture:
    """``expect`` as in the manifest."""

    id: str
    request: bytes
    response: bytes
    status: int
    headers: dict[str, str]
    expect: dict[str, Any]
    streamed: bool


def fixtures(protocol: str) -> list[Fixture]:
    """Those of one protocol: ``openai_chat``, ``openai_responses``, ``anthropic`` or ``gemini``."""
    every = json.loads((FIXTURES / "manifest.json").read_text())["fixtures"]
    entries = [entry for entry in every if entry["protocol"] == protocol]
    return [
        Fixture(
            id=entry["id"].partition("/")[2],
            request=(FIXTURES / entry["request"]).read_bytes(),
            response=(FIXTURES / entry["response"]).read_bytes(),
            status=entry["status"],
            headers=entry["response_headers"],
            expect=entry["expect"],
            streamed=entry["response"].endswith(".sse"),
        )
        for entry in entries
    ]


@dataclass
class Observed:
    """An answer as a client puts it together. ``finish`` by choice; tool calls in order as (id, name, arguments)."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[list[str]] = field(default_factory=list)
    finish: dict[int, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    models: set[str] = field(default_factory=set)


def frames_of(stream: bytes) -> list[Any]:
    """Events of a well-formed stream of whole LF frames; comments are skipped, ``[DONE]`` is itself."""
    assert stream == b"" or stream.endswith(b"\n\n")
    events: list[Any] = []
    for frame in stream.decode().split("\n\n"):
        data = [line.removeprefix("data: ") for line in frame.split("\n") if line.startswith("data:")]
        if data:
            text = "\n".join(data)
            events.append(text if text == "[DONE]" else json.loads(text))
    return events


def observe_stream(stream: bytes) -> Observed:
    seen = Observed()
    for event in frames_of(stream):
        assert not seen.done, "something follows [DONE]"
        if event == "[DONE]":
            seen.done = True
        elif event.get("error"):
            seen.error = event["error"]
        else:
            _add_chunk(seen, event)
    return seen


def _add_chunk(seen: Observed, chunk: dict[str, Any]) -> None:
    seen.models.add(chunk["model"])
    seen.usage = chunk.get("usage") or seen.usage
    for choice in chunk["choices"]:
        delta = choice["delta"]
        seen.text += delta.get("content") or ""
        seen.reasoning += delta.get("reasoning_content") or ""
        seen.refusal += delta.get("refusal") or ""
        for call in delta.get("tool_calls") or ():
            if call["index"] == len(seen.tool_calls):
                seen.tool_calls.append([call["id"], call["function"]["name"], ""])
            seen.tool_calls[call["index"]][2] += call["function"]["arguments"]
        if choice["finish_reason"]:
            seen.finish[choice["index"]] = choice["finish_reason"]


def observe_reply(body: bytes) -> Observed:
    reply = json.loads(body)
    [choice] = reply["choices"]
    message = choice["message"]
    calls = message.get("tool_calls") or ()
    return Observed(
        text=message["content"] or "",
        reasoning=message.get("reasoning_content") or "",
        tool_calls=[[call["id"], call["function"]["name"], call["function"]["arguments"]] for call in calls],
        finish={choice["index"]: choice["finish_reason"]},
        usage=reply.get("usage"),
        models={reply["model"]},
    )


def check(seen: Observed, expect: dict[str, Any]) -> None:
    """Hold an observation against the manifest's ``expect``."""
    assert seen.text == expect["text"]
    assert seen.reasoning == expect.get("reasoning", "")
    calls = [{"id": id_, "name": name, "arguments": json.loads(args)} for id_, name, args in seen.tool_calls]
    assert calls == expect.get("tool_calls", [])
    if "error" not in expect:
        assert seen.finish == {0: expect["finish"]}
    if "usage" not in expect:
        return
    assert seen.usage is not None
    usage = expect["usage"]
    assert (seen.usage["prompt_tokens"], seen.usage["completion_tokens"]) == (usage["input"], usage["output"])
    assert seen.usage["prompt_tokens_details"]["cached_tokens"] == usage["cached"]
    if "reasoning" in usage:
        assert seen.usage["completion_tokens_details"]["reasoning_tokens"] == usage["reasoning"]


def through_native(stream: NativeStream, pieces: Sequence[bytes]) -> bytes:
    """What the byte lane gives a client for these reads; raises as the stream does, ``partial`` set on the error."""
    out = b""
    try:
        for piece in pieces:
            out += stream.feed(piece)
            if stream.ended:
                break
        return out + stream.finish()
    except Exception as error:
        error.partial = out  # type: ignore[attr-defined]
        raise


def through_translation(decoder: StreamDecoder, encoder: StreamEncoder, pieces: Sequence[bytes]) -> bytes:
    """The same by way of events."""
    out = b""
    try:
        for piece in (*pieces, b""):
            events = decoder.feed(piece)
            out += encoder.encode(events)
            if any(isinstance(event, Ended) for event in events):
                return out + encoder.finish()
        return out + encoder.encode(decoder.close()) + encoder.finish()
    except Exception as error:
        error.partial = out  # type: ignore[attr-defined]
        raise


def splits(data: bytes) -> Iterator[Sequence[bytes]]:
    """Whole, cut in two at every position, and byte by byte."""
    yield (data,)
    for at in range(1, len(data)):
        yield data[:at], data[at:]
    yield [data[at : at + 1] for at in range(len(data))]
