"""The steps of a ledger transaction, named so that a test can stop the process at each of them."""

from __future__ import annotations

STEPS = (
    "before_begin",
    "after_begin",
    "after_load",
    "after_decide",
    "after_holds",
    "after_jobs",
    "after_ledger",
    "after_usage",
    "after_balances",
    "before_commit",
    "after_commit",
    "before_acknowledge",
    "after_acknowledge",
)


def no_step(_name: str) -> None:
    """The default observer."""
