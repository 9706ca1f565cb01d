"""Kept turns, and stream tickets with their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "kept_turns",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "ref", name=op.f("pk_kept_turns")),
    )
    op.create_index(op.f("ix_kept_turns_expires_at"), "kept_turns", ["expires_at"])
    op.create_table(
        "stream_tickets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("epoch_id", sa.Text(), nullable=True),
        sa.Column("dropped", sa.Text(), nullable=False),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("followed_at", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'running', 'ended')", name=op.f("ck_stream_tickets_state")),
        sa.CheckConstraint("(state = 'running') = (expires_at IS NULL)", name=op.f("ck_stream_tickets_expiry")),
        sa.CheckConstraint("state = 'waiting' OR request IS NULL", name=op.f("ck_stream_tickets_request_once")),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_stream_tickets_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream_tickets")),
    )
    op.create_index(op.f("ix_stream_tickets_key_id"), "stream_tickets", ["key_id"])
    op.create_index(op.f("ix_stream_tickets_expires_at"), "stream_tickets", ["expires_at"])
    op.create_table(
        "stream_events",
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("last >= first", name=op.f("ck_stream_events_order")),
        sa.ForeignKeyConstraint(["ticket_id"], ["stream_tickets.id"], name=op.f("fk_stream_events_ticket_id")),
        sa.PrimaryKeyConstraint("ticket_id", "first", name=op.f("pk_stream_events")),
    )
