"""Views and streams for the tests of dialects that are only relayed."""

from __future__ import annotations

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply


def seen_as(envelope: Envelope, *, public: str = "public", upstream: str = "upstream") -> ClientView:
    return ClientView(envelope, public, upstream)


def reply(body: bytes, content_type: str = "application/json") -> HttpReply:
    return HttpReply(200, {"content-type": content_type} if content_type else {}, body)


def events(*data: bytes) -> bytes:
    return b"".join(b"data: " + one + b"\n\n" for one in data)


def relayed(stream: NativeStream, whole: bytes, size: int) -> tuple[bytes, bytes | str]:
    """What went to the client before the end, and the last bytes or the error's code."""
    before = b""
    try:
        for at in range(0, len(whole), size):
            before += stream.feed(whole[at : at + size])
            if stream.ended:
                break
        return before, stream.finish()
    except UpstreamError as error:
        return before, error.code
