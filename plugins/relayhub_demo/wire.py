"""Small parts of OpenAI's wire: reading fields as strictly as the real server, and its error object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def missing(param: str) -> Refusal:
    return invalid(param, f"Missing required parameter: '{param}'.", "missing_required_parameter")


def wrong_type(param: str, expected: str) -> Refusal:
    return invalid(param, f"Invalid type for '{param}': expected {expected}.", "invalid_type")


def wrong_value(param: str, value: object, allowed: Sequence[str] = ()) -> Refusal:
    supported = f" Supported values are: {', '.join(allowed)}." if allowed else ""
    return invalid(param, f"Invalid value: {value!r}.{supported}", "invalid_value")


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


def model_of(body: Mapping[str, object], served: frozenset[str]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter", param="model")
    if model not in served:
        raise Refusal(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    return model


def number(body: Mapping[str, object], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a number")
    if not low <= value <= high:
        raise invalid(name, f"Invalid '{name}': must be between {low:g} and {high:g}.", "invalid_value")
    return float(value)


def whole_number(body: Mapping[str, object], name: str, low: int, high: int) -> int | None:
    value = number(body, name, low, high)
    if value is not None and value != int(value):
        raise wrong_type(name, "an integer")
    return None if value is None else int(value)


def flag(body: Mapping[str, object], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(name, "a boolean")
    return value


def one_of(body: Mapping[str, object], name: str, allowed: Sequence[str]) -> str | None:
    value = body.get(name)
    if value is not None and value not in allowed:
        raise wrong_value(name, value, allowed)
    return None if value is None else str(value)


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


def too_slow(limit_s: float) -> UpstreamError:
    """What a transport raises when a deadline passes after the request was sent."""
    return UpstreamError(
        ErrorKind.UPSTREAM_TIMEOUT,
        f"The upstream sent nothing within {limit_s:g} s.",
        code="upstream_timeout",
        retryable=False,
        delivered=True,
        detail="the demo is slow, as asked",
    )
