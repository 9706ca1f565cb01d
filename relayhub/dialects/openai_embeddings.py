"""OpenAI's embeddings, both sides. Errors are those of :mod:`relayhub.dialects.openai_chat`."""

from __future__ import annotations

from typing import Protocol

import msgspec
import orjson

from relayhub.dialects.codec import EncodedRequest, Envelope
from relayhub.dialects.fields import Fields, invalid_value, missing, wrong_type
from relayhub.dialects.jsontext import members, parse_object, splice
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_chat.upstream_json import member
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.upstream_errors import decode_error, in_stream_error
from relayhub.dialects.vectors import pack, read_vector
from relayhub.types.call import Dialect
from relayhub.types.embedding import EmbeddingReply, EmbeddingRequest
from relayhub.types.errors import UpstreamError, invalid_request, upstream_broke
from relayhub.types.http import HttpReply
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

MAX_INPUTS = 2048
"""What OpenAI allows in one request."""

FLOAT, BASE64 = "float", "base64"


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Item]
    model: str | None = None
    usage: object = None
    error: object = None


class _Failure(msgspec.Struct):
    error: object = None


_REPLY = msgspec.json.Decoder(_Reply)
_FAILURE = msgspec.json.Decoder(_Failure)


class EmbeddingsDialect(Protocol):
    """An embeddings dialect, both sides. ``asked`` is the client's own request body: it says in which form it wants the
    vectors."""

    name: str

    # the client's side
    def envelope(self, body: bytes, *, model: str | None = None) -> Envelope:
        """``model``: where the dialect has it in the path."""
        ...

    def decode_request(self, body: bytes) -> EmbeddingRequest: ...
    def encode_reply(self, reply: EmbeddingReply, *, asked: bytes, model: str) -> bytes: ...

    # the upstream's side
    def encode_request(self, request: EmbeddingRequest, *, model: str) -> EncodedRequest: ...
    def decode_reply(self, body: bytes) -> EmbeddingReply: ...

    # the byte lane
    def native_request(self, body: bytes, *, model: str) -> bytes: ...
    def native_reply(self, body: bytes, *, asked: bytes, rename_to: str | None) -> tuple[bytes, Usage | None]: ...


class OpenAIEmbeddings:
    """``POST /v1/embeddings``. Holds no state."""

    name: str = Dialect.OPENAI_EMBEDDINGS.value

    def envelope(self, body: bytes, *, model: str | None = None) -> Envelope:
        request = parse_object(body)
        fields = Fields(request, "")
        _read_inputs(fields.peek("input"))
        _check_form(fields)
        _check_dimensions(fields)
        user = read_user(request)
        return Envelope(read_model(request), stream=False, include_usage=False, output_cap=None, choices=1, user=user)

    def decode_request(self, body: bytes) -> EmbeddingRequest:
        """A bare input stays in the extras too, so that it is written as one again."""
        request = parse_object(body)
        model = read_model(request)
        fields = Fields(request, "")
        fields.take("model")
        _check_form(fields)
        inputs = _read_inputs(fields.peek("input"))
        if not _is_bare(fields.peek("input")):
            fields.take("input")
        return EmbeddingRequest(
            model, inputs, _check_dimensions(fields), fields.optional_text("user"), extras=fields.rest()
        )

    def encode_request(self, request: EmbeddingRequest, *, model: str) -> EncodedRequest:
        own = request.dialect == self.name
        body: JsonObject = {"model": model, **(request.extras if own else {})}
        if "input" not in body:
            body["input"] = [text if isinstance(text, str) else list(text) for text in request.inputs]
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.user is not None:
            body["user"] = request.user
        dropped = () if own else tuple(key for key, value in request.extras.items() if value is not None)
        return EncodedRequest(orjson.dumps(body), dropped)

    def encode_reply(self, reply: EmbeddingReply, *, asked: bytes, model: str) -> bytes:
        base64 = wants_base64(asked)
        data: list[Json] = [
            {"object": "embedding", "index": index, "embedding": pack(vector) if base64 else [*vector]}
            for index, vector in enumerate(reply.vectors)
        ]
        body: JsonObject = {"object": "list", "data": data, "model": model}
        if reply.usage is not None:
            body["usage"] = {"prompt_tokens": reply.usage.input_tokens, "total_tokens": reply.usage.input_tokens}
        return orjson.dumps(body)

    def decode_reply(self, body: bytes) -> EmbeddingReply:
        """In the order of the inputs. Raises ``UpstreamError``."""
        reply = _parse_reply(body)
        vectors = tuple(read_vector(bytes(item.embedding)) for item in _in_order(reply.data))
        return EmbeddingReply(reply.model or "", vectors, read_usage(reply.usage))

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str) -> bytes:
        """``body`` itself if the name is the same."""
        start, end = members(body)["model"]
        name = orjson.dumps(model)
        return body if orjson.loads(body[start:end]) == model else splice(body, {"model": name})

    def native_reply(self, body: bytes, *, asked: bytes, rename_to: str | None) -> tuple[bytes, Usage | None]:
        """Vectors that are not in the form the client asked for are converted; all else stays as the upstream wrote it.
        Raises ``UpstreamError``."""
        reply = _parse_reply(body)
        changes: dict[str, bytes] = {}
        base64 = wants_base64(asked)
        if any(_is_base64(item) != base64 for item in reply.data):
            changes["data"] = _converted(body, base64=base64)
        if rename_to is not None and reply.model is not None:
            changes["model"] = orjson.dumps(rename_to)
        return splice(body, changes) if changes else body, read_usage(reply.usage)


