"""What the bodies of ``/api/admin`` are made of. Unknown fields are refused, numbers are never guessed from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeAlias, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from relayhub.accounts.passwords import MAX_CHARS, MIN_CHARS

T = TypeVar("T")
Row = TypeVar("Row")

MAX_UNITS = 10**15
MAX_EXACT = 2.0**53
MOST = 1000
"""Items of one page."""


def _whole(value: object) -> object:
    """To JSON, ``5.0`` is a whole number; to Python it is none."""
    if isinstance(value, float) and abs(value) <= MAX_EXACT and value.is_integer():
        return int(value)
    return value


WHOLE = BeforeValidator(_whole)
"""Behind the bounds of an integer, or the document would not tell them."""


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Output(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Nothing(Input):
    """No fields."""


class Paging(Input):
    after: str | None = Field(None, max_length=64, description="The `next` of the page before.")
    limit: int = Field(100, ge=1, le=MOST, description="Items at most.")


class Page(Output, Generic[T]):
    """``next``: for the query parameter ``after``; ``null`` on the last page."""

    items: tuple[T, ...]
    next: str | None


class Done(Output):
    """It is done, and there is nothing to say about it."""


Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]
Reason: TypeAlias = Annotated[str, Field(min_length=1, max_length=500)]
Units: TypeAlias = Annotated[int, Field(gt=0, le=MAX_UNITS), WHOLE]
SignedUnits: TypeAlias = Annotated[int, Field(ge=-MAX_UNITS, le=MAX_UNITS), WHOLE]
PersonName: TypeAlias = Annotated[
    str, Field(max_length=100, json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9._@+-]{1,63}$"})
]
"""Of somebody new: :func:`relayhub.accounts.sign_in.checked_name` decides, and says why not."""
NewSecret: TypeAlias = Annotated[
    str, Field(max_length=MAX_CHARS, json_schema_extra={"format": "password", "minLength": MIN_CHARS})
]
"""A password that is set, which has to be good enough."""
Moment: TypeAlias = AwareDatetime
"""ISO 8601 with a time zone."""


_MICROSECOND = timedelta(microseconds=1)


def moment(at: float) -> datetime:
    """Never later than ``at``, so that what is asked for "since" its own time is found."""
    shown = datetime.fromtimestamp(math.floor(at * 1e6) / 1e6, UTC)
    return shown if shown.timestamp() <= at else shown - _MICROSECOND  # ``at * 1e6`` may have been rounded up


def moment_or_none(at: float | None) -> datetime | None:
    return None if at is None else moment(at)


def seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def page(rows: Sequence[Row], limit: int, shape: Callable[[Row], T], cursor: Callable[[Row], str | int]) -> Page[T]:
    """``rows``: one more than ``limit`` where there are more."""
    shown = rows[:limit]
    following = str(cursor(shown[-1])) if len(rows) > limit and shown else None
    return Page(items=tuple(shape(row) for row in shown), next=following)
