"""What a built provider can do, asked once: the hot path does not look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.sdk.provider import (
    ChatProvider,
    ChatWire,
    EmbeddingProvider,
    EmbeddingWire,
    ModelLister,
    NativeProvider,
    NativeWire,
)
from relayhub.types.call import Dialect, Operation

DIALECTS_OF = {Operation.CHAT: Dialect.OPENAI_CHAT, Operation.EMBEDDINGS: Dialect.OPENAI_EMBEDDINGS}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``native``: the wire for each client dialect that the upstream speaks itself."""

    native: Mapping[Dialect, NativeWire]
    chat: ChatWire | None = None
    embeddings: EmbeddingWire | None = None
    lister: ModelLister | None = None

    @classmethod
    def of(cls, built: object) -> Capabilities:
        """``built``: what a provider type's ``build`` returned."""
        native = built.native if isinstance(built, NativeProvider) else lambda _: None
        wires = {dialect: wire for dialect in Dialect if (wire := native(dialect)) is not None}
        return cls(
            native=wires,
            chat=built.chat() if isinstance(built, ChatProvider) else None,
            embeddings=built.embeddings() if isinstance(built, EmbeddingProvider) else None,
            lister=built if isinstance(built, ModelLister) else None,
        )

    def serves(self, operation: Operation) -> bool:
        """Whether any client dialect of the operation can be served, natively or translated."""
        translated = {Operation.CHAT: self.chat, Operation.EMBEDDINGS: self.embeddings}
        return DIALECTS_OF[operation] in self.native or translated[operation] is not None
