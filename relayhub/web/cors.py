"""Browsers may call the API mounts from other origins: those use no cookies. Nothing else gets these headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relayhub.web.mounts import manner_of

METHODS = "GET, POST, DELETE, OPTIONS"
EXPOSED = (
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, "
    "ratelimit-limit, ratelimit-remaining, ratelimit-reset, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, x-relayhub-dropped"
)
ALLOWED_FIXED = (
    "authorization, content-type, accept, x-api-key, x-goog-api-key, x-goog-api-client, anthropic-version, "
    "anthropic-beta, anthropic-user-profile-id, anthropic-workspace-id, anthropic-dangerous-direct-browser-access, "
    "openai-organization, openai-project, openai-beta, "
    "idempotency-key, last-event-id, x-request-id"
)
PREFLIGHT_MAX_AGE_S = 600


def cors(configured: Callable[[], Sequence[str]], base_path: str) -> Middleware:
    """Middleware for the configured origins, asked for at each request; ``*`` allows any."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin, origins = request.headers.get("origin"), configured()
        if origin is None or not ("*" in origins or origin in origins):
            return await handler(request)
        hub_video = request.path.startswith(f"{base_path}/api/video/")
        if not hub_video and manner_of(request.path, request.headers, request.query, base_path) is None:
            return await handler(request)
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return _preflight(request, origins)
        # Set before the handler runs: a stream sends its head from in there.
        request[ORIGIN_HEADERS] = _headers(request, origins)
        return await handler(request)

    return middleware


ORIGIN_HEADERS = web.RequestKey("relayhub_cors", dict[str, str])


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """``on_response_prepare`` signal: whole answers, errors and streams alike."""
    response.headers.update(request.get(ORIGIN_HEADERS, {}))


def _headers(request: web.Request, origins: Sequence[str]) -> dict[str, str]:
    if "*" in origins:
        allowed = {"access-control-allow-origin": "*"}
    else:
        allowed = {"access-control-allow-origin": request.headers["origin"], "vary": "Origin"}
    return {**allowed, "access-control-expose-headers": EXPOSED}


def _preflight(request: web.Request, origins: Sequence[str]) -> web.Response:
    headers = {
        **_headers(request, origins),
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": _allowed_headers(request),
        "access-control-max-age": str(PREFLIGHT_MAX_AGE_S),
    }
    return web.Response(status=204, headers=headers)


def _allowed_headers(request: web.Request) -> str:
    """The SDKs' own headers, and every ``x-stainless-*`` that the browser says it will send."""
    asked = request.headers.get("access-control-request-headers", "").lower().split(",")
    stainless = sorted({name.strip() for name in asked if name.strip().startswith("x-stainless-")})
    return ", ".join([ALLOWED_FIXED, *(name for name in stainless if _is_token(name))])


def _is_token(name: str) -> bool:
    return name.replace("-", "").isalnum() and name.isascii()
