"""The type of a parsed JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"
Extras: TypeAlias = Mapping[str, Json]
"""Fields that a dialect carries and the hub has no word for; kept so that the same dialect can write them again."""
