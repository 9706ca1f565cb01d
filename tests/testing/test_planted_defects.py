"""Each rule of the published suites catches the defect it is there for: a provider with exactly one fault fails exactly
the rules that are about it, and the sound one none."""

from __future__ import annotations

import itertools
import json
import socket
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import SkipTest

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
    NativeCall,
    Operation,
    ProviderContext,
    ProviderType,
    Started,
    Steps,
    TextDelta,
    UpstreamError,
    Usage,
    UsageReported,
    decode_openai_error,
    hookimpl,
    upstream_broke,
)
from relayhub.testing import (
    ChatWireSuite,
    EmbeddingWireSuite,
    ModelListSuite,
    NativeSuite,
    RegistrationSuite,
    TransportSuite,
)
from relayhub.testing.registration import ProviderCase
from tests.plugin_packages.test_acme import TestAcme as AcmeSuite
from tests.plugin_packages.test_demo import TestDemo as DemoSuite

from relayhub_acme.provider import AcmeChat, AcmeEmbeddings, AcmeReader, AcmeSettings  # isort: skip

KEY = "canary-key-0123456789"
ACME_KEY = str(AcmeSuite.settings["api_key"])


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr = Field(description="Key.")


class Native:
    """A sound native provider; a fault overrides one method."""

    def __init__(self, settings: Settings, _context: ProviderContext) -> None:
        self.key = settings.api_key

    def native(self, dialect: Dialect) -> Native | None:
        return self if dialect is Dialect.OPENAI_CHAT else None

    def request(self, call: NativeCall) -> HttpRequest:
        headers = {"authorization": f"Bearer {self.key.get_secret_value()}"}
        return HttpRequest("POST", "https://up.example/v1/chat", headers, call.body)

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
        except SkipTest:
            continue
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


SOUND_SOURCE = Path(__file__).parent / "fixture_plugin.py"


def registering(*kinds: ProviderType[Any]) -> types.ModuleType:
    """A plugin that registers these."""

    @hookimpl
    def relayhub_register_providers() -> list[ProviderType[Any]]:
        return list(kinds)

    module = types.ModuleType("planted")
    vars(module)["relayhub_register_providers"] = relayhub_register_providers
    return module


def registration(
    kind: ProviderType[Any], module: types.ModuleType | None = None, source: Path = SOUND_SOURCE
) -> set[str]:
    class Suite(RegistrationSuite):
        provider_type = kind
        package = module or registering(kind)
        settings = {"api_key": KEY}

    Suite.package.__file__ = str(source)
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


class Peeking(Native):
    def __init__(self, settings: Settings, context: ProviderContext) -> None:
        super().__init__(settings, context)
        Path(__file__).read_text()


class Useless:
    def __init__(self, settings: Settings, context: ProviderContext) -> None:
        pass


class BadTransport(Native):
    def transport(self) -> object:
        return types.SimpleNamespace(send=None, close=None)


REGISTRATION: dict[str, tuple[ProviderType[Any], str]] = {
    "no summary": (provider_type(summary=" "), "test_the_summary_is_one_line"),
    "lax settings": (provider_type(settings=Lax), "test_unknown_settings_are_refused"),
    "an undescribed setting": (provider_type(settings=Silent), "test_every_setting_is_described"),
    "a repr with the key": (provider_type(Talkative), "test_secrets_do_not_show_in_a_repr"),
    "a socket at build": (provider_type(Dialling), "test_building_does_no_io"),
    "a file at build": (provider_type(Peeking), "test_building_does_no_io"),
    "nothing it can do": (provider_type(Useless), "test_it_can_do_something"),
    "a transport that is none": (provider_type(BadTransport), "test_a_transport_is_one"),
}


def test_a_sound_registration_breaks_no_rule() -> None:
    assert registration(provider_type()) == set()


@pytest.mark.parametrize("fault", REGISTRATION)
def test_a_registration_fault_is_caught_by_its_rule(fault: str) -> None:
    kind, rule = REGISTRATION[fault]
    assert registration(kind) == {rule}


@pytest.mark.parametrize(
    "kind",
    [provider_type(name="Not Legal"), provider_type(sdk=99), provider_type(settings=Clashing)],
    ids=lambda k: k.name,
)
def test_a_descriptor_that_the_host_refuses_is_caught_twice(kind: ProviderType[Any]) -> None:
    """By itself, and as what the package registers."""
    expected = {"test_the_host_accepts_the_descriptor", "test_the_package_registers_the_provider_type"}
    assert registration(kind) == expected


