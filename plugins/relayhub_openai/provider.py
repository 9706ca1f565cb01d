"""The provider: URLs and headers. The wire itself is the client's own, or the SDK's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from relayhub.sdk import (
    ChatWire,
    Dialect,
    Effect,
    HttpReply,
    HttpRequest,
    MediaKind,
    NativeCall,
    NativeChatWire,
    OpenAIChat,
    OpenAIResponses,
    Operation,
    ProviderContext,
    Steps,
    UpstreamError,
    decode_openai_error,
    list_openai_models,
)
from relayhub_openai.endpoint import Endpoint
from relayhub_openai.images import OpenAIImages
from relayhub_openai.settings import OpenAISettings
from relayhub_openai.speech import OpenAISpeech
from relayhub_openai.videos import CancellableVideos, ListedVideos, ManagedVideos, OpenAIVideos

PATHS: Mapping[Dialect, Mapping[Operation, str]] = {
    Dialect.OPENAI_CHAT: {Operation.CHAT: "/chat/completions"},
    Dialect.OPENAI_RESPONSES: {Operation.CHAT: "/responses", Operation.COUNT_TOKENS: "/responses/input_tokens"},
    Dialect.OPENAI_EMBEDDINGS: {Operation.EMBEDDINGS: "/embeddings"},
    Dialect.OPENAI_COMPLETIONS: {Operation.COMPLETIONS: "/completions"},
    Dialect.OPENAI_MODERATIONS: {Operation.MODERATIONS: "/moderations"},
    Dialect.JINA_RERANK: {Operation.RERANK: "/rerank"},
    Dialect.OPENAI_AUDIO: {
        Operation.TRANSCRIPTION: "/audio/transcriptions",
        Operation.TRANSLATION: "/audio/translations",
    },
}

_ACCEPT = {Operation.TRANSCRIPTION: "*/*", Operation.TRANSLATION: "*/*"}
"""Where an answer may be plain text; everything else is JSON."""

VIDEO_WIRES: Mapping[tuple[bool, bool], type[OpenAIVideos]] = {
    (False, False): OpenAIVideos,
    (True, False): ListedVideos,
    (False, True): CancellableVideos,
    (True, True): ManagedVideos,
}
"""By what the upstream has: a listing, a way to cancel."""


class OpenAIProvider:
    """A :class:`relayhub.sdk.NativeProvider`, a :class:`relayhub.sdk.ChatProvider` for clients of other dialects, a
    :class:`relayhub.sdk.ModelLister`; of media a :class:`relayhub.sdk.SpeechProvider`, a
    :class:`relayhub.sdk.ImageProvider` and a :class:`relayhub.sdk.JobProvider` (videos)."""

    def __init__(self, settings: OpenAISettings, _context: ProviderContext) -> None:
        self._settings = settings
        self._query = f"?{urlencode(settings.query)}" if settings.query else ""
        self._headers = _headers(settings)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._endpoint = Endpoint(settings.base_url, settings.query, self._headers, (key,))

    def native(self, dialect: Dialect) -> OpenAIWire | None:
        if dialect not in PATHS or (dialect is Dialect.OPENAI_RESPONSES and not self._settings.serves_responses):
            return None
        return self._wire(dialect)

    def chat(self) -> ChatWire:
        if self._settings.translate_to == "responses":
            return NativeChatWire(self._wire(Dialect.OPENAI_RESPONSES), OpenAIResponses())
        return NativeChatWire(self._wire(Dialect.OPENAI_CHAT), OpenAIChat())

    def list_models(self) -> Steps[Sequence[str]]:
        return list_openai_models(f"{self._settings.base_url}/models{self._query}", self._headers)

    def speech(self) -> OpenAISpeech:
        return OpenAISpeech(self._endpoint, self._settings.speech_traits)

    def images(self) -> OpenAIImages:
        return OpenAIImages(self._endpoint, self._settings.image_traits)

    def jobs(self, kind: MediaKind) -> OpenAIVideos | None:
        if kind is not MediaKind.VIDEO:
            return None
        videos = self._settings.videos
        wire = VIDEO_WIRES[videos.listing, videos.cancels]
        return wire(self._endpoint, self._settings.video_traits, videos.pace)

    def _wire(self, dialect: Dialect) -> OpenAIWire:
        return OpenAIWire(self._settings.base_url, self._query, self._headers, PATHS[dialect])


class OpenAIWire:
    """A :class:`relayhub.sdk.NativeWire` for the endpoints of one dialect."""

    steady = True

    def __init__(self, base_url: str, query: str, headers: Mapping[str, str], paths: Mapping[Operation, str]) -> None:
        self._base_url = base_url
        self._query = query
        self._headers = headers
        self._paths = paths

    def request(self, call: NativeCall) -> HttpRequest:
        content_type = call.headers.get("content-type", "application/json")
        accept = "text/event-stream" if call.stream else _ACCEPT.get(call.operation, "application/json")
        headers = {**self._headers, "accept": accept, "content-type": content_type}
        effect = Effect.NONE if call.operation is Operation.COUNT_TOKENS else Effect.PAID
        url = f"{self._base_url}{self._paths[call.operation]}{self._query}"
        return HttpRequest("POST", url, headers, call.body, effect)

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)


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
