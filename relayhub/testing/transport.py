"""Rules for providers that bring their own transport and speak OpenAI's wire over it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

import orjson

from relayhub.sdk import (
    Deadlines,
    Dialect,
    Framing,
    HttpReply,
    NativeCall,
    NativeProvider,
    OpenAIChat,
    Operation,
    Started,
    TextDelta,
    TransportProvider,
    UsageReported,
)
from relayhub.testing.registration import ProviderCase


class TransportSuite(ProviderCase):
    """``chat_model``: a model that answers a small question."""

    chat_model: ClassVar[str]

    def exchange(self, *, stream: bool) -> HttpReply:
        """Ask over the provider's own transport."""
        return asyncio.run(self._exchange(stream))

    async def _exchange(self, stream: bool) -> HttpReply:
        built = self.build()
        assert isinstance(built, TransportProvider) and isinstance(built, NativeProvider)
        wire = built.native(Dialect.OPENAI_CHAT)
        assert wire is not None
        asked = {"model": self.chat_model, "messages": [{"role": "user", "content": "Hello!"}], "stream": stream}
        if stream:
            asked["stream_options"] = {"include_usage": True}
        request = wire.request(
            NativeCall(Operation.CHAT, self.chat_model, orjson.dumps(asked), Framing.SSE if stream else None)
        )
        transport = built.transport()
        async with transport.send(request, Deadlines()) as reply:
            body = b""
            async with aclosing(reply.chunks()) as chunks:
                async for piece in chunks:
                    body += piece
        await transport.close()
        return HttpReply(reply.status, reply.headers, body)

    def test_a_whole_answer_is_openais(self) -> None:
        reply = self.exchange(stream=False)
        assert reply.status == 200, f"the answer's status is {reply.status}"
        assert reply.headers.get("content-type", "").startswith("application/json"), "header names lower case, please"
        decoded = OpenAIChat().decode_reply(reply.body)
        assert decoded.choices[0].message.parts and decoded.usage is not None, "an answer has content and usage"

    def test_a_stream_is_openais(self) -> None:
        reply = self.exchange(stream=True)
        assert reply.headers.get("content-type", "").startswith("text/event-stream"), "a stream is text/event-stream"
        decoder = OpenAIChat().stream_decoder()
        events = [*decoder.feed(reply.body), *decoder.close()]
        kinds = {type(event) for event in events}
        assert {Started, TextDelta, UsageReported} <= kinds, "a stream begins, speaks and tells its usage"

    def test_the_same_question_has_the_same_answer(self) -> None:
        assert self.exchange(stream=True).body == self.exchange(stream=True).body, "answers must not depend on chance"