def unmarked() -> list[ProviderType[Any]]:
    return [provider_type()]


def misnamed() -> types.ModuleType:
    module = registering(provider_type())
    vars(module)["relayhub_register_provider"] = vars(module).pop("relayhub_register_providers")
    return module


def without_mark() -> types.ModuleType:
    module = types.ModuleType("planted")
    vars(module)["relayhub_register_providers"] = unmarked
    return module


@pytest.mark.parametrize("module", [registering(), misnamed(), without_mark()], ids=["nothing", "misnamed", "unmarked"])
def test_a_package_that_registers_nothing_is_caught(module: types.ModuleType) -> None:
    assert registration(provider_type(), module) == {"test_the_package_registers_the_provider_type"}


def test_a_secret_as_a_plain_string_is_caught() -> None:
    class Reads(Native):
        def __init__(self, settings: Any, context: ProviderContext) -> None:
            self.key = SecretStr(settings.api_key)

    assert registration(provider_type(Reads, settings=Plain)) == {"test_secrets_are_secret_strings"}


def test_an_import_of_the_hubs_inside_is_caught(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("from relayhub.store.store import Store\n")
    broken = registration(provider_type(), source=tmp_path / "planted.py")
    assert broken == {"test_the_package_imports_nothing_of_the_hub_but_its_sdk"}


@pytest.mark.parametrize(("file", "fine"), [("simulator.py", True), ("provider.py", False)])
def test_only_a_simulator_may_use_the_test_kit(tmp_path: Path, file: str, fine: bool) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / file).write_text("from relayhub.testing import UpstreamSimulator\n")
    broken = registration(provider_type(), source=tmp_path / "__init__.py")
    assert broken == (set() if fine else {"test_the_package_imports_nothing_of_the_hub_but_its_sdk"})


# --- native -----------------------------------------------------------------------------------------------------------


def native(build: Callable[..., object], error_body: str = '{"error": {"message": "{message}"}}') -> set[str]:
    class Suite(NativeSuite):
        provider_type = globals()["provider_type"](build)
        settings = {"api_key": KEY}

    Suite.error_body = error_body
    return failing_rules(Suite)


def requesting(**changes: Any) -> type[Native]:
    class Faulty(Native):
        def request(self, call: NativeCall) -> HttpRequest:
            return replace(super().request(call), **changes)

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


class Polyglot(Native):
    """Says that it speaks everything."""

    def native(self, dialect: Dialect) -> Native | None:
        return self


def naive_wait(reply: HttpReply, error: UpstreamError) -> None:
    wait = reply.headers.get("retry-after")
    error.retry_after_s = float(wait) if wait is not None else None


def long_wait(reply: HttpReply, error: UpstreamError) -> None:
    if reply.headers.get("retry-after") == "1e9":
        error.retry_after_s = 1e9


class Strict(Native):
    def error(self, reply: HttpReply) -> UpstreamError:
        json.loads(reply.body)["error"]["message"]
        return super().error(reply)


