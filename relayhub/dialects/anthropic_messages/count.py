"""``POST /v1/messages/count_tokens``: how long a request is."""

from __future__ import annotations

import orjson

from relayhub.dialects.anthropic_messages.envelope import read_count_envelope
from relayhub.dialects.codec import Envelope
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly
from relayhub.types import limits
from relayhub.types.errors import upstream_broke


def count_envelope(body: bytes) -> Envelope:
    """Raises ``ClientError``."""
    return read_count_envelope(parse_object(body))


def encode_count(tokens: int) -> bytes:
    return orjson.dumps({"input_tokens": tokens})


def decode_count(body: bytes) -> int:
    """Raises ``UpstreamError`` for anything but a believable count."""
    tokens = (parse_tolerantly(body) or {}).get("input_tokens")
    if type(tokens) is not int or not 0 <= tokens <= limits.MAX_TOKENS_REPORTED:
        raise upstream_broke("it is no count of tokens")
    return tokens
