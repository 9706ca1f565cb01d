"""The provider: URLs and headers. The wire itself is the client's own, or the SDK's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import orjson

from relayhub.sdk import (
    Dialect,
    Effect,
    HttpReply,
    HttpRequest,
    Operation,
    ProviderContext,
    Steps,
    UpstreamError,
    decode_openai_error,
    upstream_broke,
)
from relayhub_openai.settings import OpenAISettings

PATHS = {Operation.CHAT: "/chat/completions", Operation.EMBEDDINGS: "/embeddings"}
DIALECTS = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_EMBEDDINGS})


class OpenAIProvider:
    """A :class:`relayhub.sdk.NativeProvider` and its own wire, and a :class:`relayhub.sdk.ModelLister`."""

    def __init__(self, settings: OpenAISettings, _context: ProviderContext) -> None:
        self._settings = settings
        self._query = f"?{urlencode(settings.query)}" if settings.query else ""
        self._headers = _headers(settings)

    def native(self, dialect: Dialect) -> OpenAIProvider | None:
        return self if dialect in DIALECTS else None

    def request(self, operation: Operation, body: bytes, *, stream: bool) -> HttpRequest:
        accept = "text/event-stream" if stream else "application/json"
        headers = {**self._headers, "accept": accept, "content-type": "application/json"}
        return HttpRequest("POST", self._url(PATHS[operation]), headers, body)

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)

    def list_models(self) -> Steps[Sequence[str]]:
        """``GET /models`` once; compatible upstreams do not page."""
        headers = {**self._headers, "accept": "application/json"}
        reply = yield HttpRequest("GET", self._url("/models"), headers, effect=Effect.NONE)
        if reply.status != 200:
            raise decode_openai_error(reply)
        return _model_ids(reply.body)

    def _url(self, path: str) -> str:
        return f"{self._settings.base_url}{path}{self._query}"


def _headers(settings: OpenAISettings) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value()
        bearer = settings.api_key_header == "authorization"
        headers[settings.api_key_header] = f"Bearer {key}" if bearer else key
    if settings.organization:
        headers["openai-organization"] = settings.organization
    if settings.project:
        headers["openai-project"] = settings.project
    return headers


def _model_ids(body: bytes) -> list[str]:
    try:
        listed = orjson.loads(body)["data"]
        return [str(model["id"]) for model in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise upstream_broke("its model list is not one", detail=repr(error)) from error
