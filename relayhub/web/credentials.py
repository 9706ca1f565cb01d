"""Finding the credential of a request. Seeds and SDKs use four places; they must not contradict each other."""

from __future__ import annotations

from aiohttp import web

from relayhub.types.errors import ClientError, ErrorKind

HEADERS = ("x-api-key", "x-goog-api-key")
QUERY = "key"


def credential_of(request: web.Request) -> str | None:
    """The one credential that the request carries, or ``None``. Raises ``ClientError`` AUTHENTICATION if it carries two
    different ones: guessing which was meant could charge the wrong key."""
    found = {value.strip() for value in _candidates(request)} - {""}
    if len(found) > 1:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "The request carries different API keys in different places; send exactly one.",
            code="conflicting_api_keys",
        )
    return found.pop() if found else None


def _candidates(request: web.Request) -> list[str]:
    found = [value for name in HEADERS for value in request.headers.getall(name, [])]
    found += request.query.getall(QUERY, [])
    for value in request.headers.getall("authorization", []):
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer":
            raise ClientError(
                ErrorKind.AUTHENTICATION,
                "The Authorization header must be 'Bearer' followed by an API key.",
                code="invalid_api_key",
            )
        found.append(token)
    return found


def missing_credential() -> ClientError:
    return ClientError(
        ErrorKind.AUTHENTICATION,
        "No API key was sent. Put it in the Authorization header: 'Authorization: Bearer sk_live_…'.",
        code="missing_api_key",
    )
