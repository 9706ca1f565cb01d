"""What a built provider can do, asked once: the hot path does not look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_embeddings import OpenAIEmbeddings
from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.sdk.media import ImageProvider, ImageWire, JobProvider, JobWire, SpeechProvider, SpeechWire
from relayhub.sdk.native_chat import NativeChatWire, NativeEmbeddingWire
from relayhub.sdk.provider import (
    ChatProvider,
    ChatWire,
    EmbeddingProvider,
    EmbeddingWire,
    ModelLister,
    NativeProvider,
    NativeWire,
    TokenCounter,
)
from relayhub.types.call import Dialect, Operation
from relayhub.types.media import MediaKind

NATIVE_DIALECTS: Mapping[Operation, tuple[Dialect, ...]] = {
    Operation.CHAT: (
        Dialect.OPENAI_CHAT,
        Dialect.OPENAI_RESPONSES,
        Dialect.ANTHROPIC_MESSAGES,
        Dialect.GEMINI_GENERATE,
    ),
    Operation.EMBEDDINGS: (Dialect.OPENAI_EMBEDDINGS, Dialect.GEMINI_EMBEDDINGS),
    Operation.COMPLETIONS: (Dialect.OPENAI_COMPLETIONS,),
    Operation.MODERATIONS: (Dialect.OPENAI_MODERATIONS,),
    Operation.RERANK: (Dialect.JINA_RERANK,),
    Operation.TRANSCRIPTION: (Dialect.OPENAI_AUDIO,),
    Operation.TRANSLATION: (Dialect.OPENAI_AUDIO,),
}
"""The dialects in which a client may ask for an operation."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``native``: the wire for each client dialect that the upstream speaks itself. ``jobs``: by what they make;
    ``images``: those that come at once."""

    native: Mapping[str, NativeWire]
    chat: ChatWire | None = None
    embeddings: EmbeddingWire | None = None
    jobs: Mapping[MediaKind, JobWire] = field(default_factory=dict)
    images: ImageWire | None = None
    speech: SpeechWire | None = None
    counter: TokenCounter | None = None
    lister: ModelLister | None = None

    @classmethod
    def of(cls, built: object) -> Capabilities:
        """``built``: what a provider type's ``build`` returned."""
        native = built.native if isinstance(built, NativeProvider) else lambda _: None
        wires: dict[str, NativeWire] = {dialect: wire for dialect in Dialect if (wire := native(dialect)) is not None}
        made = {kind: built.jobs(kind) for kind in MediaKind} if isinstance(built, JobProvider) else {}
        return cls(
            native=wires,
            chat=built.chat() if isinstance(built, ChatProvider) else _chat_over(wires),
            embeddings=built.embeddings() if isinstance(built, EmbeddingProvider) else _embeddings_over(wires),
            jobs={kind: job for kind, job in made.items() if job is not None},
            images=built.images() if isinstance(built, ImageProvider) else None,
            speech=built.speech() if isinstance(built, SpeechProvider) else None,
            counter=built if isinstance(built, TokenCounter) else None,
            lister=built if isinstance(built, ModelLister) else None,
        )

    def serves(self, operation: Operation) -> bool:
        """Whether any client dialect of the operation can be served, natively or translated."""
        match operation:
            case Operation.CHAT | Operation.COUNT_TOKENS if self.chat is not None:
                return True
            case Operation.EMBEDDINGS if self.embeddings is not None:
                return True
            case Operation.COUNT_TOKENS:
                return self.serves(Operation.CHAT)
            case Operation.VIDEO:
                return MediaKind.VIDEO in self.jobs
            case Operation.IMAGE:
                return self.images is not None or MediaKind.IMAGE in self.jobs
            case Operation.SPEECH:
                return self.speech is not None
            case _:
                return any(dialect in self.native for dialect in NATIVE_DIALECTS[operation])


def _chat_over(wires: Mapping[str, NativeWire]) -> ChatWire | None:
    """Translation for a provider that only passes bytes on, in the richest of its dialects that every client maps to."""
    if (wire := wires.get(Dialect.OPENAI_CHAT)) is not None:
        return NativeChatWire(wire, OpenAIChat())
    if (wire := wires.get(Dialect.OPENAI_RESPONSES)) is not None:
        return NativeChatWire(wire, OpenAIResponses())
    return None


def _embeddings_over(wires: Mapping[str, NativeWire]) -> EmbeddingWire | None:
    wire = wires.get(Dialect.OPENAI_EMBEDDINGS)
    return None if wire is None else NativeEmbeddingWire(wire, OpenAIEmbeddings())
