"""Usage added up in three more ways, by what was added up before; finding the calls of a model, a provider, an outcome or an
operation, and what a client's own user used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

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

_LEVELS = {
    "all": ("account", ()),
    "hub": ("model", ("model", "provider", "operation", "outcome")),
    "client": ("user", ("account_id", "user_identifier")),
}
"""Which level each comes from, and what it knows."""


def upgrade() -> None:
    op.create_index(op.f("ix_usage_model_at"), "usage", ["model", "at"])
    op.create_index(op.f("ix_usage_provider_at"), "usage", ["provider", "at"])
    for column, usual in (("outcome", "completed"), ("operation", "chat")):
        unusual = sa.text(f"{column} <> '{usual}'")
        op.create_index(
            op.f(f"ix_usage_{column}_at"), "usage", [column, "at"], sqlite_where=unusual, postgresql_where=unusual
        )
    for level, (source, known) in _LEVELS.items():
        for period in ("day", "month"):
            op.execute(_added_up(f"{level}_{period}", f"{source}_{period}", known))
    of_a_user = sa.text("user_identifier <> ''")
    op.create_index(
        op.f("ix_usage_rollups_user_identifier"),
        "usage_rollups",
        ["user_identifier", "level", "start"],
        sqlite_where=of_a_user,
        postgresql_where=of_a_user,
    )


def _added_up(level: str, source: str, known: tuple[str, ...]) -> str:
    groups = ", ".join(name if name in known else "''" for name in _DIMENSIONS)
    sums = ", ".join(f"sum({name})" for name in _COUNTS)
    return (
        f"INSERT INTO usage_rollups (level, start, {', '.join((*_DIMENSIONS, *_COUNTS))}) "  # noqa: S608  # constants
        f"SELECT '{level}', start, {groups}, {sums} FROM usage_rollups WHERE level = '{source}' "
        f"GROUP BY {', '.join(('start', *known))}"
    )
