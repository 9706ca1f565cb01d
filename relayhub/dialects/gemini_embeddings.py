"""Gemini's embeddings, both sides: ``embedContent`` for one and ``batchEmbedContents`` for many. Errors are those of
:mod:`relayhub.dialects.gemini_generate`."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import orjson

from relayhub.dialects.codec import EncodedRequest, Envelope
from relayhub.dialects.fields import Fields, invalid_value, missing
from relayhub.dialects.foreign import Dropped, not_expressible
from relayhub.dialects.gemini_generate.casing import camel_object
from relayhub.dialects.gemini_generate.envelope import public_model
from relayhub.dialects.gemini_generate.names import MODEL_PREFIX
from relayhub.dialects.gemini_generate.native import resource
from relayhub.dialects.gemini_generate.scalars import one_or_many, take_integer
from relayhub.dialects.gemini_generate.upstream_errors import decode_error, in_band_error
from relayhub.dialects.gemini_generate.usage import read_usage
from relayhub.dialects.jsontext import members, parse_object, set_members
from relayhub.dialects.openai_chat.upstream_json import member, untyped
from relayhub.dialects.vectors import read_vector
from relayhub.types.call import Dialect
from relayhub.types.embedding import EmbeddingReply, EmbeddingRequest
from relayhub.types.errors import UpstreamError, invalid_request, upstream_broke
from relayhub.types.http import HttpReply
from relayhub.types.json import Extras, Json, JsonObject
from relayhub.types.usage import Usage

MAX_INPUTS = 2048
"""As OpenAI has it; the upstream's own limit is below."""

REQUESTS = "requests"

_SPELLINGS = frozenset({"input", "encoding_format"})
"""Extras of other dialects that the request's own fields say as well, or that are about the answer's form."""


class _Values(msgspec.Struct):
    values: msgspec.Raw


class _Reply(msgspec.Struct, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: object = None
    error: object = None


_REPLY = msgspec.json.Decoder(_Reply)


class GeminiEmbeddings:
    """See :class:`relayhub.dialects.openai_embeddings.EmbeddingsDialect`. Holds no state."""

    name: str = Dialect.GEMINI_EMBEDDINGS.value

    def envelope(self, body: bytes, *, model: str | None = None) -> Envelope:
        entries, _ = _entries(body)
        for entry in entries:
            if entry.peek("content") is None:
                raise missing(entry.at("content"))
        return Envelope(public_model(model), stream=False, include_usage=False, output_cap=None, choices=1, user=None)

    def decode_request(self, body: bytes) -> EmbeddingRequest:
        """Raises ``ClientError`` for a batch that only an upstream of this dialect can serve: of inputs that are not
        text, or whose entries differ in what they ask for."""
        read, batch = _entries(body)
        entries = [_read_entry(fields) for fields in read]
        first = entries[0]
        alike = all(entry.options == first.options and entry.dimensions == first.dimensions for entry in entries)
        if not alike:
            raise invalid_value(REQUESTS, "must all ask for the same taskType and outputDimensionality here")
        extras: Extras = {**first.options, REQUESTS: None} if batch else first.options
        inputs = tuple(entry.text for entry in entries)
        return EmbeddingRequest(first.model, inputs, first.dimensions, extras=extras, dialect=self.name)

    def encode_request(self, request: EmbeddingRequest, *, model: str) -> EncodedRequest:
        """Of any dialect. Always a batch, but for a single input of this dialect's own that was none. Raises
        ``ClientError`` for inputs that are tokens."""
        dropped = Dropped()
        own = request.dialect == self.name
        options: JsonObject = {key: value for key, value in request.extras.items() if own and key != REQUESTS}
        for key, value in request.extras.items():
            if not own and key not in _SPELLINGS:
                dropped.note_if(key, value)
        dropped.note_if("user", request.user)
        if request.dimensions is not None:
            options["outputDimensionality"] = request.dimensions
        inputs: tuple[str | tuple[int, ...], ...] = request.inputs
        entries: list[Json] = [_entry(text, index, model, options) for index, text in enumerate(inputs)]
        single = own and REQUESTS not in request.extras
        return EncodedRequest(orjson.dumps(entries[0] if single else {REQUESTS: entries}), dropped.names)

    def encode_reply(self, reply: EmbeddingReply, *, asked: bytes, model: str) -> bytes:
        vectors: list[Json] = [{"values": [*vector]} for vector in reply.vectors]
        body: JsonObject = {"embeddings": vectors} if is_batch(asked) else {"embedding": vectors[0]}
        if reply.usage is not None:
            body["usageMetadata"] = {"promptTokenCount": reply.usage.input_tokens}
        return orjson.dumps(body)

    def decode_reply(self, body: bytes) -> EmbeddingReply:
        """In the order of the inputs. Raises ``UpstreamError``."""
        reply = _parse_reply(body)
        items = [reply.embedding] if reply.embedding is not None else reply.embeddings or []
        vectors = tuple(read_vector(bytes(item.values)) for item in items)
        return EmbeddingReply("", vectors, read_usage(untyped(reply.usage_metadata)))

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str) -> bytes:
        """``body`` itself if it names no model, which stands in the path."""
        spans = members(body)
        changes: dict[str, bytes] = {}
        if "model" in spans:
            changes["model"] = resource(body[slice(*spans["model"])], model)
        if REQUESTS in spans:
            entries: list[JsonObject] = orjson.loads(body[slice(*spans[REQUESTS])])
            renamed: list[Json] = [{**entry, "model": MODEL_PREFIX + model} for entry in entries]
            if renamed != entries:
                changes[REQUESTS] = orjson.dumps(renamed)
        changed = {name: value for name, value in changes.items() if body[slice(*spans[name])] != value}
        return set_members(body, spans, changed) if changed else body

    def native_reply(self, body: bytes, *, asked: bytes, rename_to: str | None) -> tuple[bytes, Usage | None]:
        """As the upstream wrote it. Raises ``UpstreamError``."""
        return body, read_usage(untyped(_parse_reply(body).usage_metadata))


