"""The answers of the ledger to requests that it does not grant."""

from __future__ import annotations

from relayhub.types.errors import ClientError, ErrorKind, HubError


def unknown_key() -> ClientError:
    return ClientError(ErrorKind.AUTHENTICATION, "This API key does not exist.", code="invalid_api_key")


def revoked_key() -> ClientError:
    return ClientError(
        ErrorKind.KEY_BLOCKED, "This API key was revoked. Use another one, or ask for a new key.", code="key_revoked"
    )


def expired_key() -> ClientError:
    return ClientError(
        ErrorKind.AUTHENTICATION, "This API key has expired. Use another one, or ask for a new key.", code="key_expired"
    )


def key_limit_reached() -> ClientError:
    return _quota("The limit of this API key does not cover this request. Raise the key's limit or use another key.")


def account_exhausted() -> ClientError:
    return _quota("The account's quota does not cover this request. Top the account up, or lower the output limit.")


def _quota(message: str) -> ClientError:
    return ClientError(ErrorKind.QUOTA_EXCEEDED, message, code="insufficient_quota")


def unknown_account(account: str) -> ClientError:
    return ClientError(ErrorKind.NOT_FOUND, f"There is no account {account!r}.", code="account_not_found")


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
