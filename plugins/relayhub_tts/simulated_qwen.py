"""A stand-in for qwen-tts on DashScope: clips behind links that expire, streams of bare samples, and DashScope's
refusals."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from relayhub_tts.simulator import Answer, Recorded, Rejected, SpeechSimulator, characters_of, require, sound, split

VOICES = frozenset(
    {"Cherry", "Serena", "Ethan", "Chelsie", "Momo", "Vivian", "Moon", "Maia", "Kai", "Nofish", "Bella", "Jennifer"}
    | {"Ryan", "Katerina", "Elias", "Jada", "Dylan", "Sunny", "Eric", "Rocky", "Kiki"}
)
MODELS = frozenset(
    {"qwen3-tts-flash", "qwen3-tts-flash-2025-11-27", "qwen3-tts-flash-2025-09-18", "qwen-tts"}
    | {"qwen3-tts-instruct-flash", "qwen3-tts-instruct-flash-2026-01-26"}
)
LANGUAGES = frozenset(
    {"Auto", "Chinese", "English", "German", "Italian", "Portuguese", "Spanish", "Japanese", "Korean"}
    | {"French", "Russian"}
)
LONGEST = 600
REQUEST_ID = "d1c0a7a2-3c4e-9f10-a0b1-5e6d7c8b9a00"
CODES: Mapping[int, str] = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    429: "Throttling.RateQuota",
}
OF_INSTRUCTED = frozenset({"instructions", "optimize_instructions"})


class QwenSimulator(SpeechSimulator):
    endpoint = "/services/aigc/multimodal-generation/generation"
    result_type = "audio/wav"

    def __init__(self, *, root: str = "/api/v1", **more: Any) -> None:
        super().__init__(root=root, **more)

    def error(self, status: int) -> Answer:
        return _error(status, CODES.get(status, "InternalError"), f"It failed with {status}.")

    def rejection(self, rejected: Rejected) -> Answer:
        return _error(rejected.status, rejected.code, rejected.message)

    def broken(self, code: int | str) -> bytes:
        told = {"code": str(code), "message": "It went wrong while speaking.", "request_id": REQUEST_ID}
        return b"id:2\nevent:error\n:HTTP_STATUS/500\ndata:" + orjson.dumps(told) + b"\n\n"

    def speak(self, request: Recorded) -> Answer:
        said = _checked(request)
        text = str(said["text"])
        if request.headers.get("x-dashscope-sse") == "enable":
            return self._stream(text)
        clip = Answer(body=sound(text, "wav"), headers={"content-type": "audio/wav"})
        told = self._told(text, b"", self.publish(clip, "qwen.wav"), "stop")
        return self.spoken(text, Answer.json({"status_code": 200, "code": "", "message": "", **told}))

    def _stream(self, text: str) -> Answer:
        pieces = split(sound(text, "pcm"))
        clip = Answer(body=sound(text, "wav"), headers={"content-type": "audio/wav"})
        told = [self._told(text, piece, "", "null") for piece in pieces]
        told.append(self._told(text, b"", self.publish(clip, "qwen.wav"), "stop"))
        return self.streamed(text, [_event(number, event) for number, event in enumerate(told, 1)])

    def _told(self, text: str, audio: bytes, link: str, reason: str) -> dict[str, object]:
        clip = {
            "data": base64.b64encode(audio).decode(),
            "url": link,
            "id": f"audio_{REQUEST_ID}",
            "expires_at": int(self.now()) + 86_400,
        }
        return {
            "request_id": REQUEST_ID,
            "output": {"text": None, "finish_reason": reason, "choices": None, "audio": clip},
            "usage": {"input_tokens": 0, "output_tokens": 0, "characters": characters_of(text)},
        }


def _event(number: int, told: Mapping[str, object]) -> bytes:
    return f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:".encode() + orjson.dumps(told) + b"\n\n"


def _error(status: int, code: str, message: str) -> Answer:
    return Answer.json({"request_id": REQUEST_ID, "code": code, "message": message}, status)


# --- what is checked --------------------------------------------------------------------------------------------------


def _invalid(message: str) -> Rejected:
    return Rejected(400, "InvalidParameter", message)


def _checked(request: Recorded) -> Mapping[str, object]:
    """What stands in ``input``."""
    if request.headers.get("x-dashscope-async"):
        raise Rejected(403, "AccessDenied", "current user api does not support asynchronous calls.")
    require(request.headers.get("content-type", "").startswith("application/json"), _invalid("It is not JSON."))
    body = request.json()
    said = body.get("input")
    if not isinstance(said, dict) or not isinstance(body.get("parameters", {}), dict):
        raise _invalid("Required body invalid, please check the request body format.")
    require(body.keys() <= {"model", "input", "parameters"}, _invalid("There is a field that does not exist."))
    model = str(body.get("model"))
    require(model in MODELS, Rejected(404, "ModelNotFound", f"Model {model} does not exist."))
    _check_input(model, said)
    return said


def _check_input(model: str, said: Mapping[str, object]) -> None:
    text, voice = said.get("text"), said.get("voice")
    known = {"text", "voice", "language_type", *(OF_INSTRUCTED if "instruct" in model else ())}
    require(said.keys() <= known, _invalid(f"Unknown parameters: {sorted(said.keys() - known)}."))
    require(isinstance(text, str) and bool(text.strip()), _invalid("input.text must be a text."))
    require(len(str(text)) <= LONGEST, _invalid(f"Range of input length should be [0, {LONGEST}]."))
    require(voice in VOICES, _invalid(f"Voice {voice!r} is not supported."))
    require(said.get("language_type", "Auto") in LANGUAGES, _invalid("language_type is not supported."))
    require(isinstance(said.get("instructions", ""), str), _invalid("instructions must be a text."))
    require(isinstance(said.get("optimize_instructions", False), bool), _invalid("optimize_instructions is a flag."))
