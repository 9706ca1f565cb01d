"""Who does something, and from where: for the ledger and the audit log."""

from __future__ import annotations

from aiohttp import web

from relayhub.store.audit import Actor
from relayhub.store.rows import storable
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID

MAX_ADDRESS = 100
"""Characters kept of an address: a proxy may say anything."""


def actor_of(request: web.Request, name: str) -> Actor:
    """Somebody, with where this request came from."""
    client = client_address(request, request.app[CONTEXT].trusted_proxies)
    return Actor(name, request[REQUEST_ID], storable(client[:MAX_ADDRESS]) or None)
