"""Embeddings: a unit vector from the hash of each input, the same every time."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Mapping, Sequence

import orjson

from relayhub_demo.models import EMBEDDING
from relayhub_demo.wire import count_tokens, invalid, missing, model_of, one_of, whole_number

DIMENSIONS = 256
MOST_DIMENSIONS = 4096
MOST_INPUTS = 2048
FORMS = ("float", "base64")


def answer(body: Mapping[str, object]) -> bytes:
    """Raises ``Refusal``."""
    model = model_of(body, frozenset({EMBEDDING}))
    inputs = _inputs(body.get("input"))
    dimensions = whole_number(body, "dimensions", 1, MOST_DIMENSIONS) or DIMENSIONS
    form = one_of(body, "encoding_format", FORMS) or "float"
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector(text, dimensions), form)}
        for index, text in enumerate(inputs)
    ]
    tokens = sum(count_tokens(text) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _inputs(value: object) -> list[str]:
    """A text, several, a token list, or several of those; a token list counts as its own text."""
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        texts: list[object] = [value]
    elif isinstance(value, list) and value:
        texts = [value] if all(type(item) is int for item in value) else value
    else:
        texts = []
    shown = [
        text if isinstance(text, str) else " ".join(map(str, text)) for text in texts if isinstance(text, str | list)
    ]
    if not shown or len(shown) != len(texts) or not all(shown):
        raise invalid("input", "'input' must be a text or token list that is not empty, or a list of them.")
    if len(shown) > MOST_INPUTS:
        raise invalid("input", f"Invalid 'input': at most {MOST_INPUTS} inputs are allowed.", "array_above_max_length")
    return shown


def vector(text: str, dimensions: int) -> list[float]:
    """Deterministic and of length 1, in single precision."""
    raw = hashlib.shake_256(text.encode()).digest(dimensions * 2)
    numbers = [value / 32768 for value in struct.unpack(f"<{dimensions}h", raw)]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return list(struct.unpack(f"<{dimensions}f", _packed([number / length for number in numbers])))


def _packed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def _written(numbers: Sequence[float], form: str) -> object:
    return list(numbers) if form == "float" else base64.b64encode(_packed(numbers)).decode()
