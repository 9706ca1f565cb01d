"""Saying which parameter cannot be honoured, and why."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from relayhub.sdk import invalid_request


def refuse(param: str, why: str) -> NoReturn:
    raise invalid_request(f"{param}: {why}", param=param)


def unknown(param: str) -> NoReturn:
    refuse(param, "this upstream does not know it, or relayhub does not pass it on.")


def one_of(param: str, value: object, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(param, f"this model takes {', '.join(allowed)}." if allowed else "this model does not take it.")
    return value


def flag(param: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(param, "it must be true or false.")
    return value


def whole(param: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(param, f"it must be a whole number from {low} to {high}.")
    return value


def numeral(param: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        refuse(param, f"it must be a number from {low:g} to {high:g}.")
    return value


def written(param: str, value: str, most: int) -> str:
    """Text that can be sent."""
    if not value.strip():
        refuse(param, "it is empty.")
    if len(value) > most:
        refuse(param, f"it is longer than the {most} characters that this model takes at a time.")
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(param, "it holds half of a surrogate pair, which is no character.")
    return value