def wants_base64(asked: bytes) -> bool:
    """Arrays are the default of the API; the official SDKs say ``base64`` of their own accord."""
    span = members(asked).get("encoding_format")
    return span is not None and asked[span[0] : span[1]] == b'"base64"'


def _check_form(fields: Fields) -> None:
    form = fields.peek("encoding_format")
    if form not in (None, FLOAT, BASE64):
        raise invalid_value("encoding_format", "must be float or base64")


def _check_dimensions(fields: Fields) -> int | None:
    dimensions = fields.optional_integer("dimensions")
    if dimensions is not None and dimensions < 1:
        raise invalid_value("dimensions", "must be at least 1")
    return dimensions


def _read_inputs(value: Json) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
    """A text, texts, a list of tokens, or lists of tokens."""
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array")
    if not value:
        raise invalid_request("input must contain at least one item.", code="empty_array", param="input")
    if type(value[0]) is int:
        return (_tokens(value, "input"),)
    if len(value) > MAX_INPUTS:
        raise invalid_value("input", f"must not have more than {MAX_INPUTS} items")
    if isinstance(value[0], list):
        return tuple(_tokens(item, f"input[{index}]") for index, item in enumerate(value))
    return tuple(_text(item, f"input[{index}]") for index, item in enumerate(value))


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string")
    return value


def _tokens(value: Json, path: str) -> tuple[int, ...]:
    tokens = tuple(item for item in value if type(item) is int) if isinstance(value, list) else ()
    if not isinstance(value, list) or not tokens or len(tokens) != len(value) or min(tokens) < 0:
        raise wrong_type(path, "a non-empty array of token numbers")
    return tokens


def _is_bare(value: Json) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and type(value[0]) is int)


def _parse_reply(body: bytes) -> _Reply:
    try:
        failure = _FAILURE.decode(body)
        if failure.error:
            raise in_stream_error(member(body, "error"))
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise upstream_broke("it is not a list of embeddings in JSON") from None
    if not reply.data:
        raise upstream_broke("it has no embeddings")
    return reply


def _in_order(items: list[_Item]) -> list[_Item]:
    places = [position if item.index is None else item.index for position, item in enumerate(items)]
    if sorted(places) != list(range(len(items))):
        raise upstream_broke("its embeddings are not numbered 0, 1, …")
    return [item for _, item in sorted(zip(places, items, strict=True), key=lambda pair: pair[0])]


def _is_base64(item: _Item) -> bool:
    return bytes(memoryview(item.embedding)[:1]) == b'"'


def _converted(body: bytes, *, base64: bool) -> bytes:
    """The ``data`` of a reply with its vectors in the other form; the order, the numbers and other members stay."""
    start, end = members(body)["data"]
    data: list[JsonObject] = orjson.loads(body[start:end])
    for item in data:
        vector = read_vector(orjson.dumps(item["embedding"]))
        item["embedding"] = pack(vector) if base64 else [*vector]
    return orjson.dumps(data)
