"""A stand-in for Google's generative language API as far as images go: it rejects what the real one rejects."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from relayhub.testing import Answer, Recorded, UpstreamSimulator

PNG = b"\x89PNG\r\n\x1a\n simulated image"
RATIOS = frozenset(
    ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"]
)
TOKENS: Mapping[str, Mapping[str, int]] = {
    "gemini-2.5-flash-image": {"": 1290},
    "gemini-3-pro-image-preview": {"": 1120, "1K": 1120, "2K": 1120, "4K": 2000},
    "gemini-3.1-flash-image-preview": {"": 1120, "1K": 1120, "2K": 1680, "4K": 2520},
}
"""By ``imageSize``, empty where it is not said."""
PICTURE_TOKENS = 1290


class Rejected(Exception):
    """Its text is the answer's message."""


class GeminiImageSimulator(UpstreamSimulator):
    """``keys``: what is accepted as an API key."""

    def __init__(self, *, keys: tuple[str, ...], **more: Any) -> None:
        super().__init__(**more)
        self._keys = keys

    def answer(self, request: Recorded) -> Answer:
        if request.headers.get("x-goog-api-key") not in self._keys:
            return _error(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")
        model, _, verb = request.path.removeprefix("/v1beta/models/").partition(":")
        if request.method != "POST" or verb != "generateContent" or model not in TOKENS:
            return _error(404, f"models/{model} is not found.", "NOT_FOUND")
        try:
            return _drawn(request.json(), TOKENS[model])
        except Rejected as rejected:
            return _error(400, str(rejected), "INVALID_ARGUMENT")


def _drawn(body: Mapping[str, Any], tokens: Mapping[str, int]) -> Answer:
    _require(body.keys() <= {"contents", "generationConfig"}, "body")
    config = body["generationConfig"]
    _require(config.keys() <= {"responseModalities", "imageConfig", "seed"}, "generationConfig")
    _require("IMAGE" in config["responseModalities"], "responseModalities")
    shape = config.get("imageConfig", {})
    _require(shape.keys() <= {"aspectRatio", "imageSize"}, "imageConfig")
    _require(shape.get("aspectRatio", "1:1") in RATIOS, "aspectRatio")
    _require(shape.get("imageSize", "") in tokens, "imageSize")
    parts = body["contents"][0]["parts"]
    given = [part["inlineData"] for part in parts if "inlineData" in part]
    _require(all(one["mimeType"].startswith("image/") and base64.b64decode(one["data"]) for one in given), "inlineData")
    _require(any(part.get("text") for part in parts), "text")
    spent = tokens[shape.get("imageSize", "")]
    usage = {
        "promptTokenCount": 9 + PICTURE_TOKENS * len(given),
        "candidatesTokenCount": spent + 7,
        "thoughtsTokenCount": 300,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": spent}],
    }
    image = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}
    content = {"role": "model", "parts": [{"text": "Here it is."}, image]}
    return Answer.json({"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage})


def _require(fine: bool, name: str) -> None:
    if not fine:
        raise Rejected(f"Invalid value at '{name}'.")


def _error(status: int, message: str, word: str) -> Answer:
    return Answer.json({"error": {"code": status, "message": message, "status": word}}, status)
