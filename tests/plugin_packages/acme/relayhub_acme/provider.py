"""The provider and its wires."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from relayhub.sdk import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Choice,
    EmbeddingReply,
    EmbeddingRequest,
    Ended,
    Finished,
    FinishReason,
    HttpReply,
    HttpRequest,
    LineSplitter,
    Message,
    ProviderContext,
    Role,
    Started,
    TextDelta,
    TextPart,
    UpstreamError,
    Usage,
    UsageReported,
    read_upstream_error,
    upstream_broke,
)

MACHINE = 1


class AcmeSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field("https://talk.acme.example", description="Where the machines are.")
    api_key: SecretStr = Field(description="Acme's key.")


class AcmeProvider:
    """A :class:`relayhub.sdk.ChatProvider` and :class:`relayhub.sdk.EmbeddingProvider`."""

    def __init__(self, settings: AcmeSettings, _context: ProviderContext) -> None:
        self._settings = settings

    def chat(self) -> AcmeChat:
        return AcmeChat(self._settings)

    def embeddings(self) -> AcmeEmbeddings:
        return AcmeEmbeddings(self._settings)


def _post(settings: AcmeSettings, path: str, value: object) -> HttpRequest:
    headers = {"content-type": "application/json", "x-acme-key": settings.api_key.get_secret_value()}
    return HttpRequest("POST", settings.base_url + path, headers, json.dumps(value).encode())


def _read(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise upstream_broke("it is not JSON", detail=repr(error)) from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not a JSON object")
    return value


def _usage(value: dict[str, object]) -> Usage:
    heard, spoken = value.get("heard"), value.get("spoken")
    if not isinstance(heard, int) or not isinstance(spoken, int):
        raise upstream_broke("it does not say what was used")
    return Usage(input_tokens=heard, output_tokens=spoken)


def acme_error(reply: HttpReply, key: str) -> UpstreamError:
    """``{"problem": "…"}`` with the usual statuses."""
    try:
        said = str(json.loads(reply.body)["problem"])
    except (ValueError, KeyError, TypeError):
        said = ""
    return read_upstream_error(reply, said, secrets=[key])


class AcmeChat:
    """A :class:`relayhub.sdk.ChatWire`."""

    def __init__(self, settings: AcmeSettings) -> None:
        self._settings = settings

    def request(self, model: str, request: ChatRequest) -> HttpRequest:
        lines = [
            {"who": message.role.value, "says": "".join(p.text for p in message.parts if isinstance(p, TextPart))}
            for message in request.messages
        ]
        return _post(self._settings, "/talk", {"machine": model, "lines": lines, "flow": request.stream})

    def reply(self, reply: HttpReply) -> ChatReply:
        value = _read(reply.body)
        if not isinstance(value.get("says"), str):
            raise upstream_broke("nothing is said in it")
        message = Message(Role.ASSISTANT, (TextPart(str(value["says"])),), plain=True)
        choice = Choice(0, message, FinishReason.STOP)
        return ChatReply("acme-1", str(value.get("machine")), MACHINE, (choice,), _usage(value))

    def reader(self) -> AcmeReader:
        return AcmeReader()

    def error(self, reply: HttpReply) -> UpstreamError:
        return acme_error(reply, self._settings.api_key.get_secret_value())


class AcmeReader:
    """JSON lines: ``{"machine": …}``, any number of ``{"says": …}``, then ``{"over": true, "heard": …, "spoken": …}``."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._over = False

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        return [event for line in self._lines.feed(data) for event in self._line(line)]

    def _line(self, line: bytes) -> Iterator[ChatEvent]:
        value = _read(line)
        if "problem" in value:
            raise upstream_broke("it stopped with a problem", detail=str(value["problem"]))
        if "machine" in value:
            yield Started("acme-1", str(value["machine"]), MACHINE)
        if "says" in value:
            yield TextDelta(0, str(value["says"]))
        if value.get("over"):
            self._over = True
            yield Finished(0, FinishReason.STOP)
            yield UsageReported(_usage(value))
            yield Ended()

    def close(self) -> Sequence[ChatEvent]:
        if not self._over:
            raise upstream_broke("it ended in the middle")
        return []


class AcmeEmbeddings:
    """A :class:`relayhub.sdk.EmbeddingWire`."""

    def __init__(self, settings: AcmeSettings) -> None:
        self._settings = settings

    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        return _post(self._settings, "/place", {"machine": model, "texts": list(request.inputs)})

    def reply(self, reply: HttpReply) -> EmbeddingReply:
        value = _read(reply.body)
        places = value.get("places")
        if not isinstance(places, list):
            raise upstream_broke("there are no places in it")
        heard = value.get("heard")
        vectors = tuple(tuple(float(number) for number in place) for place in places)
        return EmbeddingReply(str(value.get("machine")), vectors, Usage(heard) if isinstance(heard, int) else None)

    def error(self, reply: HttpReply) -> UpstreamError:
        return acme_error(reply, self._settings.api_key.get_secret_value())
