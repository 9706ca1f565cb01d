"""The provider: it speaks OpenAI's wire natively, and brings the transport that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.sdk import (
    Dialect,
    HttpReply,
    HttpRequest,
    MediaKind,
    NativeCall,
    Operation,
    ProviderContext,
    Steps,
    Transport,
    UpstreamError,
    decode_openai_error,
    list_openai_models,
)
from relayhub_demo.film import FilmStudio
from relayhub_demo.image_wire import DemoImages
from relayhub_demo.media_wire import BASE_URL
from relayhub_demo.settings import DemoSettings
from relayhub_demo.speech_wire import DemoSpeech
from relayhub_demo.transport import MemoryTransport
from relayhub_demo.video_wire import DemoVideos

PATHS = {Operation.CHAT: "/chat/completions", Operation.EMBEDDINGS: "/embeddings"}
DIALECTS = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_EMBEDDINGS})


class DemoProvider:
    """A :class:`relayhub.sdk.NativeProvider` and its own wire, a :class:`relayhub.sdk.ModelLister`, and a
    :class:`relayhub.sdk.TransportProvider`; of media a :class:`relayhub.sdk.ImageProvider`, a
    :class:`relayhub.sdk.SpeechProvider` and a :class:`relayhub.sdk.JobProvider` (videos)."""

    def __init__(self, settings: DemoSettings, context: ProviderContext) -> None:
        films = FilmStudio(context.clock, settings.video_queue_s, settings.video_run_s)
        self._transport = MemoryTransport(context.clock, settings.slow_first_byte_s, settings.slow_chunk_s, films)

    def transport(self) -> Transport:
        return self._transport

    def native(self, dialect: Dialect) -> DemoProvider | None:
        return self if dialect in DIALECTS else None

    def request(self, call: NativeCall) -> HttpRequest:
        accept = "text/event-stream" if call.stream else "application/json"
        headers = {"accept": accept, "content-type": "application/json"}
        return HttpRequest("POST", BASE_URL + PATHS[call.operation], headers, call.body)

    def error(self, reply: HttpReply) -> UpstreamError:
        return decode_openai_error(reply)

    def list_models(self) -> Steps[Sequence[str]]:
        return list_openai_models(f"{BASE_URL}/models", {})

    def images(self) -> DemoImages:
        return DemoImages()

    def speech(self) -> DemoSpeech:
        return DemoSpeech()

    def jobs(self, kind: MediaKind) -> DemoVideos | None:
        return DemoVideos() if kind is MediaKind.VIDEO else None
