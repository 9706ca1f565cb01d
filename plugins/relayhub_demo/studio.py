"""The pretended server's images and speech."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import orjson

from relayhub_demo.answer import JSON, Answer
from relayhub_demo.drawings import drawing
from relayhub_demo.models import IMAGE, SPEECH
from relayhub_demo.sizes import sides
from relayhub_demo.tones import pieces, wav_header
from relayhub_demo.wire import count_tokens, invalid, missing, model_of, number, one_of, whole_number
from relayhub_demo.written import CREATED

MOST_IMAGES = 10
SMALLEST, LARGEST = 16, 2048
PIXELS_PER_TOKEN = 256
TOKENS_PER_PICTURE = 64
MOST_CHARACTERS = 4096
SOUND_TYPES = {"wav": "audio/wav", "pcm": "audio/pcm"}


def paint(body: Mapping[str, object]) -> Answer:
    """Raises ``Refusal``."""
    model_of(body, frozenset({IMAGE}))
    prompt, given = text_of(body, "prompt"), _pictures(body.get("images"))
    count = whole_number(body, "n", 1, MOST_IMAGES) or 1
    width, height = size_of(body, "1024x1024")
    seed = b"\0".join([prompt.encode("utf-8", "replace"), str(body.get("seed", "")).encode(), *given])
    drawn = [drawing(width, height, seed + bytes([index])) for index in range(count)]
    usage = {
        "input_tokens": count_tokens(prompt) + TOKENS_PER_PICTURE * len(given),
        "output_tokens": count * image_tokens(width, height),
    }
    data = [{"b64_json": base64.b64encode(content).decode()} for content in drawn]
    size = f"{width}x{height}"
    return Answer(200, JSON, [orjson.dumps({"created": CREATED, "data": data, "size": size, "usage": usage})])


def say(body: Mapping[str, object]) -> Answer:
    """Raises ``Refusal``."""
    model_of(body, frozenset({SPEECH}))
    text, voice = text_of(body, "input"), text_of(body, "voice")
    if len(text) > MOST_CHARACTERS:
        raise invalid("input", f"'input' may have at most {MOST_CHARACTERS} characters.", "string_above_max_length")
    form = one_of(body, "response_format", tuple(SOUND_TYPES)) or "wav"
    speed = number(body, "speed", 0.25, 4) or 1.0
    header = [wav_header(text, speed)] if form == "wav" else []
    return Answer(200, SOUND_TYPES[form], [*header, *pieces(text, voice, speed)])


def image_tokens(width: int, height: int) -> int:
    return -(-width * height // PIXELS_PER_TOKEN)


def text_of(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise missing(name)
    return value


def size_of(body: Mapping[str, object], usual: str) -> tuple[int, int]:
    found = sides(body.get("size") or usual)
    if found is None or not all(SMALLEST <= side <= LARGEST for side in found):
        raise invalid("size", f"'size' must be width x height, each from {SMALLEST} to {LARGEST}.", "invalid_value")
    return found


def _pictures(value: object) -> list[bytes]:
    try:
        return [base64.b64decode(data, validate=True) for data in value] if isinstance(value, list) else []
    except (binascii.Error, ValueError, TypeError) as error:
        raise invalid("images", "'images' must be pictures in base64.") from error
