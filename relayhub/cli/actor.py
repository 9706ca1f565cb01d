"""Who runs a command: the audit log and the ledger say so."""

from __future__ import annotations

import getpass

from relayhub.cli.support import fail
from relayhub.store.audit import Actor


def cli_actor() -> Actor:
    """Ends the program if the system cannot say who it is."""
    try:
        return Actor(f"cli:{getpass.getuser()}")
    except OSError:
        fail("the current user has no name; set $USER so that the audit log can say who did this")
