"""``countTokens``: a chat request, or only its contents, that asks how long it is."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import Fields
from relayhub.dialects.gemini_generate.envelope import check_contents, public_model, shallow
from relayhub.dialects.gemini_generate.scalars import integer_of
from relayhub.dialects.jsontext import members, parse_object
from relayhub.dialects.openai_chat.upstream_json import member
from relayhub.types.errors import upstream_broke

_INSIDE = "generateContentRequest"


def count_envelope(body: bytes, model: str) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    request = Fields(shallow(parse_object(body)), "")
    inner = request.optional_object(_INSIDE)
    check_contents(request if inner is None else Fields(shallow(inner), _INSIDE))
    return Envelope(public_model(model), stream=False, include_usage=False, output_cap=None, choices=1, user=None)


def unwrap_count(body: bytes) -> bytes:
    """The chat request that is counted: the one inside, or ``body`` itself, which has contents only."""
    spans = members(body)
    for name in (_INSIDE, "generate_content_request"):
        if name in spans and (inner := body[slice(*spans[name])]).startswith(b"{"):
            return inner
    return body


def encode_count(tokens: int) -> bytes:
    return orjson.dumps({"totalTokens": tokens})


def decode_count(body: bytes) -> int:
    """Raises ``UpstreamError``."""
    count = integer_of(member(body, "totalTokens"))
    if count is None or count < 0:
        raise upstream_broke("it has no count of tokens")
    return count
