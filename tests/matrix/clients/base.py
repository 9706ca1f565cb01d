"""What a test needs of a client, whatever SDK is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import httpx2

from tests.matrix.asked import Asked, Called, Got
from tests.support.standins.scenes import End, Spent


class Speaks(StrEnum):
    """The dialects of the clients, as the document calls them."""

    CHAT = "OpenAI chat completions"
    RESPONSES = "OpenAI Responses"
    MESSAGES = "Anthropic Messages"
    GENERATE = "Gemini generateContent"


class Client(ABC):
    """``sdk``: as the document names it."""

    sdk: str
    speaks: Speaks

    @abstractmethod
    def ask(self, asked: Asked) -> Got:
        """Raises :class:`tests.matrix.asked.Failed`."""

    @abstractmethod
    def results(self, calls: Sequence[Called], outputs: Sequence[str], *, failed: bool = False) -> tuple[Any, ...]:
        """The turn that answers tool calls, for the history; ``failed``: marked as errors, where the dialect can."""

    @abstractmethod
    def bare(self, turn: tuple[Any, ...]) -> tuple[Any, ...]:
        """The turn as a client sends it back that knows nothing of vendor fields and thinking."""

    @abstractmethod
    def word(self, end: End) -> str:
        """How this dialect says it."""

    @abstractmethod
    def sayable(self, spent: Spent) -> Spent:
        """What this dialect's usage can say of it."""

    @abstractmethod
    def count(self, asked: Asked) -> int | None:
        """Tokens of the question; ``None`` where the SDK has no call for it."""

    @abstractmethod
    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        """``None`` where the SDK has no call for it."""

    @abstractmethod
    def models(self) -> list[str]:
        """The names that the SDK lists."""

    @abstractmethod
    def close(self) -> None:
        """Leaves no connection open."""


class Tap:
    """An HTTP client for an SDK that remembers the last answer's headers."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.http = httpx2.Client(event_hooks={"response": [self._note]}, timeout=30)

    def _note(self, response: httpx2.Response) -> None:
        self.headers = {name.lower(): value for name, value in response.headers.items()}
