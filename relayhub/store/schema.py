"""The tables as the code of today wants them. The migrations build them; a test keeps the two in step.

Money is nano-USD in ``BIGINT``. Times are unix seconds. Whatever is bounded is bounded here too, by ``CHECK``: the
writer decides, the database makes sure.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("unlimited", Boolean, nullable=False),
    Column("total_nano", BigInteger, nullable=False),
    Column("used_nano", BigInteger, nullable=False),
    Column("held_nano", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    CheckConstraint("total_nano >= 0 AND used_nano >= 0 AND held_nano >= 0", name="not_negative"),
    CheckConstraint("total_nano - used_nano - held_nano >= 0", name="no_overdraft"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("limit_nano", BigInteger),
    Column("used_nano", BigInteger, nullable=False),
    Column("held_nano", BigInteger, nullable=False),
    Column("models", Text),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("created_at", Double, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    CheckConstraint("used_nano >= 0 AND held_nano >= 0", name="not_negative"),
    CheckConstraint("limit_nano IS NULL OR limit_nano - used_nano - held_nano >= 0", name="within_limit"),
)
"""``limit_nano`` NULL: bounded by the account alone. ``models``: JSON list, NULL allows all. ``hint``: for lists."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id")),
    Column("hold_id", Text),
    Column("call_id", Text),
    Column("amount_nano", BigInteger, nullable=False),
    Column("actor", Text),
    Column("reason", Text),
    CheckConstraint(
        "kind IN ('grant', 'redemption', 'hold', 'settlement', 'release', 'refund', 'adjustment')", name="kind"
    ),
    CheckConstraint("amount_nano >= 0 OR kind = 'adjustment'", name="sign"),
    CheckConstraint("hold_id IS NOT NULL OR kind NOT IN ('hold', 'settlement', 'release')", name="hold"),
    sqlite_autoincrement=True,
)
"""Append-only. ``amount_nano`` of a hold or release is what was held, of a settlement what was charged."""

HOLD_BEGINS = text("kind = 'hold'")
HOLD_ENDS = text("kind IN ('settlement', 'release')")

Index("uq_ledger_hold_begins", ledger.c.hold_id, unique=True, sqlite_where=HOLD_BEGINS, postgresql_where=HOLD_BEGINS)
Index("uq_ledger_hold_ends", ledger.c.hold_id, unique=True, sqlite_where=HOLD_ENDS, postgresql_where=HOLD_ENDS)

APPEND_ONLY = tuple(
    f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)

for statement in APPEND_ONLY:
    trigger = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(ledger, "after_create", trigger.execute_if(dialect="sqlite"))

epochs = Table(
    "epochs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
)
"""The processes that may have open holds. ``started`` tells a process from a later one with the same pid."""

holds = Table(
    "holds",
    metadata,
    Column("hold_id", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("epoch_id", Text, ForeignKey("epochs.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("about", Text, nullable=False),
    CheckConstraint("amount_nano >= 0", name="not_negative"),
)
"""Open holds only: the row goes in the transaction that ends its hold. ``about``: JSON, for an orphan's usage row."""

usage = Table(
    "usage",
    metadata,
    Column("hold_id", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("operation", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("measured", Boolean, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("shortfall_nano", BigInteger, nullable=False),
    Column("price", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("error_code", Text),
    Column("user_identifier", Text),
    Column("first_byte_ms", BigInteger),
    Column("duration_ms", BigInteger, nullable=False),
    CheckConstraint("cost_nano >= 0 AND shortfall_nano >= 0", name="not_negative"),
    Index("ix_usage_at", "at"),
    Index("ix_usage_key_id_at", "key_id", "at"),
    Index("ix_usage_account_id_at", "account_id", "at"),
)
"""One row per admitted call, written in the transaction that ended its hold."""

kept_turns = Table(
    "kept_turns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)
"""See :mod:`relayhub.store.kept_turns`."""

stream_tickets = Table(
    "stream_tickets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False, index=True),
    Column("origin", Text),
    Column("state", Text, nullable=False),
    Column("request", LargeBinary),
    Column("call_id", Text),
    Column("epoch_id", Text),
    Column("dropped", Text, nullable=False),
    Column("last_event", Integer, nullable=False),
    Column("followed_at", Double),
    Column("expires_at", Double, index=True),
    CheckConstraint("state IN ('waiting', 'running', 'ended')", name="state"),
    CheckConstraint("(state = 'running') = (expires_at IS NULL)", name="expiry"),
    CheckConstraint("state = 'waiting' OR request IS NULL", name="request_once"),
)
"""``id``: the token's hash. ``request``: sealed, gone once the call has begun. ``epoch_id``: whose process runs the call;
no foreign key, since an epoch that is no longer there is a dead one. See :mod:`relayhub.store.tickets`."""

stream_events = Table(
    "stream_events",
    metadata,
    Column("ticket_id", Text, ForeignKey("stream_tickets.id"), primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    CheckConstraint("last >= first", name="order"),
)
"""Runs of events, numbered ``first`` to ``last`` within their ticket."""

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""``revision`` counts changes to keys; ``probe`` is written by health checks while the store is in trouble."""
