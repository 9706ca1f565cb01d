"""The dialect's name, and its own words that several modules know."""

from __future__ import annotations

from relayhub.types.call import Dialect

NAME = Dialect.ANTHROPIC_MESSAGES.value

BILLING_HEADER = "x-anthropic-billing-header:"
"""Begins a system block that the vendor's own coding agent adds. It differs in every request, which defeats prompt caches
elsewhere."""

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
