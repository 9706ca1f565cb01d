"""What a key has used of its limits in the windows that run now."""

from __future__ import annotations

from relayhub.store.keys import Keys
from relayhub.store.windows import Calendar, Window


async def running_counts(keys: Keys, key_id: str, calendar: Calendar, now: float) -> dict[Window, int]:
    """Only of windows that are counted: those with a limit, once it was used."""
    counts = await keys.counts(key_id)
    return {window: amount for window, (since, amount) in counts.items() if since >= calendar.start(window, now)}


def video_seconds(video_ms: int) -> int:
    """Rounded up."""
    return -(-video_ms // 1000)
