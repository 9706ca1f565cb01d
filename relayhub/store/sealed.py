"""Where sealed values stand in the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from relayhub.store.connection import LOCK_WAIT_S
from relayhub.store.errors import StoreError

_STILL_WANTED = """
SELECT EXISTS (SELECT 1 FROM kept_turns WHERE expires_at > :now)
    OR EXISTS (SELECT 1 FROM stream_tickets WHERE coalesce(expires_at > :now, 1))
    OR EXISTS (SELECT 1 FROM named_calls WHERE sealed IS NOT NULL AND expires_at > :now)
    OR EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)
    OR EXISTS (SELECT 1 FROM webhooks WHERE next_at IS NOT NULL)
"""
"""Of the first three nothing is opened after its expiry; a ticket that is being answered has none yet."""


def holds_sealed(path: Path, now: float) -> bool:
    """Whether a key is still needed for something in an up-to-date database. Raises ``StoreError``."""
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S)) as connection:
            return bool(connection.execute(_STILL_WANTED, {"now": now}).fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the database cannot be read: {error}.") from error
