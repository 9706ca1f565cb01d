"""The answers of the ledger to requests that it does not grant."""

from __future__ import annotations

import math

from relayhub.store.windows import Window
from relayhub.types.errors import ClientError, ErrorKind, HubError

SLOT_RETRY_S = 1.0
"""When a slot is free nobody knows; asking again costs little."""


def unknown_key() -> ClientError:
    return ClientError(ErrorKind.AUTHENTICATION, "This API key does not exist.", code="invalid_api_key")


def revoked_key() -> ClientError:
    return ClientError(
        ErrorKind.KEY_BLOCKED, "This API key was revoked. Use another one, or ask for a new key.", code="key_revoked"
    )


def disabled_key() -> ClientError:
    return ClientError(
        ErrorKind.KEY_BLOCKED, "This API key is switched off. Ask whoever looks after it.", code="key_disabled"
    )


def expired_key() -> ClientError:
    return ClientError(
        ErrorKind.AUTHENTICATION, "This API key has expired. Use another one, or ask for a new key.", code="key_expired"
    )


def key_limit_reached() -> ClientError:
    return _quota("The limit of this API key does not cover this request. Raise the key's limit or use another key.")


def account_exhausted() -> ClientError:
    return _quota("The account's quota does not cover this request. Top the account up, or lower the output limit.")


def _quota(message: str, code: str = "insufficient_quota") -> ClientError:
    return ClientError(ErrorKind.QUOTA_EXCEEDED, message, code=code)


REQUESTS_LIMITED = "requests_per_minute_exceeded"
"""The code where the requests of a minute are used up: nothing can be admitted before it is over."""


def requests_limited(limit: int, reset_s: float) -> ClientError:
    what = f"This API key may make {limit} requests per minute, and has made them. Try again in {_seconds(reset_s)}."
    return _limited(what, REQUESTS_LIMITED, limit, 0, reset_s)


def window_full(window: Window, limit: int, left: int, asked: int, reset_s: float) -> ClientError:
    """``asked`` is more than what is ``left`` until the window's end in ``reset_s``; all in the window's own unit."""
    left = max(0, left)
    match window:
        case Window.REQUESTS:
            return requests_limited(limit, reset_s)
        case Window.TOKENS:
            what = (
                f"This request may come to {asked} tokens, its output limit included, and this API key has {left} of its"
                f" {limit} per minute left."
            )
            return _room(what, "tokens_per_minute_exceeded", limit, left, asked, reset_s)
        case Window.VIDEO:
            limit, left, asked = limit // 1000, left // 1000, -(-asked // 1000)
            what = f"This request is for {asked} s of video, and this API key has {left} of its {limit} s per day left."
            return _room(what, "video_seconds_per_day_exceeded", limit, left, asked, reset_s)
        case Window.DAY:
            return _spent("day", reset_s)
        case Window.MONTH:
            return _spent("month", reset_s)


def slots_taken(most: int, *, job: bool) -> ClientError:
    if job:
        what = f"This API key may have {most} jobs in flight, and has. Wait for one of them to end."
        return _limited(what, "jobs_in_flight_exceeded", most, 0, SLOT_RETRY_S)
    what = f"This API key may make {most} calls at a time, and does. Try again when one of them has ended."
    return _limited(what, "concurrent_calls_exceeded", most, 0, SLOT_RETRY_S)


def _room(what: str, code: str, limit: int, left: int, asked: int, reset_s: float) -> ClientError:
    """Waiting helps nobody who asks for more than the whole limit."""
    if asked <= limit:
        return _limited(f"{what} Try again in {_seconds(reset_s)}, or ask for less.", code, limit, left, reset_s)
    headers = (*_limit_headers(limit, left, reset_s), ("x-should-retry", "false"))
    message = f"{what} It can never be served: ask for less, or have the limit raised."
    return ClientError(ErrorKind.RATE_LIMITED, message, code=code, headers=headers)


def _limited(message: str, code: str, limit: int, left: int, reset_s: float) -> ClientError:
    return ClientError(
        ErrorKind.RATE_LIMITED,
        message,
        code=code,
        retry_after_s=max(reset_s, 0.0),
        headers=_limit_headers(limit, left, reset_s),
    )


def _limit_headers(limit: int, left: int, reset_s: float) -> tuple[tuple[str, str], ...]:
    reset = ("ratelimit-reset", str(max(0, math.ceil(reset_s))))
    return ("ratelimit-limit", str(limit)), ("ratelimit-remaining", str(left)), reset


def _seconds(wait_s: float) -> str:
    return f"{max(1, math.ceil(wait_s))} s"


def _spent(period: str, reset_s: float) -> ClientError:
    return _quota(
        f"What this API key may spend in a {period} does not cover this request. The next {period} begins in"
        f" {_seconds(reset_s)}; ask for less, or have the limit raised.",
        f"spend_per_{period}_exceeded",
    )


def unknown_account(account: str) -> ClientError:
    return ClientError(ErrorKind.NOT_FOUND, f"There is no account {account!r}.", code="account_not_found")


def worthless_code() -> ClientError:
    """One answer for used, expired, void and unknown codes: whoever guesses learns nothing."""
    return ClientError(
        ErrorKind.INVALID_REQUEST,
        "This code cannot be redeemed. Check it for typing errors; each code works once and until its date.",
        code="invalid_code",
        param="code",
    )


def below_zero(remaining_nano: int) -> ClientError:
    return ClientError(
        ErrorKind.INVALID_REQUEST,
        f"The adjustment would take more than the account has left ({remaining_nano} nano-USD).",
        code="adjustment_below_zero",
    )


def above_maximum() -> ClientError:
    return ClientError(
        ErrorKind.INVALID_REQUEST, "The account's total would become too large.", code="amount_too_large"
    )


def unavailable(detail: str, *, retry_after_s: float = 1.0) -> HubError:
    """Nothing was written and nothing was sent; trying again later is safe."""
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server cannot record usage at the moment, so it does not accept this request. Try again shortly.",
        code="store_unavailable",
        detail=detail,
        retry_after_s=retry_after_s,
    )


def unrecordable(detail: str) -> HubError:
    """One item that the database will never take. A defect of ours; it must not hold up the others."""
    return HubError(
        ErrorKind.INTERNAL, "The server could not record this request.", code="ledger_failure", detail=detail
    )
