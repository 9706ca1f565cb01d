"""The error table of DashScope."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import HttpReply, UpstreamError
from relayhub_tts.answers import object_or_nothing
from relayhub_tts.errors import CONTENT_POLICY, Said, begun, no_model, read_as, text_of, told_within

MODEL_NOT_FOUND = "ModelNotFound"
STATUSES: Mapping[str, int] = {
    "InvalidParameter": 400,
    "InvalidURL": 400,
    "DataInspectionFailed": 400,
    "InvalidApiKey": 401,
    "Arrearage": 402,
    "AccessDenied": 403,
    MODEL_NOT_FOUND: 404,
    "Throttling": 429,
    "InternalError": 500,
}
"""What a code means, by its part before the first dot. DashScope gives some of them with several statuses."""
TELLING = frozenset({"DataInspectionFailed", "Arrearage", "Throttling"})
"""Codes that say more than the status they come with."""


def said_of(told: Mapping[str, object]) -> Said:
    return Said(text_of(told.get("code")), text_of(told.get("message")), text_of(told.get("request_id")))


def read_error(reply: HttpReply, key: str) -> UpstreamError:
    """A non-2xx answer."""
    said = said_of(object_or_nothing(reply.body))
    family = said.code.partition(".")[0]
    if reply.status < 500 and family == MODEL_NOT_FOUND:
        return no_model(reply.status, said)
    meant = STATUSES[family] if reply.status < 500 and family in TELLING else reply.status
    return read_as(meant, reply, said, key, _code(family, said))


def error_within(told: Mapping[str, object], key: str, *, spoken: bool) -> UpstreamError:
    """Inside of a 200. A code that is not known may mean anything, so the work may have been done. ``spoken``: audio
    came before it."""
    said = said_of(told)
    family = said.code.partition(".")[0]
    if family == MODEL_NOT_FOUND:
        error = no_model(200, said)
        return begun(error) if spoken else error
    return told_within(STATUSES.get(family, 500), said, key, executed=spoken, code=_code(family, said))


def _code(family: str, said: Said) -> str:
    return CONTENT_POLICY if family == "DataInspectionFailed" else said.code
