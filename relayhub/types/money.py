"""Money: integers of nano-USD inside, units outside. Never a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000
MAX_NANO = 2**62
"""Far above any balance, far enough below int64 that adding two of them cannot overflow."""


def usd_to_nano(text: str) -> int:
    """``"0.15"`` → 150_000_000. Raises ``ValueError`` on signs, huge values, or digits below one nano-USD."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'{text!r} is not an amount in USD such as "0.15"') from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} must be zero or more")
    if value >= MAX_NANO // NANO_PER_USD:
        raise ValueError(f"{text!r} is too large")
    nano = value * NANO_PER_USD
    if nano != nano.to_integral_value():
        raise ValueError(f"{text!r} has more than 9 decimal places")
    return int(nano)


def nano_per_unit(units_per_usd: int) -> int:
    """Nano-USD in one unit. ``units_per_usd`` must divide 10⁹ so that no rounding ever happens between the two."""
    nano, rest = divmod(NANO_PER_USD, units_per_usd)
    if rest:
        raise ValueError(f"units_per_usd must divide {NANO_PER_USD}, {units_per_usd} does not")
    return nano


def nano_to_usd(nano: int) -> str:
    """``150_000_000`` → ``"0.15"``, exactly."""
    text = f"{Decimal(nano) / NANO_PER_USD:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def units_rounded_up(nano: int, per_unit: int) -> int:
    """Whole units that cover ``nano``; for what was spent, so that used + remaining never shows more than total."""
    return -(-nano // per_unit)
