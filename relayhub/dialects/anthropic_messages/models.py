"""``GET /v1/models`` as this dialect's clients read it. https://platform.claude.com/docs/en/api/models-list"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import JsonObject
from relayhub.types.model_card import ModelCard


def encode_models(
    cards: Sequence[ModelCard], *, limit: int | None, after_id: str | None, before_id: str | None
) -> bytes:
    """One page, in the order of ``cards``. Raises ``ClientError`` for a cursor that is no model of the list."""
    names = [card.name for card in cards]
    start, end = 0, len(cards)
    if after_id is not None:
        start = _position(names, after_id, "after_id") + 1
    if before_id is not None:
        end = _position(names, before_id, "before_id")
    size = len(cards) if limit is None else limit
    more = end - start > size
    page = cards[max(start, end - size) : end] if before_id is not None else cards[start : min(end, start + size)]
    return orjson.dumps(
        {
            "data": [_model(card) for card in page],
            "has_more": more,
            "first_id": page[0].name if page else None,
            "last_id": page[-1].name if page else None,
        }
    )


def encode_model(card: ModelCard) -> bytes:
    return orjson.dumps(_model(card))


def _model(card: ModelCard) -> JsonObject:
    created = datetime.fromtimestamp(card.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": card.name,
        "display_name": card.name,
        "created_at": created,
        "max_tokens": card.max_output_tokens,
    }


def _position(names: Sequence[str], cursor: str, param: str) -> int:
    if cursor not in names:
        raise _no_cursor(param)
    return names.index(cursor)


def _no_cursor(param: str) -> ClientError:
    return invalid_request(f"{param} must be the id of a model in the list.", code="invalid_value", param=param)
