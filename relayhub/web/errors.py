"""The one place where an error becomes an answer: in the shape of the mount that the path lies under."""

from __future__ import annotations

import re

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from relayhub.dialects import anthropic_messages, gemini_generate
from relayhub.dialects.error_rules import RenderedError
from relayhub.dialects.openai_chat import errors as openai_errors
from relayhub.dialects.openai_chat.errors import ErrorProfile
from relayhub.plugins.isolation import is_own
from relayhub.types.call import Dialect
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError, UpstreamError
from relayhub.types.ids import new_id
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.foreign import ingress_of
from relayhub.web.mounts import Manner, manner_of

log = structlog.get_logger("relayhub.web")

REQUEST = "req_"

_HARMLESS = re.compile(
    r"(?:[A-Za-z][A-Za-z._:-]{0,40}|v\d[a-z]{0,5}\d?|[a-z]{2,10}_[0-9A-HJKMNP-TV-Z]{26}[0-9a-f]{0,10})?"
)
"""Words, versions, and ids of ours."""


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost middleware: names the request, and renders whatever the rest raises."""
    request_id = request[REQUEST_ID] = new_id(REQUEST)
    try:
        return await handler(request)
    except RelayhubError as error:
        return error_response(request, error)
    except web.HTTPException as error:
        return error_response(request, _from_router(request, error))
    except BaseException as error:
        # Broad on purpose: the client gets its dialect's 500 and an id, the reason stays in the log.
        if not is_own(error):
            raise
        log.exception("request.failed", request_id=request_id, method=request.method, path=shown_path(request.path))
        return error_response(request, internal())


def error_response(request: web.Request, error: RelayhubError) -> web.Response:
    """The answer to an error, in the shape of the request's mount."""
    context, request_id = request.app[CONTEXT], request[REQUEST_ID]
    client = client_address(request, context.trusted_proxies)
    note_refused(error, request_id, request.method, shown_path(request.path), client)
    told = answer_to(error, request_id, _rendered(request, error, request_id))
    return web.Response(status=told.status, body=told.body, headers=told.headers)


def note_refused(error: RelayhubError, request_id: str, method: str, path: str, client: str) -> None:
    """In the log: nothing that was asked, only why not."""
    log.info(
        "request.refused",
        request_id=request_id,
        method=method,
        path=path,
        client=client,
        code=error.code,
        detail=None if isinstance(error, UpstreamError) else error.detail,  # `attempt.failed` has that
    )


def answer_to(error: RelayhubError, request_id: str, rendered: RenderedError | None) -> RenderedError:
    """Status, headers and body. ``rendered``: in the words of a dialect; ``None``: of a path outside every mount."""
    rendered = rendered or _plain(error, request_id)
    headers = {"x-request-id": request_id, **rendered.headers, **_own_headers(error)}
    return RenderedError(rendered.status, {**headers, "content-type": "application/json"}, rendered.body)


def _rendered(request: web.Request, error: RelayhubError, request_id: str) -> RenderedError | None:
    """In the words of the dialect at this path; ``None``: there is none."""
    foreign = ingress_of(request)
    if foreign is not None:
        return foreign.render_error(error, request_id)
    manner = manner_of(request.path, request.headers, request.query, request.app[CONTEXT].server.base_path)
    return None if manner is None else render(error, request_id, manner)


def shown_path(path: str) -> str:
    """For the log: whoever knows a stream ticket or a callback's address can use it, and some clients put keys in paths."""
    return "/".join(part if _HARMLESS.fullmatch(part) else "…" for part in path.split("/"))


def render(error: RelayhubError, request_id: str, manner: Manner) -> RenderedError:
    """The answer to an error before anything else was sent."""
    match manner.dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return anthropic_messages.render_error(error, request_id)
        case Dialect.GEMINI_GENERATE | Dialect.GEMINI_EMBEDDINGS:
            return gemini_generate.render_error(error, request_id)
        case _:
            return openai_errors.render_error(error, request_id, manner.profile)


def _plain(error: RelayhubError, request_id: str) -> RenderedError:
    """Outside every mount: seed 000's ``{"success": false, "message": …}``, which is ``/api``'s shape."""
    rendered = openai_errors.render_error(error, request_id, ErrorProfile.RELAY)
    param = {} if error.param is None else {"param": error.param}
    body = {"success": False, "message": error.message, "code": error.code, **param, "request_id": request_id}
    return RenderedError(rendered.status, rendered.headers, orjson.dumps(body))


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
            return internal()


def internal() -> HubError:
    """For what must not happen."""
    return HubError(
        ErrorKind.INTERNAL,
        "Something went wrong inside the server; the operator can find it by the request id.",
        code="internal_error",
    )
