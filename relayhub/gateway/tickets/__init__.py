"""Calls whose answers are read by way of a stream ticket: detached from any connection, resumable by any process."""
