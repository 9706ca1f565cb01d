"""Times on the command line: UTC, ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime

import click

expires_option = click.option(
    "--expires", type=click.DateTime(), help="Not valid any more from this time on (UTC), such as 2027-01-31."
)


def timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def shown_time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
