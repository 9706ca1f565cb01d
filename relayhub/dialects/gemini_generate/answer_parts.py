"""Parts of an upstream's answer, read tolerantly."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from relayhub.dialects.fields import nested
from relayhub.dialects.gemini_generate.media import is_image
from relayhub.dialects.gemini_generate.names import ALONE, NAME, ON_PART, SIGNATURE
from relayhub.dialects.gemini_generate.parts import kind_of
from relayhub.dialects.openai_chat.reply import arguments_of, minted_id
from relayhub.dialects.openai_chat.upstream_json import string
from relayhub.types.chat import ImagePart, Media, OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart
from relayhub.types.json import JsonObject


class CallIds:
    """Ids of the calls of one choice of one answer: the upstream's where it gives one, and no two alike."""

    __slots__ = ("_count", "_seed", "_seen")

    def __init__(self, identity: str, choice: int) -> None:
        """``identity``: of the answer. Without one the ids are random, so that they never meet those of another."""
        self._seed = f"{identity or secrets.token_hex(12)}/{choice}"
        self._count = 0
        self._seen: set[str] = set()

    def of(self, call: JsonObject) -> str:
        given = string(call.get("id"))
        found = given if given and given not in self._seen else minted_id(f"{self._seed}/{self._count}")
        self._count += 1
        self._seen.add(found)
        return found


def read_part(value: JsonObject, ids: CallIds) -> Iterator[Part]:
    """The part, and behind it the signature of one that is no call. A draft image, and what the hub has no word for, is
    an :class:`OpaquePart`."""
    signature = string(value.get(SIGNATURE)) or None
    signer = NAME if signature else None
    thought = value.get("thought") is True
    match kind_of(value):
        case "text" if thought:
            yield ReasoningPart(string(value.get("text")), signature, signer=NAME)
            return
        case "text":
            text = string(value.get("text"))
            if text:
                yield TextPart(text)
            if signature:
                yield ReasoningPart("", signature, signer=NAME, wire_field=ON_PART if text else ALONE)
            return
        case "functionCall":
            call = nested(value, "functionCall")
            arguments = arguments_of(call.get("args")) or "{}"
            yield ToolCallPart(ids.of(call), string(call.get("name")), arguments, False, signature, signer)
            return
        case "inlineData" if not thought and is_image(value.get("inlineData")):
            inline = nested(value, "inlineData")
            kind = string(inline.get("mimeType"))
            yield ImagePart(Media(data=string(inline.get("data")), media_type=kind))
            if signature:
                yield ReasoningPart("", signature, signer=NAME, wire_field=ON_PART)
            return
        case kind:
            yield OpaquePart(NAME, kind, value)
