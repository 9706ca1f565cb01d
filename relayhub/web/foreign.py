"""Which paths belong to a plugin's client dialect."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from relayhub.plugins.ingresses import Ingress

FOREIGN: web.AppKey[Mapping[str, Ingress]] = web.AppKey("relayhub_foreign", Mapping)
"""By the canonical path of their resource."""


def ingress_of(request: web.Request) -> Ingress | None:
    """The plugin's dialect in which a request is answered, errors included."""
    resource = request.match_info.route.resource
    return None if resource is None else request.app[FOREIGN].get(resource.canonical)
