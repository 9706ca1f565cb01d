"""An upstream's JSON, which is read tolerantly: it may be encoded or typed wrongly without being useless."""

from __future__ import annotations

from typing import cast

import orjson

from relayhub.types.json import Json, JsonObject

_BOM = b"\xef\xbb\xbf"


def valid_utf8(data: bytes) -> bytes:
    """``data`` itself if it is UTF-8, else with U+FFFD in the broken places."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def parse_tolerantly(data: bytes) -> JsonObject | None:
    """The object, or ``None`` if this is not JSON or not an object."""
    try:
        value: Json = orjson.loads(valid_utf8(data.removeprefix(_BOM)))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def member(data: bytes, name: str) -> Json:
    """One member of the object, or ``None``."""
    return (parse_tolerantly(data) or {}).get(name)


def untyped(value: object) -> Json:
    """What msgspec built from JSON without a type. Integers in it may be of any size."""
    return cast("Json", value)


def text_of(value: Json) -> str:
    """A text, also one that came as a list of text parts; empty for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "".join(string(part.get("text")) for part in objects(value) if part.get("type", "text") == "text")


def reasoning_of(value: JsonObject) -> tuple[str, str] | None:
    """Field and text of a message's or delta's visible reasoning; where both fields are there they say the same."""
    for field in ("reasoning_content", "reasoning"):
        text = value.get(field)
        if isinstance(text, str) and text:
            return field, text
    return None


def objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def integer(value: Json, default: int) -> int:
    return value if type(value) is int else default


def string(value: Json, default: str = "") -> str:
    return value if isinstance(value, str) else default
