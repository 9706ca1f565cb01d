"""Discounts: per cent as people write them, parts per million inside."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

WHOLE_PPM = 1_000_000


def percent_to_ppm(text: str) -> int:
    """``"12.5"`` → 125_000. Raises ``ValueError`` outside 0 to 100, or with more than 4 decimal places."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'{text!r} is not a number of per cent such as "12.5"') from None
    if not value.is_finite() or not 0 <= value <= 100:
        raise ValueError(f"{text!r} must be from 0 to 100")
    ppm = value * (WHOLE_PPM // 100)
    if ppm != ppm.to_integral_value():
        raise ValueError(f"{text!r} has more than 4 decimal places")
    return int(ppm)


def ppm_to_percent(ppm: int) -> str:
    """``125_000`` → ``"12.5"``."""
    text = f"{Decimal(ppm) / (WHOLE_PPM // 100):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
