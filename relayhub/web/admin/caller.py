"""Who asks: a person by the session in their cookie, or a program by an admin key."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from relayhub.accounts.secret import ADMIN_PREFIX, hash_secret, well_formed
from relayhub.accounts.sign_in import proves_csrf
from relayhub.store.audit import Actor
from relayhub.store.people import Person
from relayhub.store.sessions import Session
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.role import Role
from relayhub.web.actor import actor_of
from relayhub.web.client_address import is_trusted_proxy
from relayhub.web.context import CONTEXT

COOKIE = "relayhub_session"
CSRF_HEADER = "x-csrf-token"
READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """``token``: their cookie."""

    person: Person
    session: Session
    token: str


@dataclass(frozen=True, slots=True)
class Caller:
    """``signed_in``: ``None`` for an admin key."""

    role: Role
    by: Actor
    signed_in: SignedInPerson | None = None

    @property
    def within(self) -> str | None:
        """The one account that a user may see; ``None``: all."""
        if self.role is not Role.USER:
            return None
        return self.own_account or ""

    @property
    def own_account(self) -> str | None:
        return None if self.signed_in is None else self.signed_in.person.account_id


async def caller_of(request: web.Request) -> Caller:
    """Raises ``ClientError``: AUTHENTICATION for nobody, PERMISSION for a cookie without the proof that our own page uses
    it."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await _program(request, authorization)
    return await _person(request)


async def _program(request: web.Request, authorization: str) -> Caller:
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    found = None
    if scheme.lower() == "bearer" and well_formed(secret, ADMIN_PREFIX):
        found = await request.app[CONTEXT].serving.admin.store.admin_keys.find(hash_secret(secret))
    if found is None:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "This is no admin key, or not any more. Make one with: relayhub admin-keys create NAME --role ROLE",
            code="invalid_admin_key",
        )
    return Caller(found.role, actor_of(request, f"admin-key:{found.name}"))


async def _person(request: web.Request) -> Caller:
    token = request.cookies.get(COOKIE)
    found = None if token is None else await request.app[CONTEXT].serving.admin.sign_in.who(token)
    if token is None or found is None:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "Sign in first, or send an admin key: 'Authorization: Bearer ak_live_…'.",
            code="signed_out",
        )
    if request.method not in READS:
        check_same_origin(request)
        if not proves_csrf(token, request.headers.get(CSRF_HEADER)):
            raise ClientError(
                ErrorKind.PERMISSION,
                f"The header {CSRF_HEADER} is missing or wrong; its value is in the answer to signing in.",
                code="csrf",
            )
    person, session = found
    return Caller(person.role, actor_of(request, f"person:{person.name}"), SignedInPerson(person, session, token))


def check_same_origin(request: web.Request) -> None:
    """Raises ``ClientError`` PERMISSION for a page of another origin. A browser says it, and a page cannot make it lie; a
    program says nothing, and needs no protection from itself."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc not in _own_hosts(request)
    if (site not in ("same-origin", "none")) if site is not None else foreign:
        raise ClientError(
            ErrorKind.PERMISSION,
            "Pages of other origins may not do this. Set server.public_url if this is your own.",
            code="wrong_origin",
        )


def _own_hosts(request: web.Request) -> set[str]:
    """Under which names a page of ours may have been loaded."""
    context = request.app[CONTEXT]
    hosts = {request.headers.get("host", "")}
    if context.server.public_url is not None:
        hosts.add(urlsplit(context.server.public_url).netloc)
    if is_trusted_proxy(request, context.trusted_proxies):
        hosts.add(request.headers.get("x-forwarded-host", ""))
    return hosts - {""}


def is_https(request: web.Request) -> bool:
    """Whether the browser's own connection is encrypted, as far as that is known."""
    context = request.app[CONTEXT]
    if (context.server.public_url or "").startswith("https:") or request.secure:
        return True
    return is_trusted_proxy(request, context.trusted_proxies) and request.headers.get("x-forwarded-proto") == "https"
