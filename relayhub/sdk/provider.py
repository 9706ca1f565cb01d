"""What a provider is made of: a descriptor, a build function, and small capability protocols.

A provider implements whichever capabilities its upstream has; the hub looks with ``isinstance``. Wires are sans-io:
they turn hub types into :class:`HttpRequest` and bytes into hub types; the hub does HTTP, keys, quota, retries, SSE and
logs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from pydantic import BaseModel

from relayhub.dialects.codec import Framing, StreamDecoder
from relayhub.sdk.clock import Clock
from relayhub.sdk.transport import Transport
from relayhub.types.call import Dialect, Operation
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.embedding import EmbeddingReply, EmbeddingRequest
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Body, HttpReply, HttpRequest

SDK_VERSION = 1
"""The plugin contract this hub speaks. A provider type built for another one is quarantined with that reason."""

T = TypeVar("T")
Steps: TypeAlias = Generator[HttpRequest, HttpReply, T]
"""An operation in several requests: yield one, receive its reply, return the result. The hub drives it."""


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What the hub hands to ``build``: the configured name, time, and the ``user-agent`` to send."""

    name: str
    clock: Clock
    user_agent: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """What the upstream charged on a day, as data: ``relayhub models discover --prices`` writes it into YAML for the
    operator to change. The hub never charges by it.

    ``as_of``: the day, ``2026-07-01``; ``source``: where the upstream says so; ``currency``: of all amounts. ``prices``: the
    upstream's model name, or a prefix with ``*`` → its ``price`` as in the YAML, amounts as strings.
    """

    as_of: str
    source: str
    prices: Mapping[str, Mapping[str, object]]
    currency: str = "USD"

    def of(self, model: str) -> dict[str, object] | None:
        """By name, else by the longest prefix; ``None`` if it is not listed."""
        prefixes = (name for name in self.prices if name.endswith("*") and model.startswith(name[:-1]))
        name = model if model in self.prices else max(prefixes, key=len, default=None)
        if name is None:
            return None
        currency = {} if self.currency == "USD" else {"currency": self.currency}
        return {**currency, **self.prices[name]}


SettingsT = TypeVar("SettingsT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ProviderType(Generic[SettingsT]):
    """A descriptor, returned by ``relayhub_register_providers``; no I/O happens before ``build``, and none in it.

    ``name``: what ``type:`` in the YAML says. ``settings``: its fields become YAML keys of the provider entry, a console
    form and documentation, so describe each with ``Field(description=…)``; forbid unknown fields. ``summary``: one line.
    ``demo_models``: models offered in demo mode, where there is no config: public name → model settings as in the YAML.
    ``prices``: what the upstream charges, for operators to begin with.
    """

    name: str
    settings: type[SettingsT]
    build: Callable[[SettingsT, ProviderContext], object]
    summary: str
    sdk: int = SDK_VERSION
    demo_models: Mapping[str, Mapping[str, object]] | None = None
    prices: PriceList | None = None


@dataclass(frozen=True, slots=True)
class NativeCall:
    """A client's request on its way to an upstream of the same dialect.

    ``model``: the upstream's name, which ``body`` already carries where the dialect has it there. ``headers``: those of
    the client's that belong to the dialect (versions, betas, the content type of a multipart body), names lower case.
    ``framing``: ``None`` for an answer in one piece.
    """

    operation: Operation
    model: str
    body: Body
    framing: Framing | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        return self.framing is not None


class NativeWire(Protocol):
    """One dialect that the upstream itself speaks: the client's bytes pass through.

    A wire whose requests differ in nothing but their body as long as the rest of the call is the same (no signature over the
    body, no token that grows old) says so with an attribute ``steady = True``: the hub then asks it once and remembers."""

    def request(self, call: NativeCall) -> HttpRequest:
        """Where to post ``call.body``, untouched, and with which credentials. ``call.headers`` go along, but for those
        that the upstream must not see."""
        ...

    def error(self, reply: HttpReply) -> UpstreamError:
        """Read a non-2xx answer. Never let the provider's key or host into ``message``."""
        ...


@runtime_checkable
class NativeProvider(Protocol):
    """The upstream natively speaks one or more client dialects."""

    def native(self, dialect: Dialect) -> NativeWire | None:
        """``None`` where it does not; the call is then translated through the provider's other capabilities."""
        ...


class ChatReader(StreamDecoder, Protocol):
    """Reads a streamed answer; see :class:`StreamDecoder`."""


class ChatWire(Protocol):
    """Chat in the upstream's own language. A wire whose upstream takes no links to media has an attribute
    ``inline_media = True``: the hub then fetches what ``request`` links to, under its own guard, before it asks."""

    def request(self, model: str, request: ChatRequest) -> HttpRequest: ...
    def reply(self, reply: HttpReply) -> ChatReply:
        """A whole 2xx answer (the request did not stream). Raises ``UpstreamError`` if it cannot be read."""
        ...

    def reader(self) -> ChatReader: ...
    def error(self, reply: HttpReply) -> UpstreamError: ...


@runtime_checkable
class ChatProvider(Protocol):
    def chat(self) -> ChatWire: ...


class EmbeddingWire(Protocol):
    """Embeddings in the upstream's own language."""

    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest: ...
    def reply(self, reply: HttpReply) -> EmbeddingReply: ...
    def error(self, reply: HttpReply) -> UpstreamError: ...


@runtime_checkable
class EmbeddingProvider(Protocol):
    def embeddings(self) -> EmbeddingWire: ...


@runtime_checkable
class TokenCounter(Protocol):
    """The upstream counts the input tokens of a chat request, for nothing. Without it the hub estimates."""

    def count_tokens(self, model: str, request: ChatRequest) -> Steps[int]: ...


@runtime_checkable
class ModelLister(Protocol):
    """The upstream can list its models (``relayhub models discover``)."""

    def list_models(self) -> Steps[Sequence[str]]: ...


@runtime_checkable
class TransportProvider(Protocol):
    """The provider does not use the network: it supplies its own transport."""

    def transport(self) -> Transport: ...
