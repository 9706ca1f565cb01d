"""What a person or an admin key may do on the management side."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    ADMIN = "admin"
    """Everything, people and admin keys included."""
    OPERATOR = "operator"
    """Accounts, keys, codes and grants."""
    VIEWER = "viewer"
    """Looks at everything, changes nothing."""
    USER = "user"
    """Sees and changes what belongs to their own account, nothing else."""


STAFF = frozenset({Role.ADMIN, Role.OPERATOR, Role.VIEWER})
"""Who is not bound to one account."""
