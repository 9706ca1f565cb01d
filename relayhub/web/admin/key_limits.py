"""What a key may do beside spending its quota, as the management side takes and shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from relayhub.types.errors import invalid_request
from relayhub.types.key_limits import MAX_LIMIT, KeyLimits
from relayhub.types.on_disconnect import OnDisconnect
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.shapes import WHOLE, Input, Output, Units

Count = Annotated[int, Field(ge=1, le=MAX_LIMIT), WHOLE]
Providers = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=1000)
]
Networks = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=50)], ...], Field(min_length=1, max_length=1000)
]

_SPEND = {"spend_per_day": "spend_per_day_nano", "spend_per_month": "spend_per_month_nano"}
"""In units here, in nano-USD in the ledger."""


class LimitsShown(Output):
    """``null``: no limit. Spending is in units; days and months are those of ``quota.timezone``."""

    providers: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_calls: int | None
    jobs_in_flight: int | None
    video_seconds_per_day: int | None
    spend_per_day: int | None
    spend_per_month: int | None
    on_disconnect: OnDisconnect | None = Field(description="`null`: as its models or `quota.on_disconnect` have it.")


class LimitsGiven(Input):
    """What is left out stays as it is; ``null`` lifts the limit."""

    providers: Providers | None = Field(None, description="Names or types of providers that it may reach.")
    networks: Networks | None = Field(
        None, description="Addresses and CIDRs that it may be used from.", examples=[["10.0.0.0/8", "192.168.1.7"]]
    )
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = Field(None, description="Input and output.")
    concurrent_calls: Count | None = None
    jobs_in_flight: Count | None = Field(None, description="Videos and images that are not finished.")
    video_seconds_per_day: Count | None = None
    spend_per_day: Units | None = None
    spend_per_month: Units | None = None
    on_disconnect: OnDisconnect | None = Field(
        None, description="What becomes of a call whose client leaves. For staff to say."
    )


def limits_shown(context: AdminContext, limits: KeyLimits) -> LimitsShown:
    return LimitsShown(
        providers=limits.providers,
        networks=limits.networks,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrent_calls=limits.concurrent_calls,
        jobs_in_flight=limits.jobs_in_flight,
        video_seconds_per_day=limits.video_seconds_per_day,
        spend_per_day=_units(context, limits.spend_per_day_nano),
        spend_per_month=_units(context, limits.spend_per_month_nano),
        on_disconnect=limits.on_disconnect,
    )


def _units(context: AdminContext, nano: int | None) -> int | None:
    return None if nano is None else context.units(nano)


def limits_over(context: AdminContext, before: KeyLimits, given: LimitsGiven) -> KeyLimits:
    """What was there, with what is said. Raises ``ClientError`` for an amount that no limit can be."""
    said: dict[str, Any] = {}
    for name in given.model_fields_set:
        value = getattr(given, name)
        if name in _SPEND:
            said[_SPEND[name]] = None if value is None else context.nano(value, f"limits.{name}")
        else:
            said[name] = value
    try:
        return replace(before, **said)
    except ValueError:
        large = next((name for name in _SPEND if (said.get(_SPEND[name]) or 0) > MAX_LIMIT), "limits")
        raise invalid_request(
            f"limits.{large} is more than a limit can be: at most {context.units(MAX_LIMIT)} units.",
            code="invalid_limit",
            param=f"limits.{large}",
        ) from None
