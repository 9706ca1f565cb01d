"""What the stand-ins share: refusals in the service's own words, scenes by name, and what was sent."""

from __future__ import annotations

import base64
import binascii
import re
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from relayhub.testing import Answer, Cut, Recorded, UpstreamSimulator

KEY = "upstream-key-0123456789"

STATUS_SCENES = {
    "error_400": 400,
    "error_401": 401,
    "error_402": 402,
    "error_403": 403,
    "error_404": 404,
    "error_429": 429,
    "error_500": 500,
    "error_503": 503,
    "error_529": 529,
}
LINKED = "/red.png"
"""A link to an image, for those that take links and those that have to follow them first."""

RED_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="
SSE = {"content-type": "text/event-stream"}


class Refusal(Exception):
    """The service refuses the request. ``kind``: its own word for it, where it differs from the status's usual one."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.kind = kind


class StandIn(UpstreamSimulator):
    """``bodies``: every accepted body of a chat call, in order; ``refused``: every refusal that no scene asked for."""

    def __init__(self, *, forbidden: Sequence[str] = ()) -> None:
        super().__init__(forbidden=forbidden)
        self.bodies: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.serial = 0

    def answer(self, request: Recorded) -> Answer:
        if request.path == LINKED:
            return Answer(200, base64.b64decode(RED_PNG), {"content-type": "image/png"})
        try:
            self.authenticate(request)
            return self.serve(request)
        except Refusal as refusal:
            self.refused.append(refusal.message)
            return self.refuse(refusal)

    def forbid(self, text: str) -> None:
        """From now on it must never arrive here."""
        self._forbidden = (*self._forbidden, text)

    @abstractmethod
    def authenticate(self, request: Recorded) -> None:
        """Raises :class:`Refusal`."""

    @abstractmethod
    def serve(self, request: Recorded) -> Answer:
        """Raises :class:`Refusal`."""

    @abstractmethod
    def refuse(self, refusal: Refusal) -> Answer:
        """The service's error answer."""

    @abstractmethod
    def failure(self, name: str, status: int) -> Answer:
        """The answer of an ``error_…`` scene."""

    @property
    def last(self) -> dict[str, Any]:
        return self.bodies[-1]

    def played(self, name: str) -> Answer | None:
        """Scenes that are no answer of a model."""
        if name == "drop":
            return Answer(200, b"", SSE, before=[Cut()])
        if name in STATUS_SCENES:
            return self.failure(name, STATUS_SCENES[name])
        return None

    def number(self) -> int:
        self.serial += 1
        return self.serial


def known(value: Mapping[str, Any], fields: Collection[str], say: str, path: str = "") -> None:
    """``say``: the service's sentence with ``{}`` for the field."""
    for name in value:
        if name not in fields:
            at = f"{path}.{name}" if path else name
            raise Refusal(say.format(at), param=at)


def need(condition: object, message: str, **more: Any) -> None:
    if not condition:
        raise Refusal(message, **more)


def is_base64(text: object) -> bool:
    """Standard, padded, not empty."""
    try:
        return isinstance(text, str) and bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.+)", re.DOTALL)


def is_data_url(text: object) -> bool:
    match = DATA_URL.fullmatch(text) if isinstance(text, str) else None
    return match is not None and is_base64(match[2])


def is_link(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"https?://[^\s]+", text) is not None
