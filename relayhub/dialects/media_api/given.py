"""What a client gives, from JSON or from a form alike. A form has only texts and files, so numbers and flags are taken
as texts too, which JSON clients also send (OpenAI's SDK says ``"seconds": "4"``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from relayhub.dialects.fields import invalid_value, missing, wrong_type
from relayhub.dialects.media import read_media
from relayhub.types.chat import Media
from relayhub.types.json import Json
from relayhub.types.media import InputRole, MediaInput

Value: TypeAlias = "Json | Media | list[Json | Media]"

_LOCAL = ("file://", "ftp://")
"""What no upstream can open. Some have schemes of their own, which only their plugins know."""

MAX_LINK = 2048
"""Characters of an address that is kept."""
_MOST = 2.0**53
"""Whole numbers are exact up to here, in JSON too."""
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Given:
    """Members that are read are taken out; :meth:`rest` is what nobody has read. An explicit ``null`` is as absent."""

    def __init__(self, values: Mapping[str, Value], path: str = "") -> None:
        self._left = {name: value for name, value in values.items() if value is not None and value != ""}
        self._path = path

    def at(self, name: str) -> str:
        return f"{self._path}{name}"

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def peek(self, name: str) -> Value:
        return self._left.get(name)

    def take(self, *names: str) -> tuple[str, Value]:
        """The first of these that is there, by its name; the last name and ``None`` if none is."""
        for name in names:
            if name in self._left:
                return name, self._left.pop(name)
        return names[-1], None

    def text(self, *names: str) -> str | None:
        name, value = self.take(*names)
        if value is not None and not isinstance(value, str):
            raise wrong_type(self.at(name), "a string")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def number(self, *names: str) -> float | None:
        name, value = self.take(*names)
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise wrong_type(self.at(name), "a number")
        return float(number)

    def integer(self, *names: str) -> int | None:
        name = next((name for name in names if name in self._left), names[-1])
        number = self.number(*names)
        if number is None:
            return None
        if number != int(number):
            raise wrong_type(self.at(name), "an integer")
        if abs(number) >= _MOST:
            raise invalid_value(self.at(name), "is too large")
        return int(number)

    def flag(self, *names: str) -> bool | None:
        name, value = self.take(*names)
        if value is None or isinstance(value, bool):
            return value
        flag = _FLAGS.get(value.lower()) if isinstance(value, str) else None
        if flag is None:
            raise wrong_type(self.at(name), "true or false")
        return flag

    def section(self, name: str) -> Given:
        """An object in the request; empty if it is not there."""
        _, value = self.take(name)
        if value is None:
            return Given({}, f"{self.at(name)}.")
        if not isinstance(value, dict):
            raise wrong_type(self.at(name), "an object")
        return Given(value, f"{self.at(name)}.")

    def inputs(self, name: str, role: InputRole) -> Iterator[MediaInput]:
        """One file or several: each an upload, a link, a data URL or bare base64. A form may call them ``name[]``."""
        for key in (name, f"{name}[]"):
            _, value = self.take(key)
            if value is None:
                continue
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                where = f"{self.at(name)}[{number}]" if isinstance(value, list) else self.at(name)
                yield MediaInput(role, media_of(item, where), name)

    def rest(self) -> dict[str, Json]:
        """What nobody has read. Raises ``ClientError`` for a file among it."""
        rest: dict[str, Json] = {}
        for name, value in self._left.items():
            if isinstance(value, Media) or (isinstance(value, list) and any(isinstance(one, Media) for one in value)):
                raise invalid_value(self.at(name), "is a file, which is not expected there")
            rest[name] = value  # type: ignore[assignment]
        return rest


def media_of(value: Value, path: str) -> Media:
    """Raises ``ClientError`` naming ``path``."""
    match value:
        case Media():
            return value
        case str():
            return _read(value, path)
        case {"image_url": str(link)} | {"image_url": {"url": str(link)}} | {"url": str(link)}:
            return _read(link, path)
        case {"file_id": str()}:
            raise invalid_value(path, "names an uploaded file; this server keeps none, send the file or a link to it")
        case _:
            raise wrong_type(path, "a link, a data URL, base64 or a file")


def _read(text: str, path: str) -> Media:
    if text.lower().startswith(_LOCAL):
        raise invalid_value(path, "must be a link that everybody can open (http or https), or the file itself")
    media = read_media(text, path)
    if media.url is not None and media.url[:4].lower() == "http" and not is_link(media.url):
        raise invalid_value(path, "is not an address")
    return media


def is_link(text: str) -> bool:
    """An http or https address that can be one."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not any(char.isspace() or ord(char) < 32 for char in text)
