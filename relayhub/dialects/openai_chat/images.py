"""Images that a model has made, in an answer of this dialect: ``images`` beside the text, or links in the text."""

from __future__ import annotations

from collections.abc import Iterable

from relayhub.dialects.media import data_url
from relayhub.types.chat import ImageForm, ImagePart, Part, TextPart
from relayhub.types.json import JsonObject

IMAGES = "images"
"""Not in OpenAI's own dialect, whose chat models make no images; compatible services and clients agree on it."""


def image_item(image: ImagePart) -> JsonObject:
    return {"type": "image_url", "image_url": {"url": _link(image)}}


def image_text(image: ImagePart) -> str:
    """A link in Markdown."""
    return f"![image]({_link(image)})"


def _link(image: ImagePart) -> str:
    media = image.media
    return media.url or data_url(media.data or "", media.media_type)


def texts_of(parts: Iterable[Part], form: ImageForm) -> list[str]:
    """What stands in ``content``, in its order."""
    texts = []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ImagePart) and form is not ImageForm.INLINE:
            texts.append(image_text(part))
    return texts
