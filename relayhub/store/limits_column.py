"""A key's limits as they stand in its row."""

from __future__ import annotations

from dataclasses import fields

import msgspec

from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import JsonObject
from relayhub.types.key_limits import NO_LIMITS, KeyLimits, parse_networks

_FIELDS = tuple(field.name for field in fields(KeyLimits))


def limits_text(limits: KeyLimits) -> str | None:
    """JSON; ``None`` without a limit."""
    return None if limits == NO_LIMITS else msgspec.json.encode(limits_object(limits)).decode()


def limits_object(limits: KeyLimits) -> JsonObject:
    """The limits that there are."""
    given = {name: getattr(limits, name) for name in _FIELDS}
    return {name: [*value] if isinstance(value, tuple) else value for name, value in given.items() if value is not None}


def read_limits(text: str | None) -> KeyLimits:
    return NO_LIMITS if text is None else msgspec.json.decode(text, type=KeyLimits)


def checked(limits: KeyLimits) -> KeyLimits:
    """Raises ``ClientError`` for a network that is none, or a list that allows nothing."""
    if limits.providers == () or limits.networks == ():
        raise _refused("An empty list would allow nothing: name something, or leave the limit out.")
    try:
        parse_networks(limits.networks or ())
    except ValueError as error:
        raise _refused(f"This is not a network: {error}. Write it as 10.0.0.0/8 or 192.168.1.7.") from None
    return limits


def _refused(message: str) -> ClientError:
    return invalid_request(message, code="invalid_limit", param="limits")
