"""The provider: URLs, headers and what is known of the models. The wire itself is the client's own, or the SDK's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import quote

import orjson

from relayhub.sdk import (
    ChatRequest,
    ChatWire,
    Dialect,
    Effect,
    EmbeddingWire,
    Framing,
    GeminiEmbeddings,
    GeminiGenerate,
    HttpReply,
    HttpRequest,
    NativeCall,
    NativeChatWire,
    NativeEmbeddingWire,
    Operation,
    ProviderContext,
    Steps,
    TargetedCodec,
    UpstreamError,
    decode_gemini_count,
    upstream_broke,
)
from relayhub_gemini.images import GeminiImages
from relayhub_gemini.settings import GeminiSettings
from relayhub_gemini.traits import target_of

_PAGE = 1_000
_MAX_PAGES = 20
_PREFIX = "models/"


class GeminiProvider:
    """A :class:`relayhub.sdk.NativeProvider`, a :class:`relayhub.sdk.ChatProvider` and
    :class:`relayhub.sdk.EmbeddingProvider` for clients of other dialects, a :class:`relayhub.sdk.ImageProvider`, a
    :class:`relayhub.sdk.TokenCounter`, and a :class:`relayhub.sdk.ModelLister`."""

    def __init__(self, settings: GeminiSettings, _context: ProviderContext) -> None:
        self._settings = settings
        self._wire = GeminiWire(settings)
        self._codec = TargetedCodec(GeminiGenerate(), partial(target_of, settings=settings))

    def native(self, dialect: Dialect) -> GeminiWire | None:
        return self._wire if dialect in (Dialect.GEMINI_GENERATE, Dialect.GEMINI_EMBEDDINGS) else None

    def chat(self) -> ChatWire:
        return NativeChatWire(self._wire, self._codec, inline_media=True)

    def embeddings(self) -> EmbeddingWire:
        return NativeEmbeddingWire(self._wire, GeminiEmbeddings())

    def images(self) -> GeminiImages:
        return GeminiImages(self._wire.request, self._wire.error, self._settings.image_traits)

    def count_tokens(self, model: str, request: ChatRequest) -> Steps[int]:
        body = orjson.loads(self._codec.encode_request(request, model=model).body)
        asked = orjson.dumps({"generateContentRequest": {"model": f"{_PREFIX}{model}", **body}})
        reply = yield self._wire.request(NativeCall(Operation.COUNT_TOKENS, model, asked))
        if reply.status != 200:
            raise self._wire.error(reply)
        return decode_gemini_count(reply.body)

    def list_models(self) -> Steps[Sequence[str]]:
        names: list[str] = []
        token = ""
        for _ in range(_MAX_PAGES):
            reply = yield self._wire.list_request(token)
            if reply.status != 200:
                raise self._wire.error(reply)
            page, token = _read_page(reply.body)
            names += page
            if not token:
                break
        return names


class GeminiWire:
    """A :class:`relayhub.sdk.NativeWire`."""

    def __init__(self, settings: GeminiSettings) -> None:
        self._root = f"{settings.base_url}/{settings.version}"
        self._credential = {"x-goog-api-key": settings.api_key.get_secret_value()}

    def request(self, call: NativeCall) -> HttpRequest:
        headers = {
            "accept": "text/event-stream" if call.framing is Framing.SSE else "application/json",
            "content-type": "application/json",
            **self._credential,
        }
        effect = Effect.NONE if call.operation is Operation.COUNT_TOKENS else Effect.PAID
        model = quote(call.model.removeprefix(_PREFIX), safe="")
        return HttpRequest("POST", f"{self._root}/models/{model}:{_verb(call)}", headers, call.body, effect)

    def list_request(self, token: str) -> HttpRequest:
        query = f"?pageSize={_PAGE}" + (f"&pageToken={quote(token, safe='')}" if token else "")
        headers = {"accept": "application/json", **self._credential}
        return HttpRequest("GET", f"{self._root}/models{query}", headers, effect=Effect.NONE)

    def error(self, reply: HttpReply) -> UpstreamError:
        return GeminiGenerate().decode_error(reply)


_VERBS: Mapping[Framing | None, str] = {
    None: "generateContent",
    Framing.SSE: "streamGenerateContent?alt=sse",
    Framing.ARRAY: "streamGenerateContent",
}


def _verb(call: NativeCall) -> str:
    match call.operation:
        case Operation.COUNT_TOKENS:
            return "countTokens"
        case Operation.EMBEDDINGS:
            assert isinstance(call.body, bytes)
            return "batchEmbedContents" if "requests" in orjson.loads(call.body) else "embedContent"
        case _:
            return _VERBS[call.framing]


def _read_page(body: bytes) -> tuple[list[str], str]:
    """Names without their prefix, and the next page's token."""
    try:
        page = orjson.loads(body)
        token = page.get("nextPageToken")
        names = [str(model["name"]).removeprefix(_PREFIX) for model in page["models"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise upstream_broke("its model list is not one", detail=repr(error)) from error
    return names, token if isinstance(token, str) else ""
