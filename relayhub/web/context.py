"""What the handlers need from the hub, and how they get at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from relayhub.accounts.keyring import KeyRing
from relayhub.config import ServerConfig
from relayhub.dialects.openai_chat import errors as openai_errors
from relayhub.dialects.openai_chat.dialect import COMMENT
from relayhub.gateway.call import Call
from relayhub.gateway.counting import Counting
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.named import NamedServing
from relayhub.gateway.pipeline import Pipeline
from relayhub.gateway.tickets.calls import TicketCalls
from relayhub.routing.catalog import Catalog
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.types.errors import RelayhubError
from relayhub.web.admin.context import AdminContext
from relayhub.web.client_address import Network
from relayhub.web.media_desk import MediaDesk


@dataclass(frozen=True, slots=True)
class Serving:
    """What one config has made. A reload puts another one in its place; what has begun keeps the one it began with."""

    server: ServerConfig
    catalog: Catalog
    codecs: Codecs
    pipeline: Pipeline
    counting: Counting
    media: MediaDesk
    admin: AdminContext
    head_waits: EqualWaits = field(init=False)
    body_limit: int = field(init=False)
    """Bytes: asked for every request, and ``server`` takes its time to answer."""
    keep_alive_s: float = field(init=False)
    """The same of every stream."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "head_waits", EqualWaits(self.server.head_wait_s))
        object.__setattr__(self, "body_limit", self.server.body_limit)
        object.__setattr__(self, "keep_alive_s", self.server.keep_alive_s)


@dataclass(slots=True)
class WebContext:
    """``serving``: of the config in force; read it once where several parts of it must fit together. ``draining``: new calls
    are refused from then on. Nothing else here changes."""

    serving: Serving
    keyring: KeyRing
    ticket_calls: TicketCalls
    named: NamedServing
    store: Store
    clock: Clock
    draining: bool = False

    @property
    def server(self) -> ServerConfig:
        return self.serving.server

    @property
    def catalog(self) -> Catalog:
        return self.serving.catalog

    @property
    def codecs(self) -> Codecs:
        return self.serving.codecs

    @property
    def pipeline(self) -> Pipeline:
        return self.serving.pipeline

    @property
    def counting(self) -> Counting:
        return self.serving.counting

    @property
    def media(self) -> MediaDesk:
        return self.serving.media

    @property
    def trusted_proxies(self) -> tuple[Network, ...]:
        return self.serving.server.trusted_proxies

    def keep_alive(self, dialect: str) -> bytes | None:
        """What may be sent in a stream while there is nothing to say."""
        codec = self.codecs.client(dialect)
        return COMMENT if codec is None else codec.keep_alive

    def error_event(self, error: RelayhubError, call: Call) -> bytes:
        """An error after the head was sent, in the call's dialect."""
        codec = self.codecs.client(call.dialect)
        if codec is None:
            return openai_errors.encode_error_event(error, call.id)
        return codec.encode_error_event(error, call.id, call.envelope)


CONTEXT = web.AppKey("relayhub_context", WebContext)
REQUEST_ID = web.RequestKey("relayhub_request_id", str)
