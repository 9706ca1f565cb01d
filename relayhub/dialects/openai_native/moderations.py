"""``POST /v1/moderations``. Costs no tokens unless the upstream says so: it is priced by call."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_chat.native import renamed
from relayhub.dialects.openai_chat.upstream_json import objects
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.openai_native.dialect import NativeAnswer
from relayhub.dialects.openai_native.json_bodies import read_object, with_model
from relayhub.types.call import Dialect
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Body, HttpReply
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage

DEFAULT_MODEL = "omni-moderation-latest"
"""OpenAI's own, for requests that name none."""


class OpenAIModerations:
    """See :class:`relayhub.dialects.openai_native.dialect.NativeDialect`."""

    name: str = Dialect.OPENAI_MODERATIONS.value

    def native_request(self, body: Body, *, model: str, envelope: Envelope) -> bytes:
        return with_model(body, model)

    def native_reply(self, reply: HttpReply, view: ClientView) -> NativeAnswer:
        body, value = read_object(reply.body, "a moderation")
        if not objects(value.get("results")):
            raise upstream_broke("it has no results")
        return NativeAnswer(renamed(body, view.rename_to), read_usage(value.get("usage")) or Usage())

    def native_stream(self, headers: Mapping[str, str], view: ClientView) -> NativeStream:
        raise AssertionError("moderations are never streamed")


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    model = DEFAULT_MODEL if request.get("model") is None else read_model(request)
    user = read_user(request)
    return Envelope(model, stream=False, include_usage=False, output_cap=None, choices=1, user=user)
