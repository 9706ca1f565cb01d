"""The kinds of ledger row are compared one by one, those of calls first: for a list SQLite builds a table at each statement,
which took longer than to write a row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_BEFORE = "kind IN ('grant', 'redemption', 'hold', 'settlement', 'release', 'refund', 'adjustment')"
_NOW = (
    "kind = 'hold' OR kind = 'settlement' OR kind = 'release' OR kind = 'grant' OR kind = 'redemption' "
    "OR kind = 'refund' OR kind = 'adjustment'"
)


def upgrade() -> None:
    """In place: what a constraint says is nowhere but in the table's own text, and no row needs to be written for it."""
    connection = op.get_bind()
    before: str = connection.execute(_TEXT).scalar_one()
    if before.count(_BEFORE) != 1:
        raise RuntimeError(f"the ledger's table is not the one that this update expects: {before}")
    version: int = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(_STORE, {"now": before.replace(_BEFORE, _NOW)})
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


_TEXT = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'ledger'")
_STORE = sa.text("UPDATE sqlite_master SET sql = :now WHERE type = 'table' AND name = 'ledger'")
