"""A request for media as its client gave it: JSON, or a form with files, which is kept on disk while it arrives."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from dataclasses import dataclass

from aiohttp import web

from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.media_api.given import Given, Value
from relayhub.dialects.multipart import Part, malformed
from relayhub.types.chat import Media
from relayhub.types.http import Body
from relayhub.types.sniffing import media_type_of
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.serving import read
from relayhub.web.once import digest_of, form_digest, once_of
from relayhub.web.upload import Upload, receive_form


@dataclass(frozen=True, slots=True)
class Received:
    """``once``: the client's own name for the request, hashed; ``digest``: of the path and the body, empty without such a
    name."""

    given: Given
    digest: str
    once: str | None


async def receive(request: web.Request) -> Received:
    """Raises ``ClientError``. The query's ``async`` counts as a member."""
    once, digest = once_of(request), ""
    if request.content_type == "multipart/form-data":
        async with receive_form(request, (), request.app[CONTEXT].server) as upload:
            values = await asyncio.to_thread(_values_of, upload)
            if once is not None:
                digest = await form_digest(request, upload)
    else:
        body = await read(request)
        values = dict(parse_object(body))
        if once is not None:
            digest = digest_of(request, body)
    if "async" in request.query:
        values.setdefault("async", request.query["async"])
    return Received(Given(values), digest, once)


def _values_of(upload: Upload) -> dict[str, Value]:
    """Fields by name; several of one name, or ``name[]``, are a list."""
    found: defaultdict[str, list[Value]] = defaultdict(list)
    for part in upload.form.parts:
        found[part.name].append(_value(upload.body, part))
    return {
        name: values if len(values) > 1 or name.endswith("[]") else values[0]  # type: ignore[misc]
        for name, values in found.items()
    }


def _value(body: Body, part: Part) -> Value:
    content = _content(body, part)
    if part.is_file:
        if not content:
            raise malformed(f"the file {part.name} is empty", part.name)
        return Media(data=base64.b64encode(content).decode(), media_type=media_type_of(content[:64]))
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise malformed(f"the field {part.name} is not UTF-8", part.name) from None


def _content(body: Body, part: Part) -> bytes:
    assert not isinstance(body, bytes)
    (piece,) = body
    assert not isinstance(piece, bytes)
    return piece.spool.read_at(piece.start + part.start, len(part))
