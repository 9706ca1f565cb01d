"""``POST /v1/responses/input_tokens``: how long a request is."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import Envelope
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly
from relayhub.dialects.openai_responses.envelope import read_envelope
from relayhub.types import limits
from relayhub.types.errors import upstream_broke

_OBJECT = "response.input_tokens"


def count_envelope(body: bytes) -> Envelope:
    """As of the request itself, which has the same fields. Raises ``ClientError``."""
    return read_envelope(parse_object(body))


def encode_count(tokens: int) -> bytes:
    return orjson.dumps({"object": _OBJECT, "input_tokens": tokens})


def decode_count(body: bytes) -> int:
    """Raises ``UpstreamError`` for anything but a believable count."""
    tokens = (parse_tolerantly(body) or {}).get("input_tokens")
    if type(tokens) is not int or not 0 <= tokens <= limits.MAX_TOKENS_REPORTED:
        raise upstream_broke("it is no count of tokens")
    return tokens
