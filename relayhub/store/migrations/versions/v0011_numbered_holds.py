"""A hold is named by the number of the ledger row that began it, a usage row by that of the row that ended its hold: four
tables in the order of numbers that only grow, where there were texts and an index over them in each. Usage is found by blocks
of these numbers, where each call was in five more indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op

from relayhub.store.errors import StoreError

revision = "0011"
down_revision = "0010"

_BEGAN = "(SELECT b.id FROM ledger AS b WHERE b.hold_id = old.hold_id AND b.kind = 'hold')"
_ENDED = "(SELECT e.id FROM ledger AS e WHERE e.hold_id = old.hold_id AND e.kind IN ('settlement', 'release'))"

_TABLES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("holds", "hold_id", _BEGAN, {"hold_id TEXT NOT NULL": "hold_id INTEGER NOT NULL"}),
    ("jobs", "hold_id", _BEGAN, {"hold_id TEXT NOT NULL": "hold_id BIGINT NOT NULL"}),
    (
        "usage",
        "hold_id",
        _ENDED,
        {"hold_id TEXT NOT NULL": "id INTEGER NOT NULL", "pk_usage PRIMARY KEY (hold_id)": "pk_usage PRIMARY KEY (id)"},
    ),
    (
        "ledger",
        "hold_id",
        _BEGAN,
        {
            "id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT": "id INTEGER NOT NULL",
            "hold_id TEXT": "hold_id BIGINT",
            "CONSTRAINT ck_ledger_sign": "CONSTRAINT pk_ledger PRIMARY KEY (id), \n\tCONSTRAINT ck_ledger_hold_begins "
            "CHECK ((kind = 'hold') = (hold_id = id)), \n\tCONSTRAINT ck_ledger_sign",
        },
    ),
)
"""Table, column, what its value becomes, and what changes in the table's own text. The ledger comes last: others ask it."""

_MADE = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{table}'"
_BESIDE = "SELECT sql, name FROM sqlite_master WHERE tbl_name = '{table}' AND type <> 'table' AND sql IS NOT NULL"

_DROPPED = frozenset(
    {
        "uq_ledger_hold_begins",
        *(f"ix_usage_{name}" for name in ("at", "key_id_at", "account_id_at", "model_at", "provider_at")),
        *(f"ix_usage_{name}_at" for name in ("outcome", "operation", "user_identifier")),
    }
)
_INDEXED = {
    "outcome": "outcome <> 'completed'",
    "operation": "operation <> 'chat'",
    "user_identifier": "user_identifier IS NOT NULL",
}

_COMPLETE = "id < (SELECT coalesce(max(value), 0) + 1 & -256 FROM meta WHERE name = 'usage_rolled')"
_BLOCKS = (
    f"""INSERT INTO usage_blocks (block, first_at, until_at) SELECT block, first_at, max(last_at) OVER (ORDER BY block)
    FROM (SELECT id >> 8 AS block, min(at) AS first_at, max(at) AS last_at FROM usage WHERE {_COMPLETE} GROUP BY 1)""",  # noqa: S608
    *(
        f"""INSERT INTO usage_block_values (dimension, value, block)
        SELECT DISTINCT '{name}', {name}, id >> 8 FROM usage WHERE {_COMPLETE} ORDER BY 2, 3"""  # noqa: S608
        for name in ("account_id", "key_id", "model", "provider")
    ),
)
"""For all ids that are rolled up, as far as their blocks are complete."""


def upgrade() -> None:
    """All or nothing, as every update. For ten million calls it takes some minutes; while it runs, the copy from before, the
    write-ahead log and what the file grows by come to two and a half times the file's room besides."""
    for table, column, becomes, changes in _TABLES:
        _refuse_unbooked(table, column, becomes)
        _rebuild(table, column, becomes, changes)
    _find_by_blocks()
    _number_named_calls()


def _find_by_blocks() -> None:
    for name, unusual in _INDEXED.items():
        op.create_index(
            f"ix_usage_{name}", "usage", [name], sqlite_where=sa.text(unusual), postgresql_where=sa.text(unusual)
        )
    op.create_table(
        "usage_blocks",
        sa.Column("block", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("until_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("block", name=op.f("pk_usage_blocks")),
    )
    op.create_table(
        "usage_block_values",
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dimension", "value", "block", name=op.f("pk_usage_block_values")),
        sqlite_with_rowid=False,
    )
    for statement in _BLOCKS:
        op.execute(statement)
    for name in ("first_at", "until_at"):
        op.create_index(op.f(f"ix_usage_blocks_{name}"), "usage_blocks", [name])


def _number_named_calls() -> None:
    """A minute earlier, because their clocks were other processes'."""
    op.add_column("named_calls", sa.Column("begun_after", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    first = "SELECT min(begun_at) - 60 FROM named_calls"
    op.execute(
        "UPDATE named_calls SET begun_after = coalesce((SELECT id FROM ledger "  # noqa: S608
        f"WHERE at < ({first}) ORDER BY id DESC LIMIT 1), 0)"
    )


def _refuse_unbooked(table: str, column: str, becomes: str) -> None:
    lost = f"FROM {table} AS old WHERE old.{column} IS NOT NULL AND {becomes} IS NULL"
    rows = _rows(f"SELECT count(*) {lost}")[0][0]
    if rows:
        raise StoreError(
            f"{rows} rows of {table} belong to holds that are not in the ledger, so they cannot be numbered. Nothing has "
            "been changed. Install the release from before, and see what its `relayhub ledger check` says."
        )


def _rebuild(table: str, column: str, becomes: str, changes: Mapping[str, str]) -> None:
    made = str(_rows(_MADE.format(table=table))[0][0])
    for before, now in {f"CREATE TABLE {table} ": f"CREATE TABLE numbered_{table} ", **changes}.items():
        if made.count(before) != 1:
            raise RuntimeError(f"the table {table} is not the one that this update expects: {made}")
        made = made.replace(before, now)
    beside = _rows(_BESIDE.format(table=table))
    names = [str(row[1]) for row in _rows(f"PRAGMA table_info({table})")]
    values = [becomes if name == column else f"old.{name}" for name in names]
    op.execute(made)
    op.execute(f"INSERT INTO numbered_{table} SELECT {', '.join(values)} FROM {table} AS old")  # noqa: S608
    op.execute(f"DROP TABLE {table}")
    op.execute(f"ALTER TABLE numbered_{table} RENAME TO {table}")
    for statement in [str(sql) for sql, name in beside if name not in _DROPPED]:
        op.execute(statement)


def _rows(statement: str) -> Sequence[Sequence[object]]:
    return op.get_bind().exec_driver_sql(statement).fetchall()
