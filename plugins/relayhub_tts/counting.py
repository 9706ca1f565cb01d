"""Characters as these vendors bill them, at most."""

from __future__ import annotations


def most_characters(text: str) -> int:
    """A Chinese character (of Japanese and Korean texts too) counts twice and anything else once. Which signs these are
    is not said one by one, so all that is not ASCII counts twice here."""
    return len(text) + sum(not character.isascii() for character in text)
