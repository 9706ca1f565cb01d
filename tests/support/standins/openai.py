"""The OpenAI service: chat completions, Responses with their counting, embeddings, models."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

import orjson

from relayhub.testing import Answer, Recorded
from tests.support.standins import openai_chat, openai_responses
from tests.support.standins.base import KEY, Refusal, StandIn, need
from tests.support.standins.scenes import recorded, scene_named

COUNTED = 14
MODELS = ("gpt-5.4", "deepseek-v4")
TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("service_unavailable_error", "server_is_overloaded"),
    529: ("service_unavailable_error", "server_is_overloaded"),
}


class OpenAIStandIn(StandIn):
    """``thoughts``: the reasoning given out with each turn's tool calls, by call id; ``sealed``: encrypted reasoning that
    was given out, the fixtures' included; ``returned``: either kind, as it came back."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.thoughts: dict[str, str] = {}
        self.sealed: set[str] = {openai_responses.FIXTURE_SEAL}
        self.returned: list[str] = []

    def authenticate(self, request: Recorded) -> None:
        need(request.headers.get("authorization") == f"Bearer {KEY}", "Incorrect API key provided.", status=401)

    def serve(self, request: Recorded) -> Answer:
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return self._chat(request)
            case "POST", "/v1/responses":
                return self._respond(request)
            case "POST", "/v1/responses/input_tokens":
                openai_responses.check(request.json(), self.sealed)
                return Answer.json({"object": "response.input_tokens", "input_tokens": COUNTED})
            case "POST", "/v1/embeddings":
                return self._embed(request)
            case "GET", "/v1/models":
                data = [{"id": name, "object": "model", "created": 1, "owned_by": "openai"} for name in MODELS]
                return Answer.json({"object": "list", "data": data})
            case _:
                raise Refusal(f"Invalid URL ({request.method} {request.path})", status=404)

    def _chat(self, request: Recorded) -> Answer:
        body = request.json()
        self.returned += openai_chat.check(body, self.thoughts)
        self.bodies.append(body)
        name = scene_named(request.body, results=body["messages"][-1]["role"] == "tool")  # type: ignore[index]
        return self.played(name) or openai_chat.perform(body, name, self)

    def _respond(self, request: Recorded) -> Answer:
        body = request.json()
        self.returned += openai_responses.check(body, self.sealed)
        self.bodies.append(body)
        name = scene_named(request.body, results=openai_responses.ends_with_results(body))
        return self.played(name) or openai_responses.perform(body, name, self)

    def _embed(self, request: Recorded) -> Answer:
        body = request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        need(isinstance(texts, list) and texts, "'$.input' is invalid.", param="input")
        assert isinstance(texts, list)
        self.bodies.append(body)
        packed = body.get("encoding_format") == "base64"
        vectors = [[0.5 + at, -0.25] for at, _ in enumerate(texts)]
        data = [
            {"object": "embedding", "index": at, "embedding": _packed(vector) if packed else vector}
            for at, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return Answer.json({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def refuse(self, refusal: Refusal) -> Answer:
        type_, code = TYPES.get(refusal.status, ("invalid_request_error", None))
        error = {"message": refusal.message, "type": type_, "param": refusal.param, "code": refusal.kind or code}
        return Answer.json({"error": error}, refusal.status, x_request_id="req_upstream")

    def failure(self, name: str, status: int) -> Answer:
        if name in recorded("openai_chat"):
            fixture = recorded("openai_chat")[name]
            return Answer(fixture.status, fixture.response, fixture.headers)
        type_, code = TYPES.get(status, ("invalid_request_error", None))
        error = {"message": f"It failed with {status}, {KEY}.", "type": type_, "param": None, "code": code}
        retry = {"retry-after": "7"} if status in (503, 529) else {}
        return Answer(status, orjson.dumps({"error": error}), {"content-type": "application/json", **retry})


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
