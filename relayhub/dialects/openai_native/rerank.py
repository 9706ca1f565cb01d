"""``POST /v1/rerank`` in the shape that compatible upstreams share: ``query`` and ``documents`` in, ``results`` out."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_chat.native import renamed
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.openai_native.counts import count, input_and_output
from relayhub.dialects.openai_native.dialect import NativeAnswer
from relayhub.dialects.openai_native.json_bodies import read_object, with_model
from relayhub.types.call import Dialect
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Body, HttpReply
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage


class JinaRerank:
    """See :class:`relayhub.dialects.openai_native.dialect.NativeDialect`."""

    name: str = Dialect.JINA_RERANK.value

    def native_request(self, body: Body, *, model: str, envelope: Envelope) -> bytes:
        return with_model(body, model)

    def native_reply(self, reply: HttpReply, view: ClientView) -> NativeAnswer:
        body, value = read_object(reply.body, "a ranking")
        if not isinstance(value.get("results"), list) and not isinstance(value.get("data"), list):
            raise upstream_broke("it has no results")
        return NativeAnswer(renamed(body, view.rename_to), usage_of(value))

    def native_stream(self, headers: Mapping[str, str], view: ClientView) -> NativeStream:
        raise AssertionError("rankings are never streamed")


def read_envelope(request: JsonObject, size: int) -> Envelope:
    """``size``: bytes of the body. Raises ``ClientError`` naming the field."""
    query, documents = request.get("query"), request.get("documents")
    # These models read the query again with every document.
    repeats = max(len(documents) - 1, 0) if isinstance(documents, list) else 0
    text_bytes = size + (len(query.encode("utf-8", "replace")) * repeats if isinstance(query, str) else 0)
    return Envelope(
        model=read_model(request),
        stream=False,
        include_usage=False,
        output_cap=None,
        choices=1,
        user=read_user(request),
        text_bytes=text_bytes,
    )


def usage_of(reply: JsonObject) -> Usage | None:
    """``usage`` with ``total_tokens`` only or with OpenAI's counts, else ``meta`` with ``billed_units`` or ``tokens``.
    An upstream that bills searches uses no tokens; ``None``: it says nothing."""
    usage = nested(reply, "usage")
    if (found := read_usage(usage)) is not None:
        return found
    if (total := count(usage, "total_tokens")) is not None:
        return Usage(input_tokens=total)
    meta = nested(reply, "meta")
    billed = nested(meta, "billed_units")
    said = [found for part in (billed, nested(meta, "tokens")) if (found := input_and_output(part)) is not None]
    if said:
        return next((found for found in said if found != Usage()), said[0])
    return Usage() if count(billed, "search_units") is not None else None
