"""Calls that their clients named; discounts of accounts; which price a call was charged by, and what the upstream charged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("discount_ppm", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("usage", sa.Column("price_version", sa.Text(), nullable=True))
    op.add_column("usage", sa.Column("upstream_cost_nano", sa.BigInteger(), nullable=True))
    op.create_table(
        "named_calls",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("epoch_id", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.CheckConstraint("ended OR sealed IS NULL", name=op.f("ck_named_calls_answer_at_the_end")),
        sa.PrimaryKeyConstraint("key_id", "name", name=op.f("pk_named_calls")),
    )
    op.create_index(op.f("ix_named_calls_expires_at"), "named_calls", ["expires_at"])
