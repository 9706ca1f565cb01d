"""What the demo's wires of media have in common: requests, answers, refusals."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NoReturn

import orjson

from relayhub.sdk import (
    Effect,
    HttpReply,
    HttpRequest,
    Json,
    MediaInput,
    decode_openai_error,
    invalid_request,
    upstream_broke,
)

BASE_URL = "memory://demo/v1"
MOST_TOKENS = 1 << 31


def refuse(param: str, why: str) -> NoReturn:
    raise invalid_request(f"{param}: {why}", param=param)


def refuse_unknown(said: Mapping[str, Json], wishes: Mapping[str, object]) -> None:
    """``wishes``: what the demo cannot do, by the names that clients know; unset where it is not wished for."""
    for name, value in {**wishes, **said}.items():
        if value is not None and value is not False and value != "":
            refuse(name, "the demo does not take it.")


def post(path: str, body: Mapping[str, object], accept: str = "application/json") -> HttpRequest:
    headers = {"accept": accept, "content-type": "application/json"}
    return HttpRequest("POST", BASE_URL + path, headers, orjson.dumps(body))


def free(method: str, path: str, accept: str = "application/json") -> HttpRequest:
    return HttpRequest(method, BASE_URL + path, {"accept": accept}, effect=Effect.NONE)


def checked(reply: HttpReply) -> HttpReply:
    """Raises ``UpstreamError`` unless it is a 200."""
    if reply.status != 200:
        raise decode_openai_error(reply)
    return reply


def read(reply: HttpReply) -> dict[str, object]:
    """The object in it. Raises ``UpstreamError``."""
    try:
        value = orjson.loads(checked(reply).body)
    except orjson.JSONDecodeError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not an object")
    return value


def count_of(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        raise upstream_broke("a count is missing")
    return value


def content_of(given: MediaInput) -> bytes:
    """Raises ``ClientError`` naming the input that has no bytes."""
    if given.media.data is None:
        refuse(given.field, "the demo takes no links here; give the picture itself, as a file or as base64.")
    try:
        return base64.b64decode(given.media.data, validate=True)
    except (binascii.Error, ValueError):
        refuse(given.field, "it is not base64.")
