"""Putting the aiohttp application together, and the one way to run it that production and tests share."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from relayhub.plugins.ingresses import Ingress
from relayhub.types.call import Dialect
from relayhub.web import health
from relayhub.web.admin.routes import add_routes as add_admin_routes
from relayhub.web.context import CONTEXT, WebContext
from relayhub.web.cors import add_cors_headers, cors
from relayhub.web.errors import render_errors
from relayhub.web.head_timer import head_arrived
from relayhub.web.ingress import (
    anthropic,
    estimate,
    files,
    foreign,
    gemini,
    images,
    models,
    openai,
    openai_native,
    speech,
    stream_tickets,
    videos,
)
from relayhub.web.ingress.user import UserHandlers
from relayhub.web.ingress.user import add_routes as add_user_routes
from relayhub.web.mounts import OPENAI_MOUNTS, PLATFORM
from relayhub.web.overload import OVERLOAD, Overload, shedding
from relayhub.web.quick.desk import QUICK, QuickDesk
from relayhub.web.quick.place import Place
from relayhub.web.unreadable import unreadable_requests

IDLE_CLIENT_S = 75.0
"""How long an idle client connection is kept: longer than the SDKs' own pools keep theirs."""

MAX_HEADER_LINE = 16 << 10
"""Bytes of one request header or of the request line: long keys and trace headers fit, a bomb is a 400."""


def build_application(context: WebContext, overload: Overload, ingresses: Sequence[Ingress] = ()) -> web.Application:
    """All routes under ``server.base_path``. ``ingresses``: plugins'."""
    server, admin = context.server, context.serving.admin
    app = web.Application(
        middlewares=[
            head_arrived,
            render_errors,
            shedding(overload, server.base_path),
            cors(lambda: context.server.cors_origins, server.base_path),
        ],
        client_max_size=context.server.body_limit,
    )
    app[CONTEXT] = context
    app[OVERLOAD] = overload
    app[QUICK] = desk = QuickDesk(context, overload, IDLE_CLIENT_S, quick_places(server.base_path))
    app.on_shutdown.append(desk.close)
    app.on_response_prepare.append(add_cors_headers)
    app.on_response_prepare.append(_hide_server)
    base = context.server.base_path
    for ingress in (openai, openai_native, videos, images, speech, files, anthropic, gemini, models, stream_tickets):
        ingress.add_routes(app, base)
    add_user_routes(app, base, UserHandlers(admin.code_desk, admin.nano_per_unit))
    estimate.add_routes(app, base, admin.nano_per_unit)
    add_admin_routes(app, base)
    app.router.add_get(f"{base}/api/health", health.health)
    app.router.add_get(f"{base}/livez", health.livez)
    app.router.add_get(f"{base}/readyz", health.readyz)
    foreign.add_routes(app, base, ingresses)
    return app


def quick_places(base: str) -> dict[str, Place]:
    """Where most calls go: chat under the mounts whose path names no platform."""
    chat = {
        "chat/completions": Place(Dialect.OPENAI_CHAT),
        "responses": Place(Dialect.OPENAI_RESPONSES),
        "messages": Place(Dialect.ANTHROPIC_MESSAGES, anthropic.own_headers),
    }
    prefixes = [base + mount.prefix for mount in OPENAI_MOUNTS if PLATFORM not in mount.prefix]
    return {f"{prefix}/{path}": place for prefix in prefixes for path, place in chat.items()}


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Which software answers, in which version, helps only those who look for its holes."""
    response.headers.popall("server", None)


def build_runner(app: web.Application) -> web.AppRunner:
    """``handler_cancellation``: a client that leaves ends its handler, which closes the upstream. Bodies are never
    inflated on the loop: encoded ones are refused."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        logger=unreadable_requests(),
        keepalive_timeout=IDLE_CLIENT_S,
        max_line_size=MAX_HEADER_LINE,
        max_field_size=MAX_HEADER_LINE,
        shutdown_timeout=1.0,
    )
