"""What was done when the client of a call left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("usage", sa.Column("on_disconnect", sa.Text(), nullable=True))
