"""Each rule of the published suites catches the defect it is there for: a provider with exactly one fault fails exactly
the rules that are about it, and the sound one none."""

from __future__ import annotations

import json
import socket
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from relayhub.sdk import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Dialect,
    Effect,
    EmbeddingReply,
    EmbeddingRequest,
    Ended,
    ErrorKind,
    Finished,
    HttpReply,
    HttpRequest,
    Operation,
    ProviderContext,
    ProviderType,
    Started,
    TextDelta,
    UpstreamError,
    Usage,
    UsageReported,
    decode_openai_error,
)
from relayhub.testing import ChatWireSuite, EmbeddingWireSuite, NativeSuite, RegistrationSuite, TransportSuite
from tests.plugin_packages.test_acme import TestAcme as AcmeSuite
from tests.plugin_packages.test_demo import TestDemo as DemoSuite

from relayhub_acme.provider import AcmeChat, AcmeEmbeddings, AcmeReader, AcmeSettings  # isort: skip

KEY = "canary-key-0123456789"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr = Field(description="Key.")


class Native:
    """A sound native provider; a fault overrides one method."""

    def __init__(self, settings: Settings, _context: ProviderContext) -> None:
        self.key = settings.api_key

    def native(self, _dialect: Dialect) -> Native | None:
        return self

    def request(self, operation: Operation, body: bytes, *, stream: bool) -> HttpRequest:
        headers = {"authorization": f"Bearer {self.key.get_secret_value()}"}
        return HttpRequest("POST", "https://up.example/v1/chat", headers, body)

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)


def failing_rules(suite: type[Any]) -> set[str]:
    """The names of the rules that a suite's subclass breaks."""
    broken = set()
    for name in dir(suite):
        if not name.startswith("test_"):
            continue
        try:
            getattr(suite(), name)()
        except AssertionError as error:
            if not str(error):
                pytest.fail(f"{name} fails without saying what to do")
            broken.add(name)
        except (UpstreamError, TypeError, ValueError, KeyError, IndexError, AttributeError):
            broken.add(name)
    return broken


def provider_type(build: Callable[..., object] = Native, **changes: Any) -> ProviderType[Any]:
    return replace(ProviderType(name="sound", settings=Settings, build=build, summary="Sound."), **changes)


# --- registration -----------------------------------------------------------------------------------------------------


def registration(kind: ProviderType[Any], settings: dict[str, object] | None = None, source: str = "") -> set[str]:
    class Suite(RegistrationSuite):
        provider_type = kind
        package = types.ModuleType("planted")

    Suite.settings = {"api_key": KEY} if settings is None else settings
    file = Path(__file__).parent / "fixture_plugin.py"
    if source:
        file = Path(str(source))
    Suite.package.__file__ = str(file)
    return failing_rules(Suite)


class Lax(BaseModel):
    api_key: SecretStr = Field(description="Key.")


class Silent(Settings):
    colour: str = ""


