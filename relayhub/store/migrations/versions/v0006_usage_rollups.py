"""Usage added up by day and month; finding a client's own user."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_DIMENSIONS = ("account_id", "key_id", "model", "provider", "operation", "outcome", "user_identifier")
_COUNTS = (
    "calls",
    "errors",
    "estimated",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "images",
    "characters",
    "audio_ms",
    "video_ms",
    "cost_nano",
    "shortfall_nano",
    "upstream_cost_nano",
    "duration_ms",
    *(f"latency_{bucket}" for bucket in range(57)),
)


def upgrade() -> None:
    op.create_table(
        "usage_rollups",
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _DIMENSIONS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.CheckConstraint("calls > 0", name=op.f("ck_usage_rollups_not_empty")),
        sa.PrimaryKeyConstraint("level", "start", *_DIMENSIONS, name=op.f("pk_usage_rollups")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_usage_user_identifier_at"),
        "usage",
        ["user_identifier", "at"],
        sqlite_where=sa.text("user_identifier IS NOT NULL"),
        postgresql_where=sa.text("user_identifier IS NOT NULL"),
    )
