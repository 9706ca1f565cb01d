"""The model list in this dialect's shape."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from relayhub.dialects.gemini_generate.names import MODEL_PREFIX
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject
from relayhub.types.model_card import ModelCard

DEFAULT_PAGE_SIZE = 50

_METHODS = {
    "chat": ("generateContent", "streamGenerateContent", "countTokens"),
    "embeddings": ("embedContent", "batchEmbedContents"),
}
"""Operation → what of this dialect it serves."""


def encode_models(cards: Sequence[ModelCard], *, page_size: int | None, page_token: str | None) -> bytes:
    """One page. A page token names the last model of the page before it, so that a list which changes in between loses
    nothing. Raises ``ClientError`` for a token that no list has given."""
    start = _start(cards, page_token)
    page = cards[start : start + (page_size or DEFAULT_PAGE_SIZE)]
    body: JsonObject = {"models": [_model(card) for card in page]}
    if page and start + len(page) < len(cards):
        body["nextPageToken"] = base64.urlsafe_b64encode(page[-1].name.encode()).decode()
    return orjson.dumps(body)


def encode_model(card: ModelCard) -> bytes:
    return orjson.dumps(_model(card))


def _start(cards: Sequence[ModelCard], page_token: str | None) -> int:
    if not page_token:
        return 0
    try:
        name = base64.urlsafe_b64decode(page_token).decode()
        return [card.name for card in cards].index(name) + 1
    except (binascii.Error, ValueError):
        raise invalid_request(
            "pageToken is not one that this list has given; start again without it.",
            code="invalid_value",
            param="pageToken",
        ) from None


def _model(card: ModelCard) -> JsonObject:
    out: JsonObject = {
        "name": MODEL_PREFIX + card.name,
        "baseModelId": card.name,
        "version": "001",
        "displayName": card.name,
        "description": f"Served by {card.owner}.",
        "supportedGenerationMethods": [
            method for operation in card.operations for method in _METHODS.get(operation, ())
        ],
    }
    if card.max_output_tokens is not None:
        out["outputTokenLimit"] = card.max_output_tokens
    return out
