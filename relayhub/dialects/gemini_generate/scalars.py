"""Numbers and words of requests as the upstream's JSON reader takes them: ``40``, ``40.0`` and ``"40"`` are the same
integer, and the words of an enumeration may be in either case."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.fields import Fields, wrong_type
from relayhub.types.json import Json


def take_integer(fields: Fields, key: str) -> int | None:
    value = fields.peek(key)
    if value is None:
        return None
    number = integer_of(value)
    if number is None:
        raise wrong_type(fields.at(key), "an integer")
    fields.take(key)
    return number


def integer_of(value: Json) -> int | None:
    """``None`` for anything that is no whole number."""
    match value:
        case bool():
            return None
        case int():
            return value
        case float():
            return int(value) if value.is_integer() else None
        case str():
            return _parsed(value)
        case _:
            return None


def _parsed(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def take_number(fields: Fields, key: str) -> float | None:
    value = fields.peek(key)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise wrong_type(fields.at(key), "a number") from None
        fields.take(key)
        return number
    return fields.optional_number(key)


def take_word(fields: Fields, key: str) -> str | None:
    """In upper case; ``None`` also for an empty or ``…_UNSPECIFIED`` one."""
    word = (fields.optional_text(key) or "").upper()
    return None if not word or word.endswith("_UNSPECIFIED") else word


def take_texts(fields: Fields, key: str) -> tuple[str, ...] | None:
    """An empty list stays where it is."""
    value = fields.peek(key)
    if value is None or value == []:
        return None
    texts = fields.optional_list(key) or []
    if not all(isinstance(text, str) for text in texts):
        raise wrong_type(fields.at(key), "an array of strings")
    return tuple(text for text in texts if isinstance(text, str))


def one_or_many(value: Json) -> Sequence[Json]:
    """A list, also where a single object stands for a list of one."""
    match value:
        case None:
            return ()
        case list():
            return value
        case _:
            return (value,)
