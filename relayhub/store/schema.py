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
    UniqueConstraint,
    event,
    text,
)

from relayhub.store.usage_histogram import BUCKETS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite keeps a table in the order of such a primary key, without an index of its own."""

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
    Column("discount_ppm", Integer, nullable=False, server_default=text("0")),
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
    Column("unlimited", Boolean, nullable=False, server_default=text("0")),
    Column("limits", Text),
    Column("tags", Text),
    Column("disabled_at", Double),
    Column("previous_hash", Text),
    Column("previous_until", Double),
    CheckConstraint("used_nano >= 0 AND held_nano >= 0", name="not_negative"),
    CheckConstraint("limit_nano IS NULL OR limit_nano - used_nano - held_nano >= 0", name="within_limit"),
)
"""``limit_nano`` NULL: bounded by the account alone, or, if ``unlimited``, by nothing. ``models``: JSON list, NULL allows
all. ``hint``: for lists. ``limits``: JSON of a :class:`relayhub.types.key_limits.KeyLimits`, NULL without any.
``previous_hash``: of the secret before, which is good until ``previous_until``."""

key_windows = Table(
    "key_windows",
    metadata,
    Column("key_id", Text, ForeignKey("keys.id"), primary_key=True),
    Column("window", Text, primary_key=True),
    Column("starts_at", Double, nullable=False),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount >= 0", name="not_negative"),
    sqlite_with_rowid=False,
)
"""What a key with limits has used of each :class:`relayhub.store.windows.Window`, in the one that began at ``starts_at``."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id")),
    Column("hold_id", BigInteger),
    Column("call_id", Text),
    Column("amount_nano", BigInteger, nullable=False),
    Column("actor", Text),
    Column("reason", Text),
    CheckConstraint(
        "kind = 'hold' OR kind = 'settlement' OR kind = 'release' OR kind = 'grant' OR kind = 'redemption' "
        "OR kind = 'refund' OR kind = 'adjustment'",
        name="kind",
    ),
    CheckConstraint("amount_nano >= 0 OR kind = 'adjustment'", name="sign"),
    CheckConstraint("hold_id IS NOT NULL OR kind NOT IN ('hold', 'settlement', 'release')", name="hold"),
    CheckConstraint("(kind = 'hold') = (hold_id = id)", name="hold_begins"),
)
"""Append-only, its ids are 1, 2, 3 and so on without a gap. ``hold_id``: the id of the row that began the hold, so it begins
once; an index sees to it that it ends once. ``amount_nano`` of a hold or release is what was held, of a settlement what was
charged. (Its kinds are compared one by one, for SQLite would build a table of a list at each statement.)"""

HOLD_ENDS = text("kind IN ('settlement', 'release')")

