"""Units in and out: people count in units, the ledger in nano-USD."""

from __future__ import annotations

import click

from relayhub.cli.support import Setup
from relayhub.types.money import MAX_NANO, nano_per_unit, units_rounded_up

UNLIMITED = "unlimited"


class UnitsType(click.ParamType[int | None]):
    """A whole number of units, or ``unlimited`` where that makes sense."""

    name = "units"

    def __init__(self, *, unlimited: bool) -> None:
        self._unlimited = unlimited

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        text = str(value).strip().replace("_", "")
        if self._unlimited and text == UNLIMITED:
            return None
        if not (text.isascii() and text.isdigit()) or int(text) == 0:
            choice = f" or '{UNLIMITED}'" if self._unlimited else ""
            self.fail(f"{value!r} is not a whole number of units above zero{choice}", param, ctx)
        return int(text)


def to_nano(setup: Setup, units: int) -> int:
    """Raises a usage error if the amount is beyond what the ledger can hold."""
    nano = units * nano_per_unit(setup.config.quota.units_per_usd)
    if nano > MAX_NANO:
        raise click.BadParameter(f"{units} units are more than the ledger can hold")
    return nano


def to_units(setup: Setup, nano: int) -> int:
    """Rounded down: what is left must never look like more than it is."""
    return nano // nano_per_unit(setup.config.quota.units_per_usd)


def spent_units(setup: Setup, nano: int) -> int:
    """Rounded up: what was spent must never look like less than it was."""
    return units_rounded_up(nano, nano_per_unit(setup.config.quota.units_per_usd))