AUTH = {"authorization": f"Bearer {KEY}"}
NATIVE: dict[str, tuple[type[Native], set[str]]] = {
    "a relative url": (requesting(url="/v1/chat"), {"test_requests_go_to_an_absolute_url"}),
    "another method": (requesting(method="PUT"), {"test_the_clients_bytes_are_posted_untouched"}),
    "a rewritten body": (requesting(body=b"{}"), {"test_the_clients_bytes_are_posted_untouched"}),
    "the key in the url": (
        requesting(url=f"https://up.example/?key={KEY}"),
        {"test_the_credential_is_in_a_header_and_not_in_the_url"},
    ),
    "no key at all": (requesting(headers={}), {"test_the_credential_is_in_a_header_and_not_in_the_url"}),
    "a free generation": (requesting(effect=Effect.NONE), {"test_what_costs_money_is_marked_as_paid"}),
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
    "a 400 that was paid": (setting(400, delivered=True), {"test_a_refused_content_is_the_clients_to_mend"}),
    "a 404 that was paid": (setting(404, delivered=True), {"test_an_unknown_model_was_not_executed"}),
    "a wait that is not read with care": (erring(naive_wait), {"test_a_wait_in_any_form_is_survived"}),
    "a wait of thirty years": (erring(long_wait), {"test_a_wait_in_any_form_is_survived"}),
    "a dialect too many": (Polyglot, {"test_a_dialect_that_is_not_spoken_is_none"}),
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


def test_a_count_that_costs_is_caught() -> None:
    class Suite(NativeSuite):
        provider_type = globals()["provider_type"](requesting(effect=Effect.PAID))
        settings = {"api_key": KEY}
        served = {Dialect.OPENAI_CHAT: (Operation.CHAT, Operation.COUNT_TOKENS)}

    assert failing_rules(Suite) == {"test_counting_is_free"}


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

    kind = ProviderType(name="acme", settings=AcmeSettings, build=Build, summary="Planted.")

    class Suite(AcmeSuite):
        provider_type = kind
        package = registering(kind)

    Suite.package.__file__ = str(SOUND_SOURCE)
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
    """Loses the text of a line that came in two reads."""

    def __init__(self) -> None:
        super().__init__()
        self._torn = False

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        events = super().feed(data)
        if self._torn and events and isinstance(events[0], TextDelta):
            events = events[1:]
        self._torn = not data.endswith(b"\n")
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


class Deaf(AcmeReader):
    """Takes the upstream's word of an error for the end."""

    def _line(self, line: bytes) -> Iterator[ChatEvent]:
        if b"problem" in line:
            self._over = True
            return
        yield from super()._line(line)


class Forgiving(AcmeReader):
    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        try:
            return super().feed(data)
        except UpstreamError as error:
            error.delivered = False
            raise


class Hoarding(AcmeReader):
    """Keeps whatever comes until a line ends."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines for event in self._line(line)]


class Shared(AcmeChat):
    """Every answer of a wire is read by the same reader."""

    def __init__(self, settings: AcmeSettings) -> None:
        super().__init__(settings)
        self._reader = AcmeReader()

    def reader(self) -> AcmeReader:
        return self._reader


class Credulous(AcmeChat):
    def reply(self, reply: HttpReply) -> ChatReply:
        try:
            return super().reply(reply)
        except UpstreamError:
            return super().reply(HttpReply(200, {}, b'{"says": "", "heard": 0, "spoken": 0}'))


WIRES: dict[str, tuple[type[AcmeChat], set[str]]] = {
    "a relative url": (chat_requesting(url="/talk"), {"test_requests_go_to_an_absolute_url"}),
    "no key at all": (chat_requesting(headers={}), {"test_the_credential_is_in_a_header_and_not_in_the_url"}),
    "a free generation": (chat_requesting(effect=Effect.NONE), {"test_what_costs_money_is_marked_as_paid"}),
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
    "loud header names": (
        chat_requesting(headers={"X-Acme-Key": ACME_KEY}),
        {"test_header_names_are_lower_case_and_end_to_end"},
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
    "an error taken for the end": (reading(Deaf), {"test_an_error_in_a_stream_is_raised"}),
    "an error that may be sent again": (reading(Forgiving), {"test_an_error_in_a_stream_is_raised"}),
    "one reader for all": (Shared, {"test_answers_that_come_at_once_do_not_mix"}),
    "a line without an end": (reading(Hoarding), {"test_a_stream_without_an_end_is_given_up"}),
    "any end is the end": (reading(Hopeful), {"test_a_truncated_stream_is_never_a_normal_end"}),
}


def test_sound_wires_break_no_rule() -> None:
    assert wired() == set()


@pytest.mark.parametrize("fault", WIRES)
def test_a_chat_fault_is_caught_by_its_rule(fault: str) -> None:
    wire, rules = WIRES[fault]
    assert wired(chat=wire) == rules


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


class LostEmbedding(AcmeEmbeddings):
    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        return replace(super().request(model, request), url="/place")


class KeylessEmbedding(AcmeEmbeddings):
    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        return replace(super().request(model, request), headers={})


class HopefulEmbedding(AcmeEmbeddings):
    def error(self, reply: HttpReply) -> UpstreamError:
        error = super().error(reply)
        error.delivered = error.delivered and reply.status != 500
        return error


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
        (FreeEmbedding, "test_what_costs_money_is_marked_as_paid"),
        (CredulousEmbedding, "test_an_unreadable_embedding_is_an_upstream_error"),
        (LostEmbedding, "test_requests_go_to_an_absolute_url"),
        (KeylessEmbedding, "test_the_credential_is_in_a_header_and_not_in_the_url"),
        (HopefulEmbedding, "test_a_crash_of_the_upstream_is_ambiguous"),
    ],
)
def test_an_embedding_fault_is_caught_by_its_rule(wire: type[AcmeEmbeddings], rule: str) -> None:
    assert wired(embedding=wire) == {rule}


# --- model lists ------------------------------------------------------------------------------------------------------


PAGES = (b'{"names": ["a"], "more": true}', b'{"names": ["b"], "more": false}')


class Lister(Native):
    """A sound lister of two pages; a fault overrides one method."""

    def page(self) -> HttpRequest:
        headers = {"authorization": f"Bearer {self.key.get_secret_value()}"}
        return HttpRequest("GET", "https://up.example/v1/names", headers, effect=Effect.NONE)

    def read(self, reply: HttpReply) -> dict[str, Any]:
        try:
            value = json.loads(reply.body)
            return {"names": list(value["names"]), "more": bool(value["more"])}
        except (ValueError, KeyError, TypeError) as error:
            raise upstream_broke("it is no list") from error

    def list_models(self) -> Steps[Sequence[str]]:
        found: list[str] = []
        more = True
        while more:
            page = self.read((yield self.page()))
            found += page["names"]
            more = page["more"]
        return found


class Unordered(Lister):
    def list_models(self) -> Steps[Sequence[str]]:
        found = yield from super().list_models()
        return [*reversed(found)]


class OnePage(Lister):
    def list_models(self) -> Steps[Sequence[str]]:
        yield self.page()
        return ["a", "b"]


class Costly(Lister):
    def page(self) -> HttpRequest:
        return replace(super().page(), effect=Effect.PAID)


class Anonymous(Lister):
    def page(self) -> HttpRequest:
        return replace(super().page(), headers={})


class Content(Lister):
    def read(self, reply: HttpReply) -> dict[str, Any]:
        try:
            return super().read(reply)
        except UpstreamError:
            return {"names": [], "more": False}


def listing(build: Callable[..., object]) -> set[str]:
    class Suite(ModelListSuite):
        provider_type = globals()["provider_type"](build)
        settings = {"api_key": KEY}
        list_bodies = PAGES
        listed = ("a", "b")

    return failing_rules(Suite)


def test_a_sound_lister_breaks_no_rule() -> None:
    assert listing(Lister) == set()


@pytest.mark.parametrize(
    ("build", "rules"),
    [
        (Unordered, {"test_the_models_of_every_page_are_listed"}),
        (OnePage, {"test_the_models_of_every_page_are_listed", "test_a_list_that_is_none_is_an_upstream_error"}),
        (Costly, {"test_listing_costs_nothing"}),
        (Anonymous, {"test_listing_asks_an_absolute_url_with_the_key_in_a_header"}),
        (Content, {"test_a_list_that_is_none_is_an_upstream_error"}),
    ],
)
def test_a_listing_fault_is_caught_by_its_rule(build: type[Lister], rules: set[str]) -> None:
    assert listing(build) == rules


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


SUITES = (RegistrationSuite, NativeSuite, ChatWireSuite, EmbeddingWireSuite, ModelListSuite, TransportSuite)
COOPERATIVE = {"paid_requests", "error_readers"}


def test_suites_do_not_hide_each_others_rules() -> None:
    """A provider with several capabilities is under several suites in one class."""
    for first, second in itertools.combinations(SUITES, 2):
        own = {name for name in dir(first) if getattr(first, name) is not getattr(ProviderCase, name, None)}
        both = {name for name in own & set(dir(second)) if getattr(first, name) is not getattr(second, name)}
        hidden = {name for name in both if not name.startswith("__")} - COOPERATIVE
        assert not hidden, f"{first.__name__} and {second.__name__} both define {hidden}"


def test_every_published_rule_has_a_planted_defect() -> None:
    """A rule that nothing here breaks could as well always pass."""
    published = {name for suite in SUITES for name in dir(suite) if name.startswith("test_")}
    planted = {rule for _, rule in REGISTRATION.values()}
    planted |= {rule for _, rules in (*NATIVE.values(), *WIRES.values()) for rule in rules}
    source = Path(__file__).read_text()
    planted |= {rule for rule in published if f'"{rule}"' in source}
    assert published - planted == set()
