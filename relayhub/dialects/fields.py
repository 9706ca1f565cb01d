"""Reading a JSON object of a request member by member, with errors that name the path; the rest is kept as extras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import Extras, Json, JsonObject

T = TypeVar("T")


def wrong_type(path: str, wanted: str) -> ClientError:
    return invalid_request(f"{path} must be {wanted}.", code="invalid_type", param=path)


def missing(path: str) -> ClientError:
    return invalid_request(f"{path} is required.", code="missing_required_parameter", param=path)


def invalid_value(path: str, problem: str) -> ClientError:
    return invalid_request(f"{path} {problem}.", code="invalid_value", param=path)


def optional(value: Mapping[str, Json], key: str, kind: type[T], wanted: str, path: str = "") -> T | None:
    """A member that may be absent or ``null``, else is strictly of this type."""
    found = value.get(key)
    if found is None:
        return None
    if type(found) is not kind:
        raise wrong_type(path + key, wanted)
    return found


class Fields:
    """One object. Members that are read are taken out; :meth:`rest` is what nobody has read.

    An explicit ``null`` counts as absent but stays in the rest, so that it is written again. Types are strict: ``true``
    is no integer and ``5.0`` neither. ``path`` is empty for the request itself.
    """

    __slots__ = ("_left", "path")

    def __init__(self, value: Json, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object")
        self._left: JsonObject = dict(value)
        self.path = path

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def peek(self, key: str) -> Json:
        return self._left.get(key)

    def has(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str) -> Json:
        """Whatever is there, ``null`` too; ``None`` if absent."""
        return self._left.pop(key, None)

    def keep(self, key: str, value: Json) -> None:
        """Put into the rest: a spelling that the hub's types do not carry."""
        self._left[key] = value

    def _optional(self, key: str, kind: type[T], wanted: str) -> T | None:
        value = optional(self._left, key, kind, wanted, f"{self.path}." if self.path else "")
        if value is not None:
            del self._left[key]
        return value

    def optional_text(self, key: str) -> str | None:
        return self._optional(key, str, "a string")

    def optional_integer(self, key: str) -> int | None:
        return self._optional(key, int, "an integer")

    def optional_flag(self, key: str) -> bool | None:
        return self._optional(key, bool, "true or false")

    def optional_object(self, key: str) -> JsonObject | None:
        return self._optional(key, dict, "an object")

    def optional_list(self, key: str) -> list[Json] | None:
        return self._optional(key, list, "an array")

    def optional_number(self, key: str) -> float | None:
        value = self._left.get(key)
        if value is None:
            return None
        if type(value) is not int and type(value) is not float:
            raise wrong_type(self.at(key), "a number")
        del self._left[key]
        return value

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if value is None:
            raise missing(self.at(key))
        return value

    def name(self, key: str) -> str:
        """A text that must not be empty."""
        value = self.text(key)
        if not value:
            raise invalid_value(self.at(key), "must not be empty")
        return value

    def inner(self, key: str) -> Fields:
        """A required object; once it is read, hand it to :meth:`rest`."""
        if self._left.get(key) is None:
            raise missing(self.at(key))
        return Fields(self._left.pop(key), self.at(key))

    def rest(self, *inner: Fields) -> Extras:
        """What is left here, and under their own keys what is left of ``inner`` objects."""
        for fields in inner:
            left = fields.rest()
            if left:
                self._left[fields.path.rpartition(".")[2]] = dict(left)
        return self._left


def nested(extras: Extras, key: str) -> JsonObject:
    """The extras of an inner object; see :meth:`Fields.rest`."""
    value = extras.get(key)
    return value if isinstance(value, dict) else {}
