"""What the handlers need from the hub, and how they get at it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from relayhub.accounts.keyring import KeyRing
from relayhub.config import ServerConfig
from relayhub.dialects.openai_chat import errors as openai_errors
from relayhub.dialects.openai_chat.dialect import COMMENT
from relayhub.gateway.call import Call
from relayhub.gateway.counting import Counting
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.named import NamedServing
from relayhub.gateway.pipeline import Pipeline
from relayhub.gateway.tickets.calls import TicketCalls
from relayhub.routing.catalog import Catalog
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.types.call import Dialect
from relayhub.types.errors import RelayhubError
from relayhub.web.client_address import Network
from relayhub.web.media_desk import MediaDesk


@dataclass(slots=True)
class WebContext:
    """``draining`` is the one thing here that changes: new calls are refused from then on."""

    server: ServerConfig
    keyring: KeyRing
    catalog: Catalog
    codecs: Codecs
    pipeline: Pipeline
    counting: Counting
    ticket_calls: TicketCalls
    named: NamedServing
    media: MediaDesk
    store: Store
    clock: Clock
    trusted_proxies: tuple[Network, ...] = ()
    draining: bool = False

    def keep_alive(self, dialect: Dialect) -> bytes | None:
        """What may be sent in a stream while there is nothing to say."""
        codec = self.codecs.chat.get(dialect)
        return COMMENT if codec is None else codec.keep_alive

    def error_event(self, error: RelayhubError, call: Call) -> bytes:
        """An error after the head was sent, in the call's dialect."""
        codec = self.codecs.chat.get(call.dialect)
        if codec is None:
            return openai_errors.encode_error_event(error, call.id)
        return codec.encode_error_event(error, call.id, call.envelope)


CONTEXT = web.AppKey("relayhub_context", WebContext)
REQUEST_ID = web.RequestKey("relayhub_request_id", str)
