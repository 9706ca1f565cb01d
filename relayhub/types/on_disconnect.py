"""What becomes of a call whose client has left."""

from __future__ import annotations

from enum import StrEnum


class OnDisconnect(StrEnum):
    DRAIN = "drain"
    """Its upstream is read to the end, within limits; what was counted there is charged."""
    ABORT_AND_ESTIMATE = "abort_and_estimate"
    """Its upstream is released at once; charged are the input and what was delivered, by estimate."""
    VOID = "void"
    """As that, but free where nothing of the answer was delivered."""
