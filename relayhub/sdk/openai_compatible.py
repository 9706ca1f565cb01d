"""What upstreams have in common that speak OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from relayhub.dialects.upstream_errors import decode_error
from relayhub.sdk.provider import Steps
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Effect, HttpRequest


def list_openai_models(url: str, headers: Mapping[str, str]) -> Steps[Sequence[str]]:
    """``GET url`` once (nobody pages), and the ids in the answer, in its order. Raises ``UpstreamError``."""
    reply = yield HttpRequest("GET", url, {"accept": "application/json", **headers}, effect=Effect.NONE)
    if reply.status != 200:
        raise decode_error(reply)
    try:
        return [str(model["id"]) for model in orjson.loads(reply.body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise upstream_broke("its model list is not one", detail=repr(error)) from error
