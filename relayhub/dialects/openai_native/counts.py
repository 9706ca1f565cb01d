"""Token counts as upstreams without OpenAI's usage object say them: another party's word, so only believable integers."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.types import limits
from relayhub.types.json import Json
from relayhub.types.usage import Usage


def count(value: Mapping[str, Json], key: str) -> int | None:
    """``None`` where there is none that can be believed."""
    found = value.get(key)
    if type(found) is float and found.is_integer():
        found = int(found)
    return found if type(found) is int and 0 <= found <= limits.MAX_TOKENS_REPORTED else None


def input_and_output(value: Mapping[str, Json]) -> Usage | None:
    """``input_tokens`` and ``output_tokens``; ``None`` without the former."""
    given = count(value, "input_tokens")
    return None if given is None else Usage(input_tokens=given, output_tokens=count(value, "output_tokens") or 0)
