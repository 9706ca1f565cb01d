"""The provider: URLs and headers. The wire itself is the client's own, or the SDK's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from relayhub.sdk import (
    Dialect,
    HttpReply,
    HttpRequest,
    Operation,
    ProviderContext,
    Steps,
    UpstreamError,
    decode_openai_error,
    list_openai_models,
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
        return list_openai_models(self._url("/models"), self._headers)

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
