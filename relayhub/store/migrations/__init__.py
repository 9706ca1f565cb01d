"""Alembic migrations. Written by hand and never changed once released; a test compares their result with the schema."""
