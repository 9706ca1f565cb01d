"""The limits of a key on the command line: one set of options for making and for changing keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, TypeVar

import click

from relayhub.cli.support import Setup
from relayhub.cli.units import UNLIMITED, to_nano, to_units
from relayhub.types.key_limits import COUNTS, MAX_LIMIT, KeyLimits
from relayhub.types.on_disconnect import OnDisconnect

INHERIT = "inherit"
NONE = "none"
_LIFTED = 0
"""What ``none`` reads as: no limit can be zero."""

T = TypeVar("T")


class CountType(click.ParamType[int]):
    """A whole number above zero, or ``none``: no limit."""

    name = "count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().replace("_", "")
        if text == NONE:
            return _LIFTED
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_LIMIT:
            self.fail(f"{value!r} is not a whole number above zero or '{NONE}'", param, ctx)
        return int(text)


class NamesType(click.ParamType[tuple[str, ...]]):
    """Words, separated by commas, or ``none``: no limit."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(filter(None, (name.strip() for name in str(value).split(","))))
        if not names:
            self.fail("this names nothing", param, ctx)
        return () if names == (NONE,) else names


@dataclass(frozen=True, slots=True)
class LimitsSaid:
    """``None``: not said; 0 and ``()``: to be lifted. Spending is in units."""

    providers: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    rpm: int | None
    tpm: int | None
    concurrent: int | None
    jobs: int | None
    video_seconds: int | None
    spend_per_day: int | None
    spend_per_month: int | None
    on_disconnect: str | None

    def over(self, before: KeyLimits, setup: Setup) -> KeyLimits:
        """What was there, with what was said. Raises a usage error for what the ledger cannot hold."""
        counts = {
            "requests_per_minute": self.rpm,
            "tokens_per_minute": self.tpm,
            "concurrent_calls": self.concurrent,
            "jobs_in_flight": self.jobs,
            "video_seconds_per_day": self.video_seconds,
            "spend_per_day_nano": _nano(setup, self.spend_per_day),
            "spend_per_month_nano": _nano(setup, self.spend_per_month),
        }
        said: dict[str, Any] = {name: count or None for name, count in counts.items() if count is not None}
        lists = {"providers": self.providers, "networks": self.networks}
        said |= {name: names or None for name, names in lists.items() if names is not None}
        if self.on_disconnect is not None:
            said["on_disconnect"] = None if self.on_disconnect == NONE else OnDisconnect(self.on_disconnect)
        return replace(before, **said)


def _nano(setup: Setup, units: int | None) -> int | None:
    return to_nano(setup, units) if units else units


def limit_options(command: Callable[..., T]) -> Callable[..., T]:
    """Hand the command ``said``, a :class:`LimitsSaid`."""
    names = [field.name for field in fields(LimitsSaid)]

    @wraps(command)
    def gathered(*args: object, **given: Any) -> T:
        said = LimitsSaid(**{name: given.pop(name) for name in names})
        return command(*args, said=said, **given)

    options = (
        _names("--providers", "Providers it may reach, by name or type, separated by commas."),
        _names("--networks", "Addresses and CIDRs it may be used from, separated by commas."),
        _count("--rpm", "Requests per minute."),
        _count("--tpm", "Tokens per minute, input and output."),
        _count("--concurrent", "Calls at a time."),
        _count("--jobs", "Jobs (videos, images) in flight at a time."),
        _count("--video-seconds", "Seconds of video per day."),
        _count("--spend-per-day", "Units it may spend in a day."),
        _count("--spend-per-month", "Units it may spend in a month."),
        _on_disconnect,
    )
    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def _count(name: str, text: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    return click.option(name, type=CountType(), help=f"{text} '{NONE}': no limit.")


def _names(name: str, text: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    return click.option(name, type=NamesType(), help=f"{text} '{NONE}': any.")


_on_disconnect = click.option(
    "--on-disconnect",
    type=click.Choice([*map(str, OnDisconnect), NONE]),
    help=f"What becomes of a call whose client leaves. '{NONE}': as the config has it.",
)

tag_option = click.option("--tag", "tags", multiple=True, help="A tag, for reports; may be given several times.")


class QuotaType(click.ParamType[int | str]):
    """A whole number of units, ``inherit`` (as much as its account has) or ``unlimited`` (its account is given what it
    lacks)."""

    name = "units"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip().replace("_", "")
        if text in (INHERIT, UNLIMITED):
            return text
        if not (text.isascii() and text.isdigit()) or int(text) == 0:
            self.fail(f"{value!r} is not a whole number of units above zero, '{INHERIT}' or '{UNLIMITED}'", param, ctx)
        return int(text)


def limit_nano(setup: Setup, quota: int | str) -> int | None:
    return to_nano(setup, quota) if isinstance(quota, int) else None


def shown_limits(setup: Setup, limits: KeyLimits) -> dict[str, object]:
    """By the names of their options, spending in units; ``None``: no limit."""
    shown: dict[str, object] = {
        "providers": None if limits.providers is None else [*limits.providers],
        "networks": None if limits.networks is None else [*limits.networks],
    }
    for name in COUNTS:
        count = getattr(limits, name)
        nano = name.endswith("_nano")
        shown[name.removesuffix("_nano")] = to_units(setup, count) if nano and count is not None else count
    shown["on_disconnect"] = limits.on_disconnect
    return shown
