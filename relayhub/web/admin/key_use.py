"""What a key has used of its limits."""

from __future__ import annotations

from relayhub.accounts.key_use import running_counts, video_seconds
from relayhub.store.windows import Calendar, Window
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.shapes import Output


class KeyUse(Output):
    """In the minute, day or month that runs now; ``null``: not counted, there is no such limit or it was not used yet."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    video_seconds_per_day: int | None
    spend_per_day: int | None
    spend_per_month: int | None


async def key_use(context: AdminContext, key_id: str) -> KeyUse:
    calendar = Calendar(context.config.quota.zone)
    counts = await running_counts(context.store.keys, key_id, calendar, context.clock.now())
    video_ms, day, month = counts.get(Window.VIDEO), counts.get(Window.DAY), counts.get(Window.MONTH)
    return KeyUse(
        requests_per_minute=counts.get(Window.REQUESTS),
        tokens_per_minute=counts.get(Window.TOKENS),
        video_seconds_per_day=None if video_ms is None else video_seconds(video_ms),
        spend_per_day=None if day is None else context.spent_units(day),
        spend_per_month=None if month is None else context.spent_units(month),
    )
