"""The windows that a key's use is counted in: minutes of the clock, days and months of a zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

MINUTE_S = 60.0


class Window(StrEnum):
    """What is counted, and for how long. The words are in the database."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    VIDEO = "video_ms"
    DAY = "day_nano"
    MONTH = "month_nano"


@dataclass(frozen=True, slots=True)
class Calendar:
    """``zone``: whose days and months they are."""

    zone: tzinfo = UTC

    def start(self, window: Window, at: float) -> float:
        """When the window that ``at`` lies in began; unix seconds."""
        match window:
            case Window.REQUESTS | Window.TOKENS:
                return at - at % MINUTE_S
            case Window.VIDEO | Window.DAY:
                return self._midnight(at).timestamp()
            case Window.MONTH:
                return self._midnight(at).replace(day=1).timestamp()

    def end(self, window: Window, at: float) -> float:
        match window:
            case Window.REQUESTS | Window.TOKENS:
                return at - at % MINUTE_S + MINUTE_S
            case Window.VIDEO | Window.DAY:
                return (self._midnight(at) + timedelta(days=1)).timestamp()
            case Window.MONTH:
                first = self._midnight(at).replace(day=1)
                return (first + timedelta(days=32)).replace(day=1).timestamp()

    def _midnight(self, at: float) -> datetime:
        """Arithmetic on it is in local time: a day of 23 or 25 hours is one day."""
        local = datetime.fromtimestamp(at, self.zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


UTC_CALENDAR = Calendar()
