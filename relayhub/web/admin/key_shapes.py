"""Relay keys as the management side takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from relayhub.store.keys import LONGEST_TAG, MOST_TAGS, Key
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.key_limits import LimitsGiven, LimitsShown, limits_shown
from relayhub.web.admin.key_use import KeyUse
from relayhub.web.admin.shapes import (
    WHOLE,
    Input,
    Moment,
    Name,
    Output,
    Paging,
    Units,
    moment,
    moment_or_none,
)

DAY_S = 86400
LONGEST_OVERLAP_S = 366 * DAY_S

Models = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=1000)
]
Tags = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_TAG, pattern=r"\S")], ...],
    Field(max_length=MOST_TAGS),
]
QUOTA = "What it may spend in all; `null`: as much as its account has."
UNLIMITED = "Its account is given what it lacks. For staff to say."


class KeyShown(Output):
    """In units. ``quota`` ``null``: bounded by the account alone, unless it is ``unlimited``; ``models`` ``null``: all."""

    id: str
    name: str
    hint: str
    account_id: str
    account: str
    state: Literal["active", "disabled", "revoked"]
    quota: int | None
    unlimited: bool
    used: int
    models: tuple[str, ...] | None
    limits: LimitsShown
    tags: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    revoked_at: datetime | None
    previous_secret_until: datetime | None = Field(description="Until when the secret before this one is good.")


class KeySeen(KeyShown):
    use: KeyUse


class KeysQuery(Paging):
    account_id: str | None = Field(None, max_length=64, description="Of this account only.")


class NewKey(Input):
    name: Name
    account_id: str | None = Field(
        None, max_length=64, description="Default: the user's own, for staff the default account."
    )
    quota: Units | None = Field(None, description=QUOTA)
    unlimited: bool = Field(False, description=UNLIMITED)
    models: Models | None = Field(None, description="A name may end in *. Default: all.")
    expires_at: Moment | None = None
    limits: LimitsGiven | None = None
    tags: Tags = Field((), description="For reports.")


class KeyMade(KeyShown):
    secret: str = Field(description="Shown this once.")


class KeyUpdate(Input):
    """What is left out stays as it is; ``null`` lifts a limit."""

    name: Name | None = None
    quota: Units | None = Field(None, description=QUOTA)
    unlimited: bool | None = Field(None, description=UNLIMITED + " A quota ends it.")
    models: Models | None = None
    expires_at: Moment | None = None
    limits: LimitsGiven | None = Field(None, description="Changed one by one; `null` lifts them all.")
    tags: Tags | None = Field(None, description="In place of those that it has.")


class Rotation(Input):
    overlap_s: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_S), WHOLE] = Field(
        DAY_S, description="How long the secret before stays good."
    )


class WebhookSecret(Output):
    secret: str = Field(description="With which messages about this key's jobs are signed.")


def key_shown(context: AdminContext, key: Key) -> KeyShown:
    return KeyShown(
        id=key.id,
        name=key.name,
        hint=key.hint,
        account_id=key.account_id,
        account=key.account_name,
        state=key.state,
        quota=None if key.limit_nano is None else context.units(key.limit_nano),
        unlimited=key.unlimited,
        used=context.spent_units(key.used_nano + key.held_nano),
        models=None if key.models is None else tuple(sorted(key.models)),
        limits=limits_shown(context, key.limits),
        tags=key.tags,
        created_at=moment(key.created_at),
        expires_at=moment_or_none(key.expires_at),
        disabled_at=moment_or_none(key.disabled_at),
        revoked_at=moment_or_none(key.revoked_at),
        previous_secret_until=moment_or_none(key.previous_until),
    )
