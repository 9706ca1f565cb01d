"""JSON requests and answers of endpoints that are only relayed."""

from __future__ import annotations

import orjson

from relayhub.dialects.jsontext import members, set_members
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly, valid_utf8
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Body
from relayhub.types.json import JsonObject

_BOM = b"\xef\xbb\xbf"


def with_model(body: Body, model: str) -> bytes:
    """``body`` itself if it says so already; without a model it gets one."""
    assert isinstance(body, bytes)
    spans = members(body)
    if "model" in spans:
        start, end = spans["model"]
        if orjson.loads(body[start:end]) == model:
            return body
    return set_members(body, spans, {"model": orjson.dumps(model)})


def read_object(body: bytes, what: str) -> tuple[bytes, JsonObject]:
    """A whole answer as valid UTF-8, and what it says. Raises ``UpstreamError`` for an error object and for what is no
    JSON object; ``what``: what was expected."""
    body = valid_utf8(body.removeprefix(_BOM))
    value = parse_tolerantly(body)
    if value is None:
        raise upstream_broke(f"it is not {what} in JSON")
    if value.get("error"):
        raise in_stream_error(value["error"])
    return body, value
