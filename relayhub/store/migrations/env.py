"""Alembic's entry: it is handed a connection by :mod:`relayhub.store.migrate` and never opens one itself."""

from __future__ import annotations

from alembic import context

from relayhub.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
