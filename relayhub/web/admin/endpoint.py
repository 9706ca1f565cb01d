"""One operation of the management side: what it is called, who may do it, what it takes and gives. The document at
``/api/admin/openapi.json`` and the routes are made of the same table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relayhub.jobs.engine import JobEngine
from relayhub.store.audit import Actor
from relayhub.types.errors import ClientError, ErrorKind, invalid_request
from relayhub.types.role import STAFF, Role
from relayhub.web.actor import actor_of
from relayhub.web.admin.caller import (
    COOKIE,
    READS,
    Caller,
    SignedInPerson,
    caller_of,
    check_same_origin,
    is_https,
)
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.shapes import Input
from relayhub.web.body import read_body
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.csv_response import csv_response

PATH = "/api/admin"
MAX_BODY = 1 << 20
MOST_ERRORS = 5

In = TypeVar("In", bound=Input)
Out = TypeVar("Out", bound=BaseModel)

ADMINS = frozenset({Role.ADMIN})
OPERATORS = ADMINS | {Role.OPERATOR}
READERS = STAFF
EVERYBODY = STAFF | {Role.USER}
"""A user sees and changes only what is their own account's."""
NOBODY: frozenset[Role] = frozenset()
"""No sign-in needed."""


@dataclass(slots=True)
class Asked(Generic[In]):
    """A request that may be served. ``cookie``: set by the handler: a session's token, or ``""`` to forget it."""

    context: AdminContext
    jobs: JobEngine
    caller: Caller | None
    by: Actor
    given: In
    path: Mapping[str, str]
    agent: str | None
    cookie: str | None = field(default=None)

    @property
    def who(self) -> Caller:
        """For operations that need somebody."""
        assert self.caller is not None
        return self.caller

    @property
    def signed_in(self) -> SignedInPerson:
        """For operations on one's own sign-in. Raises ``ClientError`` PERMISSION for an admin key."""
        if self.who.signed_in is None:
            raise ClientError(
                ErrorKind.PERMISSION,
                "Only a person who is signed in can do this, not an admin key.",
                code="not_a_person",
            )
        return self.who.signed_in


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[In, Out]):
    """``path``: below ``/api/admin``. ``takes``: the query of a GET, the body of anything else. ``csv``: the answer as CSV,
    for whoever asks with ``format=csv``; the ``next`` of a page is in the header ``x-next`` then. ``fails``: statuses that
    no other operation has, with what they mean. ``twin``: the command that does the same beside the server, without
    ``relayhub``; ``None`` for what only a browser does: whoever sits at the command line is signed in already."""

    method: str
    path: str
    summary: str
    roles: frozenset[Role]
    takes: type[In]
    gives: type[Out]
    handler: Callable[[Asked[In]], Awaitable[Out]]
    status: int = 200
    csv: Callable[[Out], str] | None = None
    fails: Mapping[str, str] = field(default_factory=dict)
    twin: str | None = field(kw_only=True)

    @property
    def group(self) -> str:
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        return self.handler.__name__


AnyEndpoint = Endpoint[Any, Any]


def handler_of(endpoint: AnyEndpoint) -> Handler:
    """Sign-in, role, origin and body are checked in this order, before the operation sees anything."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await _admitted(request, endpoint)
        given = await _given(request, endpoint.takes)
        by = actor_of(request, "anonymous") if caller is None else caller.by
        agent = request.headers.get("user-agent")
        jobs = request.app[CONTEXT].media.engine
        asked = Asked(request.app[CONTEXT].serving.admin, jobs, caller, by, given, dict(request.match_info), agent)
        answer = await endpoint.handler(asked)
        if endpoint.csv is not None and request.query.get("format") == "csv":
            response = csv_response(request, endpoint.csv(answer), getattr(answer, "next", None))
        else:
            body = orjson.dumps({"success": True, "data": answer.model_dump(mode="json")})
            headers = {"x-request-id": request[REQUEST_ID], "content-type": "application/json"}
            response = web.Response(status=endpoint.status, body=body, headers=headers)
        if asked.cookie is not None:
            _set_cookie(request, response, asked.cookie)
        return response

    return handle


async def _admitted(request: web.Request, endpoint: AnyEndpoint) -> Caller | None:
    if not endpoint.roles:
        if request.method not in READS:
            check_same_origin(request)
        return None
    caller = await caller_of(request)
    if caller.role not in endpoint.roles:
        raise ClientError(
            ErrorKind.PERMISSION, f"The role {caller.role.value} may not do this.", code="role_not_sufficient"
        )
    return caller


async def _given(request: web.Request, takes: type[In]) -> In:
    try:
        if request.method in READS:
            return takes.model_validate_strings(_query(request))
        body = await read_body(request, MAX_BODY, request.app[CONTEXT].server.body_timeout_s)
        if body:
            _check_media_type(request)
        return takes.model_validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        raise _refused(error) from None


def _query(request: web.Request) -> dict[str, str]:
    twice = [name for name in request.query if len(request.query.getall(name)) > 1]
    if twice:
        raise invalid_request("A query parameter stands here twice.", code="duplicate_parameter", param=twice[0][:100])
    return dict(request.query)


def _check_media_type(request: web.Request) -> None:
    """A form that another page posts cannot say this."""
    if request.content_type != "application/json":
        raise ClientError(
            ErrorKind.UNSUPPORTED_MEDIA, "Send JSON, as 'Content-Type: application/json'.", code="json_needed"
        )


def _refused(error: ValidationError) -> ClientError:
    """What is wrong, field by field; no value is repeated, since it may be a secret."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[:MOST_ERRORS]
    said = "; ".join(_said(detail) for detail in details)
    first = ".".join(str(part) for part in details[0]["loc"])[:100]
    return invalid_request(f"The request is not valid: {said}.", code="invalid_value", param=first or None)


def _said(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])[:100]
    what = "there is no such field" if detail["type"] == "extra_forbidden" else detail["msg"][:200]
    return f"{where}: {what}" if where else what


def _set_cookie(request: web.Request, response: web.Response, token: str) -> None:
    """Strict: no other site's page, link or form makes the browser send it."""
    path = f"{request.app[CONTEXT].server.base_path}{PATH}"
    secure = is_https(request)
    if token:
        response.set_cookie(COOKIE, token, path=path, httponly=True, secure=secure, samesite="Strict")
    else:
        response.del_cookie(COOKIE, path=path, httponly=True, secure=secure, samesite="Strict")
