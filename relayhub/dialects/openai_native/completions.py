"""``POST /v1/completions``: text that goes on, without roles."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.dialects.event_stream import EventTap
from relayhub.dialects.fields import invalid_value, optional, wrong_type
from relayhub.dialects.openai_chat.ending import Ending
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_chat.native import native_request, renamed
from relayhub.dialects.openai_chat.native_stream import DONE, ModelRenamer
from relayhub.dialects.openai_chat.stream_encoder import TERMINAL
from relayhub.dialects.openai_chat.upstream_json import integer, objects, string
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.openai_native.dialect import NativeAnswer
from relayhub.dialects.openai_native.json_bodies import read_object
from relayhub.dialects.sse import data_of
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types import limits
from relayhub.types.call import Dialect
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Body, HttpReply
from relayhub.types.json import Json, JsonObject

MAX_CHOICES = 128
"""For ``n`` and ``best_of`` alike; OpenAI itself allows fewer."""

MAX_PROMPTS = 2048
"""What OpenAI allows in one request."""


class OpenAICompletions:
    """See :class:`relayhub.dialects.openai_native.dialect.NativeDialect`."""

    name: str = Dialect.OPENAI_COMPLETIONS.value

    def native_request(self, body: Body, *, model: str, envelope: Envelope) -> bytes:
        assert isinstance(body, bytes)
        return native_request(body, model=model, envelope=envelope)

    def native_reply(self, reply: HttpReply, view: ClientView) -> NativeAnswer:
        body, value = read_object(reply.body, "a completion")
        choices = objects(value.get("choices"))
        if not choices:
            raise upstream_broke("it has no choices")
        return NativeAnswer(renamed(body, view.rename_to), read_usage(value.get("usage")), sum(map(_chars, choices)))

    def native_stream(self, headers: Mapping[str, str], view: ClientView) -> NativeStream:
        return CompletionStream(rename_to=view.rename_to, include_usage=view.envelope.include_usage)


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    stream = optional(request, "stream", bool, "true or false") or False
    options = optional(request, "stream_options", dict, "an object") or {}
    asked = optional(options, "include_usage", bool, "true or false", "stream_options.") or False
    return Envelope(
        model=read_model(request),
        stream=stream,
        include_usage=stream and asked,
        output_cap=_output_cap(request),
        choices=_choices(request) * _prompts(request.get("prompt")),
        user=read_user(request),
    )


def _output_cap(request: JsonObject) -> int | None:
    """Zero is allowed: with ``echo`` it only scores the prompt. Then, as without a cap (upstreams' defaults differ), the
    model's own limit is held."""
    cap = optional(request, "max_tokens", int, "an integer")
    if cap is not None and not 0 <= cap <= limits.MAX_TOKENS_REPORTED:
        raise invalid_value("max_tokens", f"must be between 0 and {limits.MAX_TOKENS_REPORTED}")
    return cap


def _choices(request: JsonObject) -> int:
    """What is generated for each prompt: ``best_of`` candidates are paid for, though only ``n`` are shown."""
    return max(_count(request, "n"), _count(request, "best_of"))


def _count(request: JsonObject, key: str) -> int:
    count = optional(request, key, int, "an integer")
    if count is not None and not 1 <= count <= MAX_CHOICES:
        raise invalid_value(key, f"must be between 1 and {MAX_CHOICES}")
    return 1 if count is None else count


def _prompts(prompt: Json) -> int:
    """How many prompts there are: one text or list of tokens, or several of them."""
    if prompt is None or isinstance(prompt, str):
        return 1
    if not isinstance(prompt, list):
        raise wrong_type("prompt", "a string, an array of strings, or tokens")
    if len(prompt) > MAX_PROMPTS and not isinstance(prompt[0], int):
        raise invalid_value("prompt", f"must have at most {MAX_PROMPTS} items")
    return 1 if not prompt or isinstance(prompt[0], int) else len(prompt)


def _chars(choice: JsonObject) -> int:
    return len(string(choice.get("text")))


class CompletionStream(EventTap):
    """Chunks as they came; a real end is as in chat (:class:`Ending`). The usage event is only for clients that asked."""

    def __init__(self, *, rename_to: str | None, include_usage: bool) -> None:
        super().__init__()
        self._include_usage = include_usage
        self._renamer = None if rename_to is None else ModelRenamer(rename_to)
        self._course = Ending()

    def _frame(self, frame: bytes) -> bytes:
        data = data_of(frame) if self._last is None else None
        if data is None or data.strip() != DONE:
            return super()._frame(frame)
        self._course.end()
        self._last = TERMINAL
        return b""

    def _event(self, frame: bytes, data: bytes, value: JsonObject) -> bytes:
        if value.get("error"):
            raise in_stream_error(value["error"])
        self.started = self._course.begun = True
        usage, choices = value.get("usage"), objects(value.get("choices"))
        if usage is not None:
            self.usage = read_usage(usage) or self.usage
        if not choices and usage is not None and not self._include_usage:
            return b""
        for position, choice in enumerate(choices):
            self._see(choice, integer(choice.get("index"), position))
        return frame if self._renamer is None else self._renamer.rename(frame, data)

    def _see(self, choice: JsonObject, index: int) -> None:
        if self._course.see(index, bool(choice.get("finish_reason"))):
            self.delivered_chars += _chars(choice)

    def _ending(self) -> bytes:
        self._course.check()
        return TERMINAL
