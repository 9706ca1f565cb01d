"""Strings that must not turn up where they do not belong, and the places to look for them."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Canaries:
    """``of``: what each is, by its text."""

    of: dict[str, str] = field(default_factory=dict)

    def new(self, what: str) -> str:
        """A string that occurs nowhere by itself, of letters and digits, so that nothing needs to escape it."""
        return self.add(what, f"canary{secrets.token_hex(9)}")

    def add(self, what: str, text: str) -> str:
        """A secret that the server made."""
        assert len(text) >= 12, f"{what} is too short to be looked for"
        self.of[text] = what
        return text

    def found_in(self, content: bytes, among: Iterable[str] | None = None) -> set[str]:
        """What of them is in ``content``, as it is or in base64."""
        texts = self.of if among is None else among
        return {self.of[text] for text in texts if any(form in content for form in _forms(text))}


def _forms(text: str) -> Iterator[bytes]:
    """In base64 a text looks one of three ways in the middle of others."""
    raw = text.encode()
    yield raw
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + raw + bytes(3))
        yield whole[4 : 4 * (len(raw) // 3)]


def places_of(home: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that a server keeps in its folder but the results themselves: files as they are, and each value of the
    database on its own, as a long one is scattered over its pages."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.name != "relayhub.yaml" and "artifacts" not in path.parts:
            yield path.name, path.read_bytes()
    with closing(sqlite3.connect(home / "hub.db")) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, str | bytes):
                        yield f"{table}.{name}", value.encode() if isinstance(value, str) else value
