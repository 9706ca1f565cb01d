"""Multipart forms, always the same bytes for the same form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """``file_name`` and ``media_type`` for files only; both are the plugin's own words."""

    name: str
    content: bytes
    file_name: str | None = None
    media_type: str | None = None

    @property
    def head(self) -> bytes:
        file = f'; filename="{self.file_name}"' if self.file_name else ""
        kind = f"\r\ncontent-type: {self.media_type}" if self.media_type else ""
        return f'content-disposition: form-data; name="{self.name}"{file}{kind}\r\n\r\n'.encode()


@dataclass(frozen=True, slots=True)
class Form:
    content_type: str
    body: bytes


def form(parts: Sequence[Part]) -> Form:
    """The boundary is a hash of the parts: it cannot stand in them, and the same form is the same body."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.head)
        digest.update(part.content)
    boundary = f"relayhub-{digest.hexdigest()[:40]}"
    line = f"--{boundary}\r\n".encode()
    body = b"".join(piece for part in parts for piece in (line, part.head, part.content, b"\r\n"))
    return Form(f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode())


def field(name: str, value: object) -> Part:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Part(name, text.encode())
