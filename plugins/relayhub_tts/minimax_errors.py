"""The error table of MiniMax: nearly all of its errors come as a 200 with a code in ``base_resp``."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import HttpReply, UpstreamError
from relayhub_tts.answers import inner, object_or_nothing
from relayhub_tts.errors import CONTENT_POLICY, Said, read_as, text_of, told_within

INPUT_POLICY, OUTPUT_POLICY = 1026, 1027
STATUSES: Mapping[int, int] = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    INPUT_POLICY: 400,
    OUTPUT_POLICY: 400,
    1033: 500,
    1039: 429,
    1041: 429,
    1042: 400,
    2013: 400,
    2042: 400,
    2049: 401,
    2056: 402,
    20132: 400,
}
"""What a code means. 1002, 1039 and 1041 are limits; 1008 and 2056 an account without money or plan."""
UNKNOWN = 500


def code_of(told: Mapping[str, object]) -> int:
    """0: all is well, or nothing is said."""
    code = inner(told, "base_resp").get("status_code")
    return code if isinstance(code, int) else 0


def read_error(reply: HttpReply, key: str) -> UpstreamError:
    """A non-2xx answer: by its status, but for a 400, which the code explains."""
    told = object_or_nothing(reply.body)
    code = code_of(told)
    meant = STATUSES.get(code, 400) if reply.status == 400 else reply.status
    # A code of a failure within a refusal is a refusal: nothing else of the 400 family may have been executed.
    return read_as(meant if meant < 500 else reply.status, reply, _said(told), key, _word(code))


def error_within(told: Mapping[str, object], key: str, *, spoken: bool) -> UpstreamError:
    """Inside of a 200. ``spoken``: audio came before it. What the output was refused for has been spoken too."""
    code = code_of(told)
    executed = spoken or code == OUTPUT_POLICY
    return told_within(STATUSES.get(code, UNKNOWN), _said(told), key, executed=executed, code=_word(code))


def _said(told: Mapping[str, object]) -> Said:
    code = code_of(told)
    message = text_of(inner(told, "base_resp").get("status_msg"))
    return Said(str(code) if code else "", message, text_of(told.get("trace_id")))


def _word(code: int) -> str | None:
    return CONTENT_POLICY if code in (INPUT_POLICY, OUTPUT_POLICY) else None
