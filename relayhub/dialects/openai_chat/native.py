"""The byte lane's requests and whole answers: the sender's bytes, with single members replaced."""

from __future__ import annotations

import msgspec
import orjson

from relayhub.dialects.codec import ClientView, Envelope
from relayhub.dialects.jsontext import Span, members, set_members, splice
from relayhub.dialects.openai_chat.upstream_json import member, valid_utf8
from relayhub.dialects.openai_chat.usage import UsageValue, usage_of
from relayhub.dialects.outline import members_around
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.errors import upstream_broke
from relayhub.types.usage import Usage

_BOM = b"\xef\xbb\xbf"


class _Reply(msgspec.Struct):
    choices: list[msgspec.Raw] = []
    usage: UsageValue = None
    error: object = None


class _UncountedReply(msgspec.Struct):
    """The same, with whatever usage: it is not read."""

    choices: list[msgspec.Raw] = []
    error: object = None


_REPLY = msgspec.json.Decoder(_Reply)
_UNCOUNTED_REPLY = msgspec.json.Decoder(_UncountedReply)


def native_request(body: bytes, model: str, envelope: Envelope) -> bytes:
    """``body`` itself if nothing must change. Usage is asked for in streams, keeping the client's other stream options;
    without streaming, stream options (an error upstream) become ``null``."""
    rename = model != envelope.model
    check_options = not envelope.include_usage and (envelope.stream or envelope.has_stream_options)
    if not (rename or check_options):
        return body
    spans = members_around(body, envelope.cuts)
    changes: dict[str, bytes] = {}
    if rename:
        changes["model"] = orjson.dumps(model)
    if check_options:
        options = _stream_options(body, spans.get("stream_options"), stream=envelope.stream)
        if options is not None:
            changes["stream_options"] = options
    return set_members(body, spans, changes) if changes else body


def _stream_options(body: bytes, span: Span | None, *, stream: bool) -> bytes | None:
    """The new value, or ``None`` if the client's may stay."""
    given = b"null" if span is None else body[span[0] : span[1]]
    if not stream:
        return None if given == b"null" else b"null"
    return b'{"include_usage":true}' if given == b"null" else splice(given, {"include_usage": b"true"})


def native_reply(body: bytes, view: ClientView) -> tuple[bytes, Usage | None]:
    """Raises ``UpstreamError`` for an error object and for anything that is no chat completion. No answer is refused for
    its usage, however absurd: that is none then."""
    if not body.isascii():
        body = valid_utf8(body.removeprefix(_BOM))
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        reply = _uncounted(body)
    if reply.error:
        raise in_stream_error(member(body, "error"))
    if not reply.choices:
        raise upstream_broke("it has no choices")
    shown = body if view.model == view.upstream_model else renamed(body, view.model)
    return shown, usage_of(reply.usage)


def _uncounted(body: bytes) -> _Reply:
    """For an answer with a number in its usage that is too large to be read."""
    try:
        reply = _UNCOUNTED_REPLY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise upstream_broke("it is not a chat completion in JSON") from None
    return _Reply(reply.choices, None, reply.error)


def renamed(body: bytes, rename_to: str | None) -> bytes:
    """``body`` with another model, where it has one."""
    if rename_to is None:
        return body
    spans = members(body)
    return set_members(body, spans, {"model": orjson.dumps(rename_to)}) if "model" in spans else body
