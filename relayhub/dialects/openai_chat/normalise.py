"""What clients send that an upstream may refuse, mended in the byte lane; everything else in the request stays as it is.

Media as bare, URL-safe or wrapped base64 are put into the one form that every upstream takes, a data URL. Signatures of
other upstreams, which a client has kept of answers that came from there, are left out.
"""

from __future__ import annotations

import re

import orjson

from relayhub.dialects.jsontext import members
from relayhub.dialects.media import data_url, read_media
from relayhub.dialects.openai_chat.signed import DETAILS, EXTRA_CONTENT, is_foreign_call, read_details
from relayhub.dialects.outline import Cuts, shortened
from relayhub.types.json import Json, JsonObject

_IRREGULAR = re.compile(rb'"(?:url|file_data)"[ \t\n\r]*:[ \t\n\r]*"(?!https?://|data:)', re.IGNORECASE)

_REGULAR = ("https://", "http://", "data:")
_LONGEST_SCHEME = len("https://")

MARK = b'"rh1:'
"""How a marked signature begins."""

_PLACES = (("image_url", "url"), ("file", "file_data"))
"""Part type, and its member that holds the data."""


def normalised(body: bytes, cuts: Cuts = ()) -> bytes:
    """``body`` itself where nothing must change. Raises ``ClientError`` for data that is no base64."""
    short = shortened(body, cuts)
    if _IRREGULAR.search(short) is None and short.find(MARK) < 0:
        return body
    start, end = members(body)["messages"]
    messages = orjson.loads(body[start:end])
    if not _normalise(messages):
        return body
    return body[:start] + orjson.dumps(messages) + body[end:]


def is_regular_part(part: Json) -> bool:
    """Whether plainly nothing of this part of a message's content must change."""
    if not isinstance(part, dict):
        return True
    for kind, member in _PLACES:
        inner = part.get(kind)
        text = inner.get(member) if isinstance(inner, dict) else None
        if isinstance(text, str) and not text[:_LONGEST_SCHEME].lower().startswith(_REGULAR):
            return False
    return True


def _normalise(messages: Json) -> bool:
    """In place; whether anything changed."""
    changed = False
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            changed |= _without_foreign_signatures(message)
        content = message.get("content") if isinstance(message, dict) else None
        for position, part in enumerate(content if isinstance(content, list) else ()):
            changed |= _normalise_part(part, f"messages[{index}].content[{position}]")
    return changed


def _without_foreign_signatures(message: JsonObject) -> bool:
    calls = message.get("tool_calls")
    changed = False
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and is_foreign_call(call):
            del call[EXTRA_CONTENT]
            changed = True
    given = message.get(DETAILS)
    if not isinstance(given, list) or not read_details(given):
        return changed
    own = [detail for detail in given if not read_details([detail])]
    if own:
        message[DETAILS] = own
    else:
        del message[DETAILS]
    return True


def _normalise_part(part: Json, path: str) -> bool:
    for kind, member in _PLACES:
        inner = part.get(kind) if isinstance(part, dict) else None
        text = inner.get(member) if isinstance(inner, dict) else None
        if not isinstance(text, str) or not isinstance(inner, dict):
            continue
        media = read_media(text, f"{path}.{kind}.{member}")
        regular = text if media.data is None else data_url(media.data, media.media_type or _UNKNOWN[kind])
        if regular != text:
            inner[member] = regular
            return True
    return False


_UNKNOWN = {"image_url": "image/png", "file": "application/octet-stream"}
"""Assumed where the bytes do not show what they are."""
