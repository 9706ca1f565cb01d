"""Google's own SDK reads what the codec writes, over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError, ClientError, ServerError

from relayhub.dialects.codec import ClientView
from relayhub.dialects.gemini_generate import GeminiGenerate, render_error
from relayhub.types.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Choice,
    Finished,
    FinishReason,
    Message,
    Reasoning,
    ReasoningDelta,
    Role,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import ErrorKind
from relayhub.types.usage import Usage
from tests.dialects.test_error_tables import make
from tests.dialects.views import envelope

CODEC = GeminiGenerate()
VIEW = ClientView(
    envelope("m"), "m", "m", "c1", request=ChatRequest("gemini.generate", "m", (), reasoning=Reasoning(include=True))
)
CALLS: tuple[ChatEvent, ...] = (
    ReasoningDelta(0, "Both tools."),
    ReasoningDelta(0, "", "sig", signer="anthropic.messages"),
    TextDelta(0, "Let me look, 世界."),
    ToolCallStarted(0, 0, "a", "f"),
    ToolCallDelta(0, 0, '{"x"'),
    ToolCallDelta(0, 0, ":1}"),
    ToolCallStarted(0, 1, "b", "g"),
)


@dataclass
class Answers:
    """What the next request gets; ``asked``: the bodies that came."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def served(answers: Answers) -> Iterator[genai.Client]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.asked.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(answers.status)
            self.send_header("content-type", answers.content_type)
            self.send_header("content-length", str(len(answers.body)))
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.server_port}")
        client = genai.Client(api_key="k", http_options=options)
        try:
            yield client
        finally:
            client.close()
            server.shutdown()
            thread.join()


def streamed(*events: ChatEvent, finish: FinishReason = FinishReason.STOP) -> Answers:
    encoder = CODEC.stream_encoder(VIEW)
    all_events = (Started("", "m", 0), *events, Finished(0, finish), UsageReported(Usage(5, 4, 2, 0, 1)))
    return Answers(body=encoder.encode(all_events) + encoder.finish(), content_type="text/event-stream")


def test_a_streamed_tool_turn_is_read_whole() -> None:
    with served(streamed(*CALLS, finish=FinishReason.TOOL_CALLS)) as client:
        chunks = list(client.models.generate_content_stream(model="m", contents="q"))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]  # type: ignore[index,union-attr]
    assert "".join(part.text or "" for part in parts if part.thought) == "Both tools."
    assert "".join(part.text or "" for part in parts if not part.thought) == "Let me look, 世界."
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.name, call.args) for call in calls] == [("a", "f", {"x": 1}), ("b", "g", {})]
    last = chunks[-1]
    assert last.candidates is not None
    assert last.usage_metadata is not None
    assert last.candidates[0].finish_reason is types.FinishReason.STOP
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (5, 3, 9)
    assert (usage.cached_content_token_count, usage.thoughts_token_count) == (2, 1)


def test_a_chat_session_sends_a_streamed_turn_back_with_its_signature() -> None:
    answers = streamed(*CALLS[:3])
    with served(answers) as client:
        chat = client.chats.create(model="m")
        list(chat.send_message_stream("q"))
        list(chat.send_message_stream("more"))
    raw = answers.asked[1]
    request = CODEC.decode_request(raw, CODEC.envelope(raw, model="m"))
    thought, text = request.messages[1].parts[0], request.messages[1].parts[1]
    assert (getattr(thought, "text", ""), getattr(thought, "signature", "")) == ("Both tools.", "sig")
    assert text == TextPart("Let me look, 世界.")


def test_a_whole_answer_is_read() -> None:
    message = Message(Role.ASSISTANT, (TextPart("a"), ToolCallPart("c", "f", '{"x":1}')))
    reply = ChatReply("r", "m", 0, (Choice(0, message, FinishReason.TOOL_CALLS),), Usage(5, 4))
    with served(Answers(body=CODEC.encode_reply(reply, VIEW))) as client:
        read = client.models.generate_content(model="m", contents="q")
    assert read.function_calls is not None
    assert (read.function_calls[0].name, read.function_calls[0].args, read.model_version) == ("f", {"x": 1}, "m")


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_errors_are_read_by_status(kind: ErrorKind) -> None:
    rendered = render_error(make(kind, retry_after_s=2), "req_1")
    with served(Answers(rendered.status, rendered.body)) as client, pytest.raises(APIError) as caught:
        client.models.generate_content(model="m", contents="q")
    error = json.loads(rendered.body)["error"]
    assert (caught.value.code, caught.value.status, caught.value.message) == (
        rendered.status,
        error["status"],
        "It broke.",
    )
    assert isinstance(caught.value, ClientError if rendered.status < 500 else ServerError)


def test_an_error_in_the_middle_is_raised() -> None:
    encoder = CODEC.stream_encoder(VIEW)
    start: tuple[Any, ...] = (Started("", "m", 0), TextDelta(0, "a"))
    event = CODEC.encode_error_event(make(ErrorKind.UPSTREAM_OVERLOADED), "r", VIEW.envelope)
    answers = Answers(body=encoder.encode(start) + event, content_type="text/event-stream")
    with served(answers) as client:
        stream = client.models.generate_content_stream(model="m", contents="q")
        assert next(stream).text == "a"
        with pytest.raises(APIError) as caught:
            next(stream)
    assert caught.value.status == "UNAVAILABLE"
