"""Identifiers: a ULID (sorts by time of creation) behind a prefix that says what it names."""

from __future__ import annotations

import secrets

from relayhub.types.ids import new_id

CODE = "code_"


def new_account_id() -> str:
    return new_id("acct_")


def new_key_id() -> str:
    return new_id("key_")


def new_epoch_id() -> str:
    return new_id("epoch_")


def new_person_id() -> str:
    return new_id("person_")


def new_session_id() -> str:
    return new_id("sess_")


def new_admin_key_id() -> str:
    return new_id("admk_")


def new_invite_id() -> str:
    return new_id("inv_")


def new_batch_id() -> str:
    return new_id("batch_")


def new_job_id() -> str:
    """``task_`` and 32 characters: the form that clients know."""
    return new_id("task_") + secrets.token_hex(3)
