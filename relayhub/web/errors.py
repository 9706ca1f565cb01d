"""The one place where an error becomes an answer: in the shape of the mount that the path lies under."""

from __future__ import annotations

import re

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from ulid import ULID

from relayhub.dialects import anthropic_messages, gemini_generate
from relayhub.dialects.error_rules import RenderedError
from relayhub.dialects.openai_chat import errors as openai_errors
from relayhub.dialects.openai_chat.errors import ErrorProfile
from relayhub.types.call import Dialect
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.mounts import Manner, manner_of

log = structlog.get_logger("relayhub.web")

_TICKET = re.compile(r"(?<=/stream-tickets/)[^/]+")


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost middleware: names the request, and renders whatever the rest raises."""
    request_id = request[REQUEST_ID] = f"req_{ULID()}"
    try:
        return await handler(request)
    except RelayhubError as error:
        return error_response(request, error)
    except web.HTTPException as error:
        return error_response(request, _from_router(request, error))
    except Exception:
        # Broad on purpose: the client gets its dialect's 500 and an id, the reason stays in the log.
        log.exception("request.failed", request_id=request_id, method=request.method, path=_shown_path(request))
        return error_response(request, _internal())


def error_response(request: web.Request, error: RelayhubError) -> web.Response:
    """The answer to an error, in the shape of the request's mount."""
    request_id = request[REQUEST_ID]
    log.info(
        "request.refused",
        request_id=request_id,
        method=request.method,
        path=_shown_path(request),
        client=client_address(request, request.app[CONTEXT].trusted_proxies),
        code=error.code,
        detail=error.detail,
    )
    manner = manner_of(request.path, request.headers, request.query, request.app[CONTEXT].server.base_path)
    if manner is None:
        return _plain(request, error, request_id)
    rendered = render(error, request_id, manner)
    headers = {"x-request-id": request_id, **rendered.headers, **_own_headers(error)}
    return web.Response(
        status=rendered.status, body=rendered.body, headers={**headers, "content-type": "application/json"}
    )


def _shown_path(request: web.Request) -> str:
    """For the log: whoever knows a stream ticket can open it."""
    return _TICKET.sub("…", request.path)


def render(error: RelayhubError, request_id: str, manner: Manner) -> RenderedError:
    """The answer to an error before anything else was sent."""
    match manner.dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return anthropic_messages.render_error(error, request_id)
        case Dialect.GEMINI_GENERATE | Dialect.GEMINI_EMBEDDINGS:
            return gemini_generate.render_error(error, request_id)
        case _:
            return openai_errors.render_error(error, request_id, manner.profile)


def _plain(request: web.Request, error: RelayhubError, request_id: str) -> web.Response:
    """Outside every mount: seed 000's ``{"success": false, "message": …}``, which is ``/api``'s shape."""
    rendered = openai_errors.render_error(error, request_id, ErrorProfile.RELAY)
    param = {} if error.param is None else {"param": error.param}
    body = {"success": False, "message": error.message, "code": error.code, **param, "request_id": request_id}
    headers = {"x-request-id": request_id, **rendered.headers, **_own_headers(error)}
    return web.Response(
        status=rendered.status, body=orjson.dumps(body), headers={**headers, "content-type": "application/json"}
    )


def _own_headers(error: RelayhubError) -> dict[str, str]:
    return dict(error.headers) if isinstance(error, ClientError) else {}


def _from_router(request: web.Request, error: web.HTTPException) -> RelayhubError:
    match error:
        case web.HTTPNotFound():
            return ClientError(
                ErrorKind.NOT_FOUND,
                f"There is no endpoint {request.method} {request.path[:200]!r} here.",
                code="unknown_path",
            )
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ClientError(
                ErrorKind.METHOD_NOT_ALLOWED,
                f"{request.path[:200]!r} does not take {request.method[:20]!r}; it takes {allowed}.",
                code="method_not_allowed",
                headers=(("allow", allowed),),
            )
        case web.HTTPClientError():
            return ClientError(ErrorKind.INVALID_REQUEST, error.reason, code="bad_request")
        case _:
            return _internal()


def _internal() -> HubError:
    return HubError(
        ErrorKind.INTERNAL,
        "Something went wrong inside the server; the operator can find it by the request id.",
        code="internal_error",
    )
