"""The Gemini service: generating, counting, embedding. It signs the calls of its newer models and checks what it signed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from relayhub.testing import Answer, Recorded
from tests.support.standins import gemini_proto as proto
from tests.support.standins.base import KEY, Refusal, StandIn, need
from tests.support.standins.gemini_rules import check, needs_signatures
from tests.support.standins.scenes import End, Scene, halves, recorded, scene, scene_named

PATH = re.compile(r"/(?:v1|v1beta|v1alpha)/models/(?P<model>[^/:]+):(?P<verb>\w+)")
LIST = re.compile(r"/(?:v1|v1beta|v1alpha)/models")
COUNTED = 14
MODELS = ("gemini-3.5-flash", "gemini-2.5-flash")
FIXTURE_SIGNATURE = "b3BhcXVlIGdlbWluaSB0aG91Z2h0IHNpZ25hdHVyZQ=="
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}
FINISH = {
    End.STOP: "STOP",
    End.LENGTH: "MAX_TOKENS",
    End.STOP_SEQUENCE: "STOP",
    End.TOOLS: "STOP",
    End.FILTER: "SAFETY",
}
SSE = {"content-type": "text/event-stream"}


class GeminiStandIn(StandIn):
    """``issued``: every signature given out, with the name of the call it stood on (or ``""``); ``returned``: those that
    came back; ``models``: the model of each body."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.issued: dict[str, str] = {FIXTURE_SIGNATURE: "get_weather"}
        self.returned: list[str] = []
        self.models: list[str] = []

    def authenticate(self, request: Recorded) -> None:
        found = [request.headers.get("x-goog-api-key", ""), *parse_qs(request.query).get("key", ())]
        if KEY not in found:
            raise Refusal("API key not valid. Please pass a valid API key.", kind="API_KEY_INVALID")

    def serve(self, request: Recorded) -> Answer:
        if request.method == "GET" and LIST.fullmatch(request.path):
            return Answer.json({"models": [{"name": f"models/{name}"} for name in MODELS]})
        match = PATH.fullmatch(unquote(request.path))
        need(match is not None and request.method == "POST", f"Method not found: {request.path}", status=404)
        assert match is not None
        model, body = match["model"], request.json()
        match match["verb"]:
            case "generateContent":
                return self._generate(request, body, model, stream=False)
            case "streamGenerateContent":
                return self._generate(request, body, model, stream=True)
            case "countTokens":
                proto.parse(body, proto.COUNT)
                return Answer.json({"totalTokens": COUNTED})
            case "batchEmbedContents":
                parsed = proto.parse(body, proto.BATCH)
                self.bodies.append(parsed)
                return Answer.json(
                    {"embeddings": [{"values": [0.5 + at, -0.25]} for at, _ in enumerate(parsed["requests"])]}
                )
            case "embedContent":
                self.bodies.append(proto.parse(body, proto.EMBED))
                return Answer.json({"embedding": {"values": [0.5, -0.25]}})
            case verb:
                raise Refusal(f"Method not found: {verb}", status=404)

    def _generate(self, request: Recorded, body: Mapping[str, Any], model: str, *, stream: bool) -> Answer:
        parsed = proto.parse(body, proto.GENERATE)
        self.returned += check(parsed, model, self.issued)
        self.bodies.append(parsed)
        self.models.append(model)
        results = any("functionResponse" in part for part in parsed["contents"][-1]["parts"])
        name = scene_named(request.body, results=results)
        array = stream and "sse" not in parse_qs(request.query).get("alt", ())
        return self.played(name) or self._perform(parsed, name, model, stream=stream, array=array)

    def _perform(self, body: Mapping[str, Any], name: str, model: str, *, stream: bool, array: bool) -> Answer:
        thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
        shows = bool(thinking.get("includeThoughts"))
        fixture = recorded("gemini").get(name)
        if fixture is not None and fixture.streamed is stream and not array and (shows or name != "stream_thinking"):
            return Answer(fixture.status, fixture.response, fixture.headers)
        played = scene("gemini", name)
        if played is None:
            raise Refusal(f"no scene {name!r} here")
        chunks = list(self._chunks(played, model, shows))
        if array:
            return Answer(200, b"[" + b",\r\n".join(orjson.dumps(chunk) for chunk in chunks) + b"]")
        if stream:
            return Answer(200, b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks), SSE)
        return Answer.json(_whole(chunks))

    def _chunks(self, played: Scene, model: str, shows: bool) -> Iterator[dict[str, Any]]:
        serial = self.number()
        usage = usage_of(played)
        head = {"usageMetadata": usage, "modelVersion": model, "responseId": f"r{serial}"}

        def chunk(parts: list[dict[str, Any]], **more: str) -> dict[str, Any]:
            return {"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, **more}], **head}

        for piece in halves(played.reasoning) if shows else ():
            yield chunk([{"text": piece, "thought": True}])
        for piece in played.pieces:
            yield chunk([{"text": piece}])
        if played.cut:
            return
        signed = needs_signatures(model) or bool(played.reasoning)
        for at, use in enumerate(played.calls):
            part: dict[str, Any] = {
                "functionCall": {"id": f"{use.id}_{serial}", "name": use.name, "args": use.arguments}
            }
            if at == 0 and signed:
                part["thoughtSignature"] = self._sign(use.name, serial)
            yield chunk([part])
        last: dict[str, Any] = {"text": ""}
        if signed and not played.calls:
            last["thoughtSignature"] = self._sign("", serial)
        yield chunk([last], finishReason=FINISH[played.end])

    def _sign(self, name: str, serial: int) -> str:
        signature = base64.b64encode(f"signed thought {serial}".encode()).decode()
        self.issued[signature] = name
        return signature

    def refuse(self, refusal: Refusal) -> Answer:
        details = (
            [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refusal.kind}] if refusal.kind else []
        )
        return self._error(refusal.status, refusal.message, details)

    def _error(self, status: int, message: str, details: list[dict[str, Any]]) -> Answer:
        error = {"code": status, "message": message, "status": STATUSES[status], "details": details}
        return Answer.json({"error": error}, status)

    def failure(self, name: str, status: int) -> Answer:
        if name in recorded("gemini"):
            fixture = recorded("gemini")[name]
            return Answer(fixture.status, fixture.response, fixture.headers)
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        return self._error(status, f"It failed with {status}, {KEY}.", [retry] if status == 503 else [])


def usage_of(played: Scene) -> dict[str, Any]:
    spent = played.spent
    usage = {
        "promptTokenCount": spent.input,
        "candidatesTokenCount": spent.output - spent.reasoning,
        "totalTokenCount": spent.input + spent.output,
    }
    if spent.cached:
        usage["cachedContentTokenCount"] = spent.cached
    if spent.reasoning:
        usage["thoughtsTokenCount"] = spent.reasoning
    return usage


def _whole(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The chunks' parts in one answer, adjoining texts of a kind as one, an empty last text on the part before it."""
    parts: list[dict[str, Any]] = []
    for chunk in chunks:
        for part in chunk["candidates"][0]["content"]["parts"]:
            before = parts[-1] if parts else None
            joins = before is not None and "text" in part and "text" in before
            if before is not None and joins and before.get("thought") == part.get("thought"):
                before["text"] += part["text"]
            elif part.get("text") != "" or (not parts):
                parts.append(dict(part))
                continue
            if before is not None and "thoughtSignature" in part:
                before["thoughtSignature"] = part["thoughtSignature"]
    last = chunks[-1]
    candidate = {**last["candidates"][0], "content": {"parts": parts, "role": "model"}}
    return {**last, "candidates": [candidate]}