class Plain(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api_key: str = Field(description="Key.")


class Clashing(Settings):
    proxy: str = Field("", description="Taken by every provider.")


class Talkative(Native):
    def __repr__(self) -> str:
        return f"Talkative({self.key.get_secret_value()})"


class Dialling(Native):
    def __init__(self, settings: Settings, context: ProviderContext) -> None:
        super().__init__(settings, context)
        socket.socket().close()


class Useless:
    def __init__(self, settings: Settings, context: ProviderContext) -> None:
        pass


class BadTransport(Native):
    def transport(self) -> object:
        return types.SimpleNamespace(send=None, close=None)


REGISTRATION: dict[str, tuple[ProviderType[Any], str]] = {
    "an illegal name": (provider_type(name="Not Legal"), "test_the_host_accepts_the_descriptor"),
    "another contract": (provider_type(sdk=99), "test_the_host_accepts_the_descriptor"),
    "a clashing setting": (provider_type(settings=Clashing), "test_the_host_accepts_the_descriptor"),
    "no summary": (provider_type(summary=" "), "test_the_summary_is_one_line"),
    "lax settings": (provider_type(settings=Lax), "test_unknown_settings_are_refused"),
    "an undescribed setting": (provider_type(settings=Silent), "test_every_setting_is_described"),
    "a repr with the key": (provider_type(Talkative), "test_secrets_do_not_show_in_a_repr"),
    "a socket at build": (provider_type(Dialling), "test_building_touches_no_network"),
    "nothing it can do": (provider_type(Useless), "test_it_can_do_something"),
    "a transport that is none": (provider_type(BadTransport), "test_a_transport_is_one"),
}


def test_a_sound_registration_breaks_no_rule() -> None:
    assert registration(provider_type()) == set()


@pytest.mark.parametrize("fault", REGISTRATION)
def test_a_registration_fault_is_caught_by_its_rule(fault: str) -> None:
    kind, rule = REGISTRATION[fault]
    assert registration(kind) == {rule}


def test_a_secret_as_a_plain_string_is_caught() -> None:
    class Reads(Native):
        def __init__(self, settings: Any, context: ProviderContext) -> None:
            self.key = SecretStr(settings.api_key)

    assert registration(provider_type(Reads, settings=Plain)) == {"test_secrets_are_secret_strings"}


def test_an_import_of_the_hubs_inside_is_caught(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("from relayhub.store.store import Store\n")
    broken = registration(provider_type(), source=str(tmp_path / "planted.py"))
    assert broken == {"test_the_package_imports_nothing_of_the_hub_but_its_sdk"}


# --- native -----------------------------------------------------------------------------------------------------------


def native(build: Callable[..., object], error_body: str = '{"error": {"message": "{message}"}}') -> set[str]:
    class Suite(NativeSuite):
        provider_type = globals()["provider_type"](build)
        settings = {"api_key": KEY}

    Suite.error_body = error_body
    return failing_rules(Suite)


def requesting(**changes: Any) -> type[Native]:
    class Faulty(Native):
        def request(self, operation: Operation, body: bytes, *, stream: bool) -> HttpRequest:
            return replace(super().request(operation, body, stream=stream), **changes)

    return Faulty


def erring(change: Callable[[HttpReply, UpstreamError], None]) -> type[Native]:
    class Faulty(Native):
        def error(self, reply: HttpReply) -> UpstreamError:
            error = super().error(reply)
            change(reply, error)
            return error

    return Faulty


def setting(when: int, **values: object) -> type[Native]:
    def change(reply: HttpReply, error: UpstreamError) -> None:
        if reply.status == when:
            for name, value in values.items():
                setattr(error, name, value)

    return erring(change)


def leaking(reply: HttpReply, error: UpstreamError) -> None:
    error.message = (
        json.loads(reply.body or b"null")["error"]["message"] if b"provided" in reply.body else error.message
    )


class Strict(Native):
    def error(self, reply: HttpReply) -> UpstreamError:
        json.loads(reply.body)["error"]["message"]
        return super().error(reply)


AUTH = {"authorization": f"Bearer {KEY}"}
NATIVE: dict[str, tuple[type[Native], set[str]]] = {
    "a relative url": (requesting(url="/v1/chat"), {"test_requests_are_posted_to_an_absolute_url"}),
    "another method": (requesting(method="PUT"), {"test_requests_are_posted_to_an_absolute_url"}),
    "a rewritten body": (requesting(body=b"{}"), {"test_the_clients_bytes_pass_untouched"}),
    "the key in the url": (
        requesting(url=f"https://up.example/?key={KEY}"),
        {"test_the_credential_is_in_a_header_and_not_in_the_url"},
    ),
    "no key at all": (requesting(headers={}), {"test_the_credential_is_in_a_header_and_not_in_the_url"}),
    "a free generation": (requesting(effect=Effect.NONE), {"test_generations_are_marked_as_paid"}),
    "loud header names": (
        requesting(headers={"Authorization": f"Bearer {KEY}"}),
        {"test_header_names_are_lower_case_and_end_to_end"},
    ),
    "hop-by-hop headers": (
        requesting(headers={**AUTH, "connection": "close"}),
        {"test_header_names_are_lower_case_and_end_to_end"},
    ),
    "a 400 tried again": (setting(400, retryable=True), {"test_a_refused_content_is_the_clients_to_mend"}),
    "a 400 without words": (setting(400, message="no"), {"test_a_refused_content_is_the_clients_to_mend"}),
    "a 401 as the client's": (
        setting(401, kind=ErrorKind.AUTHENTICATION),
        {"test_the_upstreams_own_refusal_of_its_key_is_not_the_clients"},
    ),
    "a 429 that is final": (
        setting(429, retryable=False),
        {"test_a_rate_limit_may_be_tried_elsewhere_and_says_when"},
    ),
    "a 429 without its wait": (
        setting(429, retry_after_s=None),
        {"test_a_rate_limit_may_be_tried_elsewhere_and_says_when"},
    ),
    "a 503 that is final": (setting(503, delivered=True), {"test_an_overload_may_be_tried_elsewhere"}),
    "a 500 sent again": (setting(500, delivered=False), {"test_a_crash_of_the_upstream_is_ambiguous"}),
    "a forgotten status": (setting(500, status=None), {"test_the_upstreams_status_is_kept"}),
    "an error reader that trips": (Strict, {"test_an_error_that_is_no_error_object_is_read_too"}),
    "a key in the message": (erring(leaking), {"test_messages_never_show_the_key"}),
}


def test_a_sound_native_provider_breaks_no_rule() -> None:
    assert native(Native) == set()


@pytest.mark.parametrize("fault", NATIVE)
def test_a_native_fault_is_caught_by_its_rule(fault: str) -> None:
    build, rules = NATIVE[fault]
    assert native(build) == rules


# --- chat and embedding wires -----------------------------------------------------------------------------------------


class Wires:
    """Acme's sound wires; a fault replaces one."""

    chat_wire: type[AcmeChat] = AcmeChat
    embedding_wire: type[AcmeEmbeddings] = AcmeEmbeddings

    def __init__(self, settings: AcmeSettings, _context: ProviderContext) -> None:
        self._settings = settings

    def chat(self) -> AcmeChat:
        return self.chat_wire(self._settings)

    def embeddings(self) -> AcmeEmbeddings:
        return self.embedding_wire(self._settings)


def wired(chat: type[AcmeChat] = AcmeChat, embedding: type[AcmeEmbeddings] = AcmeEmbeddings) -> set[str]:
    class Build(Wires):
        chat_wire = chat
        embedding_wire = embedding

    class Suite(AcmeSuite):
        provider_type = ProviderType(name="acme", settings=AcmeSettings, build=Build, summary="Planted.")

    return failing_rules(Suite)


def chat_requesting(**changes: Any) -> type[AcmeChat]:
    class Faulty(AcmeChat):
        def request(self, model: str, request: ChatRequest) -> HttpRequest:
            return replace(super().request(model, request), **changes)

    return Faulty


def chat_replying(change: Callable[[ChatReply], ChatReply]) -> type[AcmeChat]:
    class Faulty(AcmeChat):
        def reply(self, reply: HttpReply) -> ChatReply:
            return change(super().reply(reply))

    return Faulty


def reading(reader_type: type[AcmeReader]) -> type[AcmeChat]:
    class Faulty(AcmeChat):
        def reader(self) -> AcmeReader:
            return reader_type()

    return Faulty


def filtering(keep: Callable[[ChatEvent], bool]) -> type[AcmeReader]:
    class Faulty(AcmeReader):
        def feed(self, data: bytes) -> Sequence[ChatEvent]:
            return [event for event in super().feed(data) if keep(event)]

    return Faulty


class Careless(AcmeReader):
    """Parses each read for itself."""

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        events: list[ChatEvent] = []
        for line in data.split(b"\n"):
            try:
                events += self._line(line) if line.strip() else []
            except UpstreamError:
                continue
        return events


class Hopeful(AcmeReader):
    """Takes any end for the end."""

    def close(self) -> Sequence[ChatEvent]:
        return []


class Twice(AcmeReader):
    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        return list(self._doubled(super().feed(data)))

    def _doubled(self, events: Sequence[ChatEvent]) -> Iterator[ChatEvent]:
        for event in events:
            yield event
            if isinstance(event, Finished):
                yield event


class Credulous(AcmeChat):
    def reply(self, reply: HttpReply) -> ChatReply:
        try:
            return super().reply(reply)
        except UpstreamError:
            return super().reply(HttpReply(200, {}, b'{"says": "", "heard": 0, "spoken": 0}'))


WIRES: dict[str, tuple[type[AcmeChat], set[str]]] = {
    "a relative url": (chat_requesting(url="/talk"), {"test_requests_go_to_an_absolute_url"}),
    "no key at all": (chat_requesting(headers={}), {"test_the_credential_is_in_a_header_and_not_in_the_url"}),
    "a free generation": (chat_requesting(effect=Effect.NONE), {"test_generations_are_marked_as_paid"}),
    "a question left out": (chat_requesting(body=b"{}"), {"test_what_the_user_said_is_in_the_request"}),
    "an answer without text": (
        chat_replying(
            lambda reply: replace(
                reply, choices=(replace(reply.choices[0], message=replace(reply.choices[0].message, parts=())),)
            )
        ),
        {"test_a_whole_answer_is_read"},
    ),
    "an answer without usage": (
        chat_replying(lambda reply: replace(reply, usage=Usage())),
        {"test_a_whole_answer_tells_its_usage"},
    ),
    "garbage taken for an answer": (Credulous, {"test_an_unreadable_answer_is_an_upstream_error"}),
    "a stream that does not start": (
        reading(filtering(lambda event: not isinstance(event, Started))),
        {"test_a_stream_is_read"},
    ),
    "a stream without text": (
        reading(filtering(lambda event: not isinstance(event, TextDelta))),
        {"test_a_stream_is_read"},
    ),
    "a stream without usage": (
        reading(filtering(lambda event: not isinstance(event, UsageReported))),
        {"test_a_stream_tells_its_usage"},
    ),
    "a choice that finishes twice": (reading(Twice), {"test_every_choice_finishes_once"}),
    "a choice that never finishes": (
        reading(filtering(lambda event: not isinstance(event, Finished | Ended))),
        {"test_every_choice_finishes_once"},
    ),
    "each read for itself": (
        reading(Careless),
        {"test_any_split_of_a_stream_gives_the_same_events"},
    ),
    "any end is the end": (reading(Hopeful), {"test_a_truncated_stream_is_never_a_normal_end"}),
}


def test_sound_wires_break_no_rule() -> None:
    assert wired() == set()


@pytest.mark.parametrize("fault", WIRES)
def test_a_chat_fault_is_caught_by_its_rule(fault: str) -> None:
    wire, rules = WIRES[fault]
    assert rules <= wired(chat=wire)
    assert wired(chat=wire) <= rules | {"test_a_truncated_stream_is_never_a_normal_end"}


class Unsorted(AcmeEmbeddings):
    def reply(self, reply: HttpReply) -> EmbeddingReply:
        found = super().reply(reply)
        return replace(found, vectors=tuple(reversed(found.vectors)))


class OneInput(AcmeEmbeddings):
    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        return super().request(model, replace(request, inputs=(str(request.inputs[0]),)))


class FreeEmbedding(AcmeEmbeddings):
    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        return replace(super().request(model, request), effect=Effect.NONE)


class CredulousEmbedding(AcmeEmbeddings):
    def reply(self, reply: HttpReply) -> EmbeddingReply:
        try:
            return super().reply(reply)
        except UpstreamError:
            return EmbeddingReply("m", ())


@pytest.mark.parametrize(
    ("wire", "rule"),
    [
        (Unsorted, "test_vectors_come_in_the_order_of_the_inputs"),
        (OneInput, "test_every_input_is_in_the_request"),
        (FreeEmbedding, "test_embeddings_are_marked_as_paid"),
        (CredulousEmbedding, "test_an_unreadable_embedding_is_an_upstream_error"),
    ],
)
def test_an_embedding_fault_is_caught_by_its_rule(wire: type[AcmeEmbeddings], rule: str) -> None:
    assert wired(embedding=wire) == {rule}


# --- transport --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda reply, stream: replace(reply, body=b"{}") if not stream else reply, "test_a_whole_answer_is_openais"),
        (
            lambda reply, stream: replace(reply, headers={"content-type": "text/html"}) if stream else reply,
            "test_a_stream_is_openais",
        ),
    ],
)
def test_a_transport_fault_is_caught_by_its_rule(change: Callable[[HttpReply, bool], HttpReply], rule: str) -> None:
    class Suite(DemoSuite):
        def exchange(self, *, stream: bool) -> HttpReply:
            return change(super().exchange(stream=stream), stream)

    assert failing_rules(Suite) == {rule}


def test_an_answer_by_chance_is_caught() -> None:
    answers = iter(range(100))

    class Suite(DemoSuite):
        def exchange(self, *, stream: bool) -> HttpReply:
            reply = super().exchange(stream=stream)
            return replace(reply, body=reply.body.replace(b"chatcmpl-", b"chatcmpl-%d" % next(answers)))

    assert failing_rules(Suite) == {"test_the_same_question_has_the_same_answer"}


def test_every_published_rule_has_a_planted_defect() -> None:
    """A rule that nothing here breaks could as well always pass."""
    published = {
        name
        for suite in (RegistrationSuite, NativeSuite, ChatWireSuite, EmbeddingWireSuite, TransportSuite)
        for name in dir(suite)
        if name.startswith("test_")
    }
    planted = {rule for _, rule in REGISTRATION.values()}
    planted |= {rule for _, rules in (*NATIVE.values(), *WIRES.values()) for rule in rules}
    source = Path(__file__).read_text()
    planted |= {rule for rule in published if f'"{rule}"' in source}
    assert published - planted == set()
