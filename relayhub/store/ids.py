"""Identifiers: a ULID (sorts by time of creation) behind a prefix that says what it names."""

from __future__ import annotations

import secrets

from ulid import ULID


def new_account_id() -> str:
    return f"acct_{ULID()}"


def new_key_id() -> str:
    return f"key_{ULID()}"


def new_hold_id() -> str:
    return f"hold_{ULID()}"


def new_epoch_id() -> str:
    return f"epoch_{ULID()}"


def new_person_id() -> str:
    return f"person_{ULID()}"


def new_session_id() -> str:
    return f"sess_{ULID()}"


def new_admin_key_id() -> str:
    return f"admk_{ULID()}"


def new_invite_id() -> str:
    return f"inv_{ULID()}"


def new_batch_id() -> str:
    return f"batch_{ULID()}"


def new_code_id() -> str:
    return f"code_{ULID()}"


def new_job_id() -> str:
    """``task_`` and 32 characters: the form that clients know."""
    return f"task_{ULID()}{secrets.token_hex(3)}"
