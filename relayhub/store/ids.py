"""Identifiers: a ULID (sorts by time of creation) behind a prefix that says what it names."""

from __future__ import annotations

from ulid import ULID


def new_account_id() -> str:
    return f"acct_{ULID()}"


def new_key_id() -> str:
    return f"key_{ULID()}"


def new_hold_id() -> str:
    return f"hold_{ULID()}"


def new_epoch_id() -> str:
    return f"epoch_{ULID()}"
