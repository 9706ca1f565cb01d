"""The byte lane's requests and whole answers: the sender's bytes, with single members replaced."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from relayhub.dialects.codec import ClientView
from relayhub.dialects.gemini_generate.chunk import Chunk, read_chunk
from relayhub.dialects.gemini_generate.names import MODEL_PREFIX, NAME, PLACEHOLDER
from relayhub.dialects.gemini_generate.signed import read_signature
from relayhub.dialects.gemini_generate.spoken import in_form
from relayhub.dialects.gemini_generate.upstream_errors import in_band_error
from relayhub.dialects.gemini_generate.usage import read_usage
from relayhub.dialects.jsontext import Span, members, set_members
from relayhub.dialects.openai_chat.upstream_json import member, objects, untyped, valid_utf8
from relayhub.dialects.outline import Cuts, members_around, shortened
from relayhub.types.chat import ImageForm
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

_BOM = b"\xef\xbb\xbf"
_MARK = b'"cmgxO'
"""How the base64 of a marked signature begins."""

_WRAPPED = ("generateContentRequest", "generate_content_request")
_VERSION, _CANDIDATES = "modelVersion", "candidates"


def native_request(body: bytes, *, model: str, cuts: Cuts = ()) -> bytes:
    """``body`` itself if nothing must change. The model stands in the path; where the body names it too, also inside a
    count request, it is replaced. Signatures of other upstreams are left out."""
    short = shortened(body, cuts)
    if short.find(b'"model"') >= 0:
        body = _renamed(body, model, cuts)
    return _without_foreign_signatures(body) if short.find(_MARK) >= 0 else body


def _renamed(body: bytes, model: str, cuts: Cuts = ()) -> bytes:
    spans = members_around(body, cuts)
    changes: dict[str, bytes] = {}
    if "model" in spans:
        changes["model"] = resource(body[slice(*spans["model"])], model)
    for name in _WRAPPED:
        if name in spans and (inner := body[slice(*spans[name])]).startswith(b"{"):
            changes[name] = _renamed(inner, model)
    changed = {name: value for name, value in changes.items() if body[slice(*spans[name])] != value}
    return set_members(body, spans, changed) if changed else body


def resource(said: bytes, model: str) -> bytes:
    """The upstream's model as the client spelled its own: with the collection, or bare."""
    prefixed = said.startswith(b'"' + MODEL_PREFIX.encode())
    return orjson.dumps(f"{MODEL_PREFIX}{model}" if prefixed else model)


def _without_foreign_signatures(body: bytes) -> bytes:
    value: Json = orjson.loads(body)
    changed = [_clean(part) for part in _parts_of(value)]
    return orjson.dumps(value) if any(changed) else body


def _parts_of(value: Json) -> Iterator[JsonObject]:
    """Every part of every content, also inside a count request."""
    for request in _requests_of(value):
        for content in objects(request.get("contents")):
            yield from objects(content.get("parts"))


def _requests_of(value: Json) -> Iterator[JsonObject]:
    if isinstance(value, dict):
        yield value
        for name in _WRAPPED:
            yield from _requests_of(value.get(name))


def _clean(part: JsonObject) -> bool:
    """In place; whether anything changed. A call keeps a placeholder, without which newer models refuse it."""
    changed = False
    for key in ("thoughtSignature", "thought_signature"):
        value = part.get(key)
        if isinstance(value, str) and read_signature(value).signer not in (None, NAME):
            changed = True
            if "functionCall" in part or "function_call" in part:
                part[key] = PLACEHOLDER
            else:
                del part[key]
    return changed


def native_reply(body: bytes, view: ClientView) -> tuple[bytes, Usage | None]:
    """Raises ``UpstreamError`` for an error object and for anything that is no answer."""
    body = valid_utf8(body.removeprefix(_BOM))
    reply = read_chunk(body)
    if reply is None:
        raise upstream_broke("it is not an answer in JSON")
    check_error(reply, body)
    if not reply.candidates and not reply.blocked:
        raise upstream_broke("it has no candidates")
    return adapted(body, view), read_usage(untyped(reply.usage_metadata))


def check_error(chunk: Chunk, data: bytes) -> None:
    if chunk.error:
        raise in_band_error(member(data, "error"))


def adapted(data: bytes, view: ClientView) -> bytes:
    """An answer, or a chunk of one, with the public model's name and with images in the form that the model is
    configured for. The same bytes where both are as they should be."""
    rename = view.rename_to is not None and b'"modelVersion"' in data
    reform = view.image_form is not ImageForm.INLINE and b'"inlineData"' in data
    if not (rename or reform):
        return data
    spans = members(data)
    changes: dict[str, bytes] = {}
    if rename and _VERSION in spans:
        changes[_VERSION] = orjson.dumps(view.model)
    if reform and _CANDIDATES in spans:
        candidates = _reformed(data, spans[_CANDIDATES], view.image_form)
        if candidates is not None:
            changes[_CANDIDATES] = candidates
    return set_members(data, spans, changes) if changes else data


def _reformed(data: bytes, span: Span, form: ImageForm) -> bytes | None:
    candidates: Json = orjson.loads(data[slice(*span)])
    changed = False
    for candidate in objects(candidates):
        content = candidate.get("content")
        parts = in_form(content.get("parts"), form) if isinstance(content, dict) else None
        if isinstance(content, dict) and parts is not None:
            content["parts"] = parts
            changed = True
    return orjson.dumps(candidates) if changed else None
