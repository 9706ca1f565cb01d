"""The hub's parts of an answer as a client of this dialect sees them, in one piece or streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relayhub.dialects.codec import ClientView
from relayhub.dialects.gemini_generate.names import ALONE, NAME, ON_PART, SIGNATURE
from relayhub.dialects.gemini_generate.parts import json_object
from relayhub.dialects.gemini_generate.signed import write_signature
from relayhub.types.chat import (
    FinishReason,
    ImageForm,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json, JsonObject


def shows_thoughts(view: ClientView) -> bool:
    request = view.request
    return request is not None and request.reasoning is not None and bool(request.reasoning.include)


def written_parts(parts: Iterable[Part], view: ClientView, finish: FinishReason) -> list[JsonObject]:
    """Never empty: clients' SDKs take an answer without parts for no answer. Raises ``UpstreamError`` for a call that
    this dialect cannot show."""
    shows = shows_thoughts(view)
    out: list[JsonObject] = []
    for part in parts:
        if isinstance(part, ReasoningPart) and part.wire_field == ON_PART and out:
            if signature := write_signature(part):
                out[-1][SIGNATURE] = signature
            continue
        out += _written(part, view.image_form, finish, shows=shows)
    return out or [{"text": ""}]


def _written(part: Part, form: ImageForm, finish: FinishReason, *, shows: bool) -> Iterator[JsonObject]:
    match part:
        case TextPart(text) | RefusalPart(text):
            if text:
                yield {"text": text}
        case ReasoningPart():
            yield from thought_parts(part, shows=shows)
        case ToolCallPart():
            yield from call_parts(part, finish)
        case ImagePart():
            yield from image_parts(part, form)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            yield value
        case _:
            pass


def thought_parts(part: ReasoningPart, *, shows: bool) -> Iterator[JsonObject]:
    """``shows``: the client asked for thinking. A signature of this dialect's own that stood on no thinking is shown
    anyway."""
    signature = write_signature(part)
    signed: JsonObject = {SIGNATURE: signature} if signature else {}
    if part.wire_field in (ALONE, ON_PART):
        if signature:
            yield {"text": "", **signed}
    elif shows and (part.text or signature):
        yield {"text": part.text, "thought": True, **signed}


def call_parts(call: ToolCallPart, finish: FinishReason) -> Iterator[JsonObject]:
    """Whole or not at all."""
    arguments = call_arguments(call)
    if arguments is None:
        if finish in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
            return  # where the answer was cut, nobody could run a call without its end
        raise upstream_broke("a tool call's arguments are not a JSON object")
    inner: JsonObject = {"id": call.id, "name": call.name, "args": arguments}
    signature = write_signature(call)
    yield {"functionCall": inner, SIGNATURE: signature} if signature else {"functionCall": inner}


def call_arguments(call: ToolCallPart) -> JsonObject | None:
    if call.custom:
        return {"input": call.arguments}
    return json_object(call.arguments) if call.arguments.strip() else {}


def image_parts(image: ImagePart, form: ImageForm) -> Iterator[JsonObject]:
    """The text form is the bare base64 in a text part. An image that is only linked to is a file in either form."""
    media = image.media
    kind: JsonObject = {} if media.media_type is None else {"mimeType": media.media_type}
    if media.data is None:
        yield {"fileData": {**kind, "fileUri": media.url or ""}}
        return
    if form is not ImageForm.INLINE:
        yield {"text": media.data}
    if form is not ImageForm.TEXT:
        yield {"inlineData": {**kind, "data": media.data}}


def in_form(parts: Json, form: ImageForm) -> Json:
    """Parts of an answer of this dialect with their images in this form; ``None`` where nothing changes. Drafts, which
    are thoughts, stay as they are."""
    if form is ImageForm.INLINE or not isinstance(parts, list):
        return None
    out: list[Json] = []
    changed = False
    for part in parts:
        data = _image_data(part)
        if data is None:
            out.append(part)
            continue
        changed = True
        out.append({"text": data})
        if form is ImageForm.BOTH:
            out.append(part)
    return out if changed else None


def _image_data(part: Json) -> str | None:
    inline = part.get("inlineData") if isinstance(part, dict) and part.get("thought") is not True else None
    if not isinstance(inline, dict) or not str(inline.get("mimeType")).lower().startswith("image/"):
        return None
    data = inline.get("data")
    return data if isinstance(data, str) else None