@dataclass(frozen=True, slots=True)
class _Entry:
    model: str
    text: str
    dimensions: int | None
    options: JsonObject


def is_batch(body: bytes) -> bool:
    return REQUESTS in members(body)


def _entries(body: bytes) -> tuple[list[Fields], bool]:
    """The inputs unread, and whether they are a batch. Raises ``ClientError`` naming the place."""
    fields = Fields(camel_object(parse_object(body)), "")
    if not fields.has(REQUESTS):
        return [fields], False
    values = fields.optional_list(REQUESTS) or []
    if not values:
        raise invalid_request("requests must contain at least one item.", code="empty_array", param=REQUESTS)
    if len(values) > MAX_INPUTS:
        raise invalid_value(REQUESTS, f"must not have more than {MAX_INPUTS} items")
    return [Fields(value, f"{REQUESTS}[{index}]") for index, value in enumerate(values)], True


def _read_entry(fields: Fields) -> _Entry:
    model = fields.optional_text("model") or ""
    dimensions = take_integer(fields, "outputDimensionality")
    if dimensions is not None and dimensions < 1:
        raise invalid_value(fields.at("outputDimensionality"), "must be at least 1")
    text = _text(fields.take("content"), fields.at("content"))
    return _Entry(model.removeprefix(MODEL_PREFIX), text, dimensions, dict(fields.rest()))


def _text(content: Json, path: str) -> str:
    """Several parts are one input, with one embedding."""
    if isinstance(content, str):
        return content
    if content is None:
        raise missing(path)
    fields = Fields(content, path)
    texts = []
    for index, part in enumerate(one_or_many(fields.take("parts"))):
        place = f"{path}.parts[{index}]"
        text = Fields(part, place).optional_text("text")
        if text is None:
            raise not_expressible(place, "an input that is not text")
        texts.append(text)
    if not texts:
        raise missing(f"{path}.parts")
    return "\n".join(texts)


def _entry(text: str | tuple[int, ...], index: int, model: str, options: JsonObject) -> JsonObject:
    if not isinstance(text, str):
        raise not_expressible(f"input[{index}]", "tokens")
    return {"model": MODEL_PREFIX + model, "content": {"parts": [{"text": text}]}, **options}


def _parse_reply(body: bytes) -> _Reply:
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise upstream_broke("it is not a list of embeddings in JSON") from None
    if reply.error:
        raise in_band_error(member(body, "error"))
    if reply.embedding is None and not reply.embeddings:
        raise upstream_broke("it has no embeddings")
    return reply
