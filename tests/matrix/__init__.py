"""Every official client against every kind of upstream, through one running hub: what works exactly, what is lost on the
way, and what is refused."""

from __future__ import annotations

import pytest

CHECKS = ("cell", "clients", "endpoints", "errors", "media", "outcome", "settings", "text", "thinking", "tools")

pytest.register_assert_rewrite(*(f"tests.matrix.{name}" for name in CHECKS))
