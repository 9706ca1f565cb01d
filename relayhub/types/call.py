"""The words for one call: who asks, for what, where it goes, what it left behind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from relayhub.types.key_limits import Networks, lies_within
from relayhub.types.media import MediaUsage
from relayhub.types.on_disconnect import OnDisconnect
from relayhub.types.usage import Usage


class Operation(StrEnum):
    """What is asked of a model, in whatever dialect."""

    CHAT = "chat"
    COUNT_TOKENS = "count_tokens"
    """How long a chat request is; whoever serves chat serves this, by estimate if need be."""
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    VIDEO = "video"
    IMAGE = "image"
    SPEECH = "speech"


class Dialect(StrEnum):
    """The wire languages of clients and upstreams."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    ANTHROPIC_MESSAGES = "anthropic.messages"
    GEMINI_GENERATE = "gemini.generate"
    OPENAI_EMBEDDINGS = "openai.embeddings"
    GEMINI_EMBEDDINGS = "gemini.embeddings"
    OPENAI_COMPLETIONS = "openai.completions"
    OPENAI_MODERATIONS = "openai.moderations"
    OPENAI_AUDIO = "openai.audio"
    """Transcriptions and translations: multipart in, JSON, text or events out."""
    JINA_RERANK = "jina.rerank"
    """The shape that compatible upstreams serve at ``/rerank``."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The key behind a credential, as the in-memory snapshot knows it. ``models``, ``providers`` (configured names or
    types), ``networks``: ``None`` allows all. ``requests_per_minute``: for refusing early; the ledger decides."""

    key_id: str
    key_name: str
    account_id: str
    models: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    networks: Networks | None = None
    requests_per_minute: int | None = None
    discount_ppm: int = 0
    """Of its account, in parts per million."""
    on_disconnect: OnDisconnect | None = None
    """``None``: as the model or the config has it."""

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    def may_reach(self, provider: str, provider_type: str) -> bool:
        return self.providers is None or provider in self.providers or provider_type in self.providers

    def may_call_from(self, address: str) -> bool:
        return self.networks is None or lies_within(address, self.networks)


class Outcome(StrEnum):
    """How a call ended, as its usage row says."""

    COMPLETED = "completed"
    CLIENT_LEFT = "client_left"
    UPSTREAM_ERROR = "upstream_error"
    """The upstream failed before or while it answered."""
    REJECTED = "rejected"
    """The upstream refused the request, or it could not be told; nothing was delivered."""
    HUB_ERROR = "hub_error"
    LOST = "lost"
    """The process died while the call was open; its hold was released afterwards."""


class UsageRecord(msgspec.Struct, frozen=True):
    """One row of the usage table: written in the same transaction as the settlement or release of its hold.

    Times are unix seconds; ``cost_nano`` is what was charged, in nano-USD; ``shortfall_nano`` is what the call cost
    beyond what the account could pay. ``measured`` is false where the counts are an estimate.
    """

    call_id: str
    at: float
    account_id: str
    key_id: str
    operation: str
    dialect: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    outcome: Outcome
    measured: bool
    usage: Usage
    cost_nano: int
    price: str
    """The formula that was applied, as readable text."""
    attempts: int = 1
    status: int | None = None
    """200 once an answer was complete or its head was out; ``None``: ``error_code`` says what the client was told instead."""
    error_code: str | None = None
    user_identifier: str | None = None
    first_byte_ms: int | None = None
    duration_ms: int = 0
    shortfall_nano: int = 0
    media: MediaUsage | None = None
    """What images, speech and video consumed beside tokens."""
    price_version: str = ""
    """Which of the model's prices was in force; another text or another rate is another version."""
    upstream_cost_nano: int | None = None
    """What the upstream charges for it, where the config says so."""
    on_disconnect: OnDisconnect | None = None
    """What was done when the client left; ``None``: it did not."""