# What an index says to another database stands in the migrations only: here it would load that dialect, 4 MB at each start.
Index("uq_ledger_hold_ends", ledger.c.hold_id, unique=True, sqlite_where=HOLD_ENDS)

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
    Column("hold_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("call_id", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("epoch_id", Text, ForeignKey("epochs.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("about", Text, nullable=False),
    Column("tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("video_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("windows", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("amount_nano >= 0", name="not_negative"),
    Index("ix_holds_key_id", "key_id"),
)
"""Open holds only: the row goes in the transaction that ends its hold. ``about``: JSON, for an orphan's usage row.
``tokens``, ``video_ms``: estimates; ``windows``: which of the key's counts they are in, see
:mod:`relayhub.store.limit_batch`."""

usage = Table(
    "usage",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
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
    Column("media", Text),
    Column("price_version", Text),
    Column("upstream_cost_nano", BigInteger),
    Column("on_disconnect", Text),
    CheckConstraint("cost_nano >= 0 AND shortfall_nano >= 0", name="not_negative"),
)
"""One row per admitted call, written in the transaction that ended its hold. ``id``: of the ledger row of that end. Most
calls are in no index: see ``usage_blocks``."""

UNUSUAL_OUTCOME = text("outcome <> 'completed'")
UNUSUAL_OPERATION = text("operation <> 'chat'")
"""What most calls are is found without an index."""

Index("ix_usage_outcome", usage.c.outcome, sqlite_where=UNUSUAL_OUTCOME)
Index("ix_usage_operation", usage.c.operation, sqlite_where=UNUSUAL_OPERATION)

HAS_USER = text("user_identifier IS NOT NULL")

Index("ix_usage_user_identifier", usage.c.user_identifier, sqlite_where=HAS_USER)

usage_blocks = Table(
    "usage_blocks",
    metadata,
    Column("block", _NUMBER, primary_key=True, autoincrement=False),
    Column("first_at", Double, nullable=False, index=True),
    Column("until_at", Double, nullable=False, index=True),
)
"""See :mod:`relayhub.store.usage_blocks`. ``first_at``: the earliest ``at`` of the block's calls; ``until_at``: the latest of
its own and all earlier ones', so that it only grows from block to block."""

usage_block_values = Table(
    "usage_block_values",
    metadata,
    Column("dimension", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which blocks have calls of an account, key, model or provider: ``dimension`` is that column of usage."""

usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("level", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("user_identifier", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("audio_ms", BigInteger, nullable=False),
    Column("video_ms", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("shortfall_nano", BigInteger, nullable=False),
    Column("upstream_cost_nano", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    *(Column(f"latency_{bucket}", BigInteger, nullable=False) for bucket in range(BUCKETS)),
    CheckConstraint("calls > 0", name="not_empty"),
    sqlite_with_rowid=False,
)
"""Calls added up. ``level``: see :mod:`relayhub.store.usage_levels`; ``start``: of the UTC day or month; ``latency_N``: calls
in bucket N of :mod:`relayhub.store.usage_histogram`."""

OF_A_USER = text("user_identifier <> ''")

Index(
    "ix_usage_rollups_user_identifier",
    usage_rollups.c.user_identifier,
    usage_rollups.c.level,
    usage_rollups.c.start,
    sqlite_where=OF_A_USER,
)

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

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("hold_id", BigInteger, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("platform", Text),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("user_identifier", Text),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("rates", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("seconds", Double),
    Column("usage", Text, nullable=False),
    Column("sealed", LargeBinary),
    Column("upstream_id", Text),
    Column("handle", Text, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("parent_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("poll_errors", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("submitted_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("next_at", Double, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint(
        "state IN ('new', 'submit_unknown', 'queued', 'in_progress', 'succeeded', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished"),
    Index("ix_jobs_account_id_created_at", "account_id", "created_at"),
    Index("ix_jobs_provider_upstream_id", "provider", "upstream_id"),
    Index("ix_jobs_model_created_at", "model", "created_at"),
)
"""See :class:`relayhub.types.job.Job`. ``sealed``: the request, for looking up what became of it, until it is finished.
``lease_owner`` may look at it until ``lease_until``."""

OPEN_JOBS = text("finished_at IS NULL")

Index("ix_jobs_next_at", jobs.c.next_at, sqlite_where=OPEN_JOBS)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("file", Text),
    Column("expires_at", Double, nullable=False, index=True),
    Column("note", Text),
    UniqueConstraint("job_id", "position"),
)
"""See :class:`relayhub.types.job.StoredArtifact`."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)
"""``name``: the hash of what the client calls its request."""

named_calls = Table(
    "named_calls",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("epoch_id", Text, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("sealed", LargeBinary),
    Column("expires_at", Double, nullable=False, index=True),
    Column("begun_after", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("ended OR sealed IS NULL", name="answer_at_the_end"),
)
"""See :mod:`relayhub.store.named_calls`. ``epoch_id``: whose process serves it; no foreign key, since an epoch that is no
longer there is a dead one. ``begun_after``: the newest ledger row then, so the call's own are later."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, index=True),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("delivered_at", Double),
)
"""One message to a client for each job that asked for it. ``sealed``: the address."""

people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id")),
    Column("password_hash", Text, nullable=False),
    Column("password_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    CheckConstraint("role IN ('admin', 'operator', 'viewer', 'user')", name="role"),
    CheckConstraint("role <> 'user' OR account_id IS NOT NULL", name="own_account"),
)
"""Who may sign in. ``name``: in lower case. ``account_id``: theirs; staff need none."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("person_id", Text, ForeignKey("people.id"), nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("client", Text),
    Column("agent", Text),
)
"""Sign-ins that are in force: a session that ends is deleted. ``client`` and ``agent``: for its person to know it by."""

admin_keys = Table(
    "admin_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    CheckConstraint("role IN ('admin', 'operator', 'viewer')", name="role"),
)
"""Credentials of programs for the management side. They cannot call models, and relay keys cannot do what these do."""

invites = Table(
    "invites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("first", Boolean, nullable=False),
    Column("role", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id")),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
    Column("person_id", Text, ForeignKey("people.id")),
    CheckConstraint("role IN ('admin', 'operator', 'viewer', 'user')", name="role"),
    CheckConstraint("(used_at IS NULL) = (person_id IS NULL)", name="used"),
)
"""Each makes one person. ``first``: the token that makes the first admin; without ``account_id`` a user gets one."""

code_batches = Table(
    "code_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("value_nano", BigInteger, nullable=False),
    Column("codes", Integer, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("voided_at", Double),
    CheckConstraint("value_nano > 0 AND codes > 0 AND max_uses > 0", name="positive"),
)

codes = Table(
    "codes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("batch_id", Text, ForeignKey("code_batches.id"), nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("uses_left", Integer, nullable=False),
    CheckConstraint("uses_left >= 0", name="not_overused"),
)

redemptions = Table(
    "redemptions",
    metadata,
    Column("code_id", Text, ForeignKey("codes.id"), primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("key_id", Text, ForeignKey("keys.id")),
    Column("actor", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
)
"""An account redeems a code once, however many uses that has."""

attempts = Table(
    "attempts",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("until", Double, nullable=False, index=True),
)
"""How often something that must not be guessed was tried, until when it counts."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("before", Text),
    Column("after", Text),
    Column("request_id", Text),
    Column("client", Text),
    Column("chain", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""See :mod:`relayhub.store.audit`."""


def _append_only(table: Table) -> tuple[str, ...]:
    triggers = tuple(
        f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
        f"BEGIN SELECT RAISE(ABORT, 'the {table.name} is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )
    for statement in triggers:
        trigger = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", trigger.execute_if(dialect="sqlite"))
    return triggers


APPEND_ONLY = (*_append_only(ledger), *_append_only(audit))

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""``revision`` counts changes to keys; ``probe`` is written by health checks while the store is in trouble."""
