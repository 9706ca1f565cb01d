"""Limits of keys and what is counted against them; disabling and rotating keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("keys", sa.Column("unlimited", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    op.add_column("keys", sa.Column("limits", sa.Text(), nullable=True))
    op.add_column("keys", sa.Column("tags", sa.Text(), nullable=True))
    op.add_column("keys", sa.Column("disabled_at", sa.Double(), nullable=True))
    op.add_column("keys", sa.Column("previous_hash", sa.Text(), nullable=True))
    op.add_column("keys", sa.Column("previous_until", sa.Double(), nullable=True))
    for name in ("tokens", "video_ms", "windows"):
        op.add_column("holds", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.create_index(op.f("ix_holds_key_id"), "holds", ["key_id"])
    op.create_table(
        "key_windows",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.Double(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_key_windows_not_negative")),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_key_windows_key_id")),
        sa.PrimaryKeyConstraint("key_id", "window", name=op.f("pk_key_windows")),
        sqlite_with_rowid=False,
    )
