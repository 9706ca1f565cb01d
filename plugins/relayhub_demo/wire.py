"""Small parts of OpenAI's wire: reading fields as strictly as the real server, and its error object."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from relayhub.sdk import ErrorKind, UpstreamError


class Refusal(Exception):
    """An error answer of the pretended server."""

    def __init__(
        self,
        status: int,
        message: str,
        type_: str = "invalid_request_error",
        code: str | None = None,
        retry_after_s: int | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type_
        self.code = code
        self.retry_after_s = retry_after_s
        self.param = param


def invalid(param: str, message: str, code: str | None = None) -> Refusal:
    return Refusal(400, message, code=code, param=param)


def error_body(refusal: Refusal) -> bytes:
    error = {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}
    return orjson.dumps({"error": error})


def read_json(body: bytes) -> Mapping[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return value


def number(body: Mapping[str, object], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, f"Invalid type for '{name}': expected a number.", "invalid_type")
    if not low <= value <= high:
        raise invalid(name, f"Invalid '{name}': must be between {low:g} and {high:g}.", "invalid_value")
    return float(value)


def whole_number(body: Mapping[str, object], name: str, low: int, high: int) -> int | None:
    value = number(body, name, low, high)
    if value is not None and value != int(value):
        raise invalid(name, f"Invalid type for '{name}': expected an integer.", "invalid_type")
    return None if value is None else int(value)


def count_tokens(text: str) -> int:
    """The demo's own tokenizer: four bytes of UTF-8 are a token. Documented, so that tests can do the sum."""
    return -(-len(text.encode()) // 4)


def stream_cut() -> UpstreamError:
    """What a transport raises when the connection breaks in the middle of a body."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream's answer broke off before it was complete.",
        code="upstream_truncated",
        retryable=False,
        delivered=True,
        detail="the demo cut it, as asked",
    )
