"""Where the upstream is, how it is asked, and how its refusals are read: what all wires of media have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import orjson

from relayhub.sdk import Effect, HttpReply, HttpRequest, UpstreamError, decode_openai_error, upstream_broke
from relayhub_openai.multipart import Form

JSON = "application/json"
MASK = b"***"
POLICY = frozenset({"content_policy_violation", "moderation_blocked", "content_filter", "content_policy"})
"""Codes of refused content."""
CONTENT_POLICY = "content_policy"
_MENDABLE = POLICY | {"invalid_request_error", "image_generation_user_error"}
MOST = 1 << 31
"""A count above it is not believed."""


class Endpoint:
    """Requests to one upstream, credentials included."""

    def __init__(
        self, base_url: str, query: Mapping[str, str], headers: Mapping[str, str], secrets: Iterable[str] = ()
    ) -> None:
        self.base_url = base_url
        self._query = query
        self._headers = headers
        self._secrets = tuple(secret.encode() for secret in secrets if secret)

    def url(self, path: str, **query: str) -> str:
        whole = {**self._query, **query}
        return f"{self.base_url}{path}" + (f"?{urlencode(whole)}" if whole else "")

    def free(self, method: str, url: str, accept: str = JSON) -> HttpRequest:
        return HttpRequest(method, url, {**self._headers, "accept": accept}, effect=Effect.NONE)

    def post(self, path: str, value: Mapping[str, object], accept: str = JSON) -> HttpRequest:
        headers = {**self._headers, "accept": accept, "content-type": JSON}
        return HttpRequest("POST", self.url(path), headers, orjson.dumps(value), Effect.PAID)

    def post_form(self, path: str, form: Form) -> HttpRequest:
        headers = {**self._headers, "accept": JSON, "content-type": form.content_type}
        return HttpRequest("POST", self.url(path), headers, form.body, Effect.PAID)

    def credentials(self, url: str) -> dict[str, str]:
        """What a request for this link needs; none where it leads elsewhere."""
        return {**self._headers} if url.startswith(f"{self.base_url}/") else {}

    def error(self, reply: HttpReply) -> UpstreamError:
        """A non-2xx answer."""
        body = reply.body
        for secret in self._secrets:
            body = body.replace(secret, MASK)
        error = decode_openai_error(HttpReply(reply.status, reply.headers, body))
        if error.code in POLICY:
            error.code = CONTENT_POLICY
        return error

    def checked(self, reply: HttpReply) -> HttpReply:
        """Raises ``UpstreamError`` unless it is a 2xx."""
        if not 200 <= reply.status < 300:
            raise self.error(reply)
        return reply

    def read(self, reply: HttpReply) -> dict[str, object]:
        """The object in a 2xx answer. Raises ``UpstreamError``, also for an error object that comes as a success."""
        value = object_of(self.checked(reply).body)
        if value.get("error") and not value.get("status"):
            raise self.error_within(value["error"])
        return value

    def error_within(self, error: object) -> UpstreamError:
        """An error that was told after the work had begun."""
        words = {error.get("type"), error.get("code")} if isinstance(error, dict) else set()
        status = 400 if words & _MENDABLE else 500
        told = self.error(HttpReply(status, {}, orjson.dumps({"error": error})))
        told.status, told.delivered, told.retryable = None, True, False
        return told


def object_of(body: bytes) -> dict[str, object]:
    """Raises ``UpstreamError``."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not an object")
    return value


def count_of(value: object, otherwise: int) -> int:
    """A count that the upstream tells, if it can be believed."""
    believed = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    return value if believed and isinstance(value, int) else otherwise
