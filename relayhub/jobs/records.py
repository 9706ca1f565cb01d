"""The usage row of a job, and what it costs: by the price that held when it was submitted."""

from __future__ import annotations

import msgspec

from relayhub.accounts.pricing import Price
from relayhub.store.intents import HoldAbout
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import ClientError
from relayhub.types.job import Job
from relayhub.types.media import MediaUsage
from relayhub.types.usage import Usage


def rates_of(price: Price) -> str:
    return msgspec.json.encode(price).decode()


def price_of(job: Job) -> Price:
    return msgspec.json.decode(job.rates, type=Price)


def cost_nano(job: Job, usage: MediaUsage) -> int:
    """What ``usage`` costs; what has no price of its own costs what was held for it."""
    price = price_of(job)
    try:
        return price.media_nano(usage)
    except ClientError:
        return price.media_nano(job.usage)


def about_job(job: Job, operation: str) -> HoldAbout:
    return HoldAbout(
        operation=operation,
        dialect=job.dialect,
        model=job.model,
        provider=job.provider,
        upstream_model=job.upstream_model,
        stream=False,
        price=job.price,
        user_identifier=job.user_identifier,
        price_version=price_of(job).version,
    )


def record_of(
    job: Job, outcome: Outcome, now: float, *, usage: MediaUsage | None = None, error_code: str | None = None
) -> UsageRecord:
    """``usage``: what is charged for; ``None``: nothing is. Measured where the upstream said it, that is where it differs
    from nothing at all."""
    return UsageRecord(
        call_id=job.call_id,
        at=now,
        account_id=job.account_id,
        key_id=job.key_id,
        operation=job.kind.value,
        dialect=job.dialect,
        model=job.model,
        provider=job.provider,
        upstream_model=job.upstream_model,
        stream=False,
        outcome=outcome,
        measured=usage is not None and usage is not job.usage,
        usage=Usage() if usage is None else Usage(usage.input_tokens, usage.output_tokens),
        cost_nano=0 if usage is None else cost_nano(job, usage),
        price=job.price,
        attempts=max(1, job.attempts),
        status=200 if outcome is Outcome.COMPLETED else None,
        error_code=error_code,
        user_identifier=job.user_identifier,
        duration_ms=max(0, round((now - job.created_at) * 1000)),
        media=usage,
        price_version=price_of(job).version,
        upstream_cost_nano=price_of(job).upstream_media_nano(usage),
    )
