"""Saying which parameter cannot be honoured, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NoReturn

from relayhub.sdk import Json, invalid_request


def refuse(param: str, why: str) -> NoReturn:
    raise invalid_request(f"{param}: {why}", param=param)


def one_of(param: str, value: object, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(param, f"this model takes {', '.join(allowed)}." if allowed else "this model does not take it.")
    return value


def whole(param: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(param, f"it must be a whole number from {low} to {high}.")
    return value


def passed_on(vendor: Mapping[str, Json], allowed: Collection[str]) -> dict[str, Json]:
    """The parameters of the upstream's own API that its operator says it takes, as the client gave them."""
    said: dict[str, Json] = {name: value for name, value in vendor.items() if value is not None}
    for name in said:
        if name not in allowed:
            refuse(
                name, "this upstream does not take it, as far as is known; its operator can allow it by `parameters`."
            )
    return said


def extra(param: str, value: Json, allowed: Collection[str]) -> dict[str, Json]:
    """A parameter that OpenAI does not have and a compatible upstream may: nothing where the client did not say it."""
    if value is None:
        return {}
    return passed_on({param: value}, allowed)
