"""Images that a model has made: items of type ``image_generation_call``."""

from __future__ import annotations

from relayhub.dialects.openai_responses.kept import keeping
from relayhub.types.chat import ImagePart, Media
from relayhub.types.json import JsonObject

_FORMATS = frozenset({"png", "webp", "jpeg", "gif"})


def decode_generated(item: JsonObject) -> ImagePart:
    """``item`` has a ``result``; it is kept whole."""
    result, form = item.get("result"), item.get("output_format")
    kind = form if isinstance(form, str) else "png"
    media = Media(data=result if isinstance(result, str) else "", media_type=f"image/{kind}")
    return ImagePart(media, extras=keeping({}, item=item))


def generated_item(image: ImagePart, identity: str) -> JsonObject:
    """A link stands in ``result`` as it is, where the upstream gave no data."""
    kind = (image.media.media_type or "").partition("/")[2]
    item: JsonObject = {
        "id": identity,
        "type": "image_generation_call",
        "status": "completed",
        "result": image.media.data or image.media.url or "",
    }
    return {**item, "output_format": kind} if kind in _FORMATS else item
