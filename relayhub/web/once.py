"""A client's own name for its request, and what the request says: the same name and request again are the same call."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web

from relayhub.dialects.multipart import Part
from relayhub.types.errors import invalid_request
from relayhub.types.http import Body
from relayhub.web.upload import Upload

ONCE = "idempotency-key"
MAX_ONCE = 255
_READ = 1 << 20


def once_of(request: web.Request) -> str | None:
    """Hashed, in hex. Raises ``ClientError`` for a name that is none."""
    name = request.headers.get(ONCE)
    if name is None:
        return None
    if not name.strip() or len(name) > MAX_ONCE:
        raise invalid_request(
            f"The header Idempotency-Key must have 1 to {MAX_ONCE} characters.", code="invalid_idempotency_key"
        )
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()


def digest_of(request: web.Request, *parts: bytes) -> str:
    """Of the path and the content. A form's boundary is another one each time it is sent, so only what stands between them
    counts."""
    return hashlib.sha256(b"\0".join([request.path.encode(), *parts])).hexdigest()


async def form_digest(request: web.Request, upload: Upload) -> str:
    """The same for a form on disk."""
    return digest_of(request, *await asyncio.to_thread(_said, upload))


def _said(upload: Upload) -> list[bytes]:
    return [said for part in upload.form.parts for said in (part.name.encode(), _hash(upload.body, part))]


def _hash(body: Body, part: Part) -> bytes:
    assert not isinstance(body, bytes)
    (piece,) = body
    assert not isinstance(piece, bytes)
    found = hashlib.sha256()
    for start in range(0, len(part), _READ):
        found.update(piece.spool.read_at(piece.start + part.start + start, min(_READ, len(part) - start)))
    return found.digest()
