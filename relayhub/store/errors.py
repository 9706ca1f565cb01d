"""What keeps a database from being opened at all."""

from __future__ import annotations


class StoreError(Exception):
    """The database cannot be used as it is; the text is one line that says what to do. Raised at start-up only: trouble
    while the hub runs is a :class:`relayhub.types.errors.HubError` of the call that met it."""
