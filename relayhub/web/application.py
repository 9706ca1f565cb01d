"""Putting the aiohttp application together, and the one way to run it that production and tests share."""

from __future__ import annotations

from aiohttp import web

from relayhub.web import health
from relayhub.web.context import CONTEXT, WebContext
from relayhub.web.cors import add_cors_headers, cors
from relayhub.web.errors import render_errors
from relayhub.web.ingress import anthropic, gemini, models, openai, openai_native, stream_tickets

IDLE_CLIENT_S = 75.0
"""How long an idle client connection is kept: longer than the SDKs' own pools keep theirs."""

MAX_HEADER_LINE = 16 << 10
"""Bytes of one request header or of the request line: long keys and trace headers fit, a bomb is a 400."""


def build_application(context: WebContext) -> web.Application:
    """All routes under ``server.base_path``."""
    app = web.Application(
        middlewares=[render_errors, cors(context.server.cors_origins, context.server.base_path)],
        client_max_size=context.server.body_limit,
    )
    app[CONTEXT] = context
    app.on_response_prepare.append(add_cors_headers)
    base = context.server.base_path
    for ingress in (openai, openai_native, anthropic, gemini, models, stream_tickets):
        ingress.add_routes(app, base)
    app.router.add_get(f"{base}/api/health", health.health)
    app.router.add_get(f"{base}/livez", health.livez)
    app.router.add_get(f"{base}/readyz", health.readyz)
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """``handler_cancellation``: a client that leaves ends its handler, which closes the upstream. Bodies are never
    inflated on the loop: encoded ones are refused."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=IDLE_CLIENT_S,
        max_line_size=MAX_HEADER_LINE,
        max_field_size=MAX_HEADER_LINE,
        shutdown_timeout=1.0,
    )
