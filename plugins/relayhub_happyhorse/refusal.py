"""Saying which parameter cannot be honoured, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from relayhub.sdk import ClientError, invalid_request


def refusal(param: str, why: str, code: str = "invalid_request") -> ClientError:
    return invalid_request(f"{param}: {why}", code=code, param=param)


def refuse(param: str, why: str) -> NoReturn:
    raise refusal(param, why)


def one_of(param: str, value: object, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        refuse(param, f"this model takes {', '.join(names)}." if names else "this model does not take it.")
    return value


def flag(param: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(param, "it must be true or false.")
    return value


def whole(param: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(param, f"it must be a whole number from {low} to {high}.")
    return value


def needs(param: str, supported: bool) -> None:
    if not supported:
        refuse(param, "this model does not take it.")
