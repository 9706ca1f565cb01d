"""A request for speech: OpenAI's shape."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.fields import invalid_value, missing
from relayhub.dialects.media_api.given import Given
from relayhub.dialects.media_api.videos import read_user
from relayhub.types.media import SpeechRequest

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MAX_CHARACTERS = 50_000
"""More than any upstream takes; they refuse at their own limits."""
MIN_SPEED, MAX_SPEED = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class AskedSpeech:
    """``events``: the client wants the audio as server-sent events."""

    request: SpeechRequest
    events: bool = False
    user: str | None = None


def read_speech(given: Given) -> AskedSpeech:
    """Raises ``ClientError`` naming the field."""
    user = read_user(given)
    text = given.needed_text("input")
    if len(text) > MAX_CHARACTERS:
        raise invalid_value("input", f"must have at most {MAX_CHARACTERS} characters")
    speed = given.number("speed")
    if speed is not None and not MIN_SPEED <= speed <= MAX_SPEED:
        raise invalid_value("speed", f"must be from {MIN_SPEED:g} to {MAX_SPEED:g}")
    form = given.text("response_format")
    if form is not None and form not in FORMATS:
        raise invalid_value("response_format", f"must be one of {', '.join(FORMATS)}")
    events = _as_events(given)
    request = SpeechRequest(
        model=given.needed_text("model"),
        text=text,
        voice=_voice(given),
        format=form,
        speed=speed,
        instructions=given.text("instructions"),
        vendor=given.rest(),
    )
    return AskedSpeech(request, events, user)


def _voice(given: Given) -> str:
    """A name, or an object with an ``id``."""
    name, value = given.take("voice")
    if isinstance(value, dict):
        value = value.get("id")
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise invalid_value(name, "must be the name of a voice")
    return value


def _as_events(given: Given) -> bool:
    said = given.text("stream_format")
    if said not in (None, "audio", "sse"):
        raise invalid_value("stream_format", "must be audio or sse")
    given.take("stream")
    return said == "sse"
