"""What the handlers need from the hub, and how they get at it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from relayhub.accounts.keyring import KeyRing
from relayhub.config import ServerConfig
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.pipeline import Pipeline
from relayhub.routing.catalog import Catalog
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.web.client_address import Network


@dataclass(slots=True)
class WebContext:
    """``draining`` is the one thing here that changes: new calls are refused from then on."""

    server: ServerConfig
    keyring: KeyRing
    catalog: Catalog
    codecs: Codecs
    pipeline: Pipeline
    store: Store
    clock: Clock
    trusted_proxies: tuple[Network, ...] = ()
    draining: bool = False


CONTEXT = web.AppKey("relayhub_context", WebContext)
REQUEST_ID = web.RequestKey("relayhub_request_id", str)
