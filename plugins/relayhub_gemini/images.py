"""Images from ``generateContent``: the wire. One at a time, and at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import orjson

from relayhub.sdk import (
    Artifact,
    HttpReply,
    HttpRequest,
    ImageRequest,
    MediaResult,
    MediaUsage,
    NativeCall,
    Operation,
    Steps,
    UpstreamError,
    read_upstream_error,
    upstream_broke,
)
from relayhub_gemini.image_asked import Asked, asked
from relayhub_gemini.image_traits import ImageTraits, image_traits_of
from relayhub_gemini.pictures import made_picture, type_of

CONTENT_POLICY = "content_policy"
MOST_TOKENS = 1 << 31
SPACE = re.compile(r"\s")
UNBLOCKED = frozenset({"STOP", "MAX_TOKENS", "NO_IMAGE", "IMAGE_OTHER", "OTHER", "FINISH_REASON_UNSPECIFIED"})
"""Reasons of an answer without an image that say nothing about its content."""

Asking: TypeAlias = Callable[[NativeCall], HttpRequest]
Failing: TypeAlias = Callable[[HttpReply], UpstreamError]


class GeminiImages:
    """A :class:`relayhub.sdk.ImageWire`. It takes pictures only as bytes (``inline_media``)."""

    inline_media = True

    def __init__(self, ask: Asking, error: Failing, traits: Mapping[str, ImageTraits]) -> None:
        self._ask = ask
        self._error = error
        self._traits = traits

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        wanted = self._asked(model, request)
        reply = yield self._request(model, request, wanted)
        return self._read(reply, wanted.usage)

    def _asked(self, model: str, request: ImageRequest) -> Asked:
        return asked(request, image_traits_of(model, self._traits))

    def _request(self, model: str, request: ImageRequest, wanted: Asked) -> HttpRequest:
        seed = {} if request.seed is None else {"seed": request.seed}
        body = {
            "contents": [{"role": "user", "parts": wanted.parts}],
            "generationConfig": {**wanted.config, **seed},
        }
        return self._ask(NativeCall(Operation.CHAT, model, orjson.dumps(body)))

    def _read(self, reply: HttpReply, measured: MediaUsage) -> MediaResult:
        """Raises ``UpstreamError`` if there is no image in it."""
        if reply.status != 200:
            raise self._error(reply)
        answer = _object(reply.body)
        if answer.get("error"):
            raise _late(self._error(HttpReply(500, {}, reply.body)))
        image = next(_images(answer), None)
        if image is None:
            raise _blocked(answer)
        return MediaResult((image,), _usage(answer, measured))


def _object(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise upstream_broke("it is not JSON") from error
    if not isinstance(value, dict):
        raise upstream_broke("it is not an object")
    return value


# --- images -----------------------------------------------------------------------------------------------------------


def _images(answer: Mapping[str, object]) -> Iterator[Artifact]:
    """Drafts of thinking models are none. Some relays put the base64 into a text part."""
    parts = [part for part in _parts(answer) if part.get("thought") is not True]
    inline = [part.get("inlineData") or part.get("inline_data") for part in parts]
    found = [data for data in inline if isinstance(data, dict)]
    for data in found:
        yield _inline(data)
    for part in () if found else parts:
        text = part.get("text")
        if isinstance(text, str) and (image := _in_text(text)) is not None:
            yield image


def _parts(answer: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for candidate in _list(answer.get("candidates")):
        content = candidate.get("content")
        yield from _list(content.get("parts") if isinstance(content, dict) else None)


def _list(value: object) -> Sequence[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _inline(data: Mapping[str, object]) -> Artifact:
    text = data.get("data")
    image = made_picture(text, data.get("mimeType") or data.get("mime_type")) if isinstance(text, str) else None
    if image is None:
        raise upstream_broke("an image is not base64")
    return image


def _in_text(text: str) -> Artifact | None:
    if SPACE.search(text.strip()):
        return None
    image = made_picture(text.strip(), None)
    return image if image is not None and image.data is not None and type_of(image.data) else None


# --- answers without one ----------------------------------------------------------------------------------------------


def _blocked(answer: Mapping[str, object]) -> UpstreamError:
    """Not to be sent elsewhere: the upstream has done its work, and may bill it."""
    candidates, feedback = _list(answer.get("candidates")), answer.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if isinstance(reason, str):
        return _refused(f"The upstream blocked the prompt ({reason}).", policy=True)
    if not candidates:
        return upstream_broke("it has no image")
    finish, said = candidates[0].get("finishReason"), candidates[0].get("finishMessage")
    words = [str(finish or "no reason"), said if isinstance(said, str) else ""]
    policy = isinstance(finish, str) and finish not in UNBLOCKED
    return _refused(f"The upstream made no image ({': '.join(filter(None, words))})", policy=policy)


def _refused(message: str, *, policy: bool) -> UpstreamError:
    code = CONTENT_POLICY if policy else "no_image"
    error = _late(read_upstream_error(HttpReply(400, {}, b""), message, code=code))
    error.status = 200
    return error


def _late(error: UpstreamError) -> UpstreamError:
    error.delivered, error.retryable = True, False
    return error


# --- what it cost -----------------------------------------------------------------------------------------------------


def _usage(answer: Mapping[str, object], measured: MediaUsage) -> MediaUsage:
    """The tokens of the prompt, and those of images: text and thoughts beside them have another price. Where the upstream
    tells nothing, what was measured."""
    told = answer.get("usageMetadata")
    if not isinstance(told, dict):
        return measured
    details = _list(told.get("candidatesTokensDetails"))
    drawn = [_count(one.get("tokenCount")) for one in details if one.get("modality") == "IMAGE"]
    output = sum(drawn) if drawn else min(_count(told.get("candidatesTokenCount")), measured.output_tokens)
    return replace(measured, input_tokens=_count(told.get("promptTokenCount")), output_tokens=output)


def _count(value: object) -> int:
    believed = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if believed and isinstance(value, int) else 0
