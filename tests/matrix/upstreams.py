"""The kinds of upstream, what each of them shows, and where things stand in what it was sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from tests.matrix.clients.base import Speaks
from tests.support.standins import AnthropicStandIn, GeminiStandIn, OpenAIStandIn
from tests.support.standins.base import StandIn
from tests.support.standins.gemini_rules import FOREIGN
from tests.support.standins.scenes import Scene, scene


class Kind(StrEnum):
    """As the document calls them."""

    COMPATIBLE = "OpenAI-compatible"
    RESPONSES = "OpenAI with Responses"
    CLAUDE = "Anthropic"
    GEMINI = "Gemini"


NATIVE: Mapping[Kind, frozenset[Speaks]] = {
    Kind.COMPATIBLE: frozenset({Speaks.CHAT}),
    Kind.RESPONSES: frozenset({Speaks.CHAT, Speaks.RESPONSES}),
    Kind.CLAUDE: frozenset({Speaks.MESSAGES}),
    Kind.GEMINI: frozenset({Speaks.GENERATE}),
}
"""Whose requests an upstream takes as they are."""


class Upstream(ABC):
    """``kind`` with a client's choice of wire already made. Paths are dotted, as the vendor documents its fields."""

    protocol: str

    def __init__(self, kind: Kind, standin: StandIn) -> None:
        self.kind = kind
        self.standin = standin

    def scene(self, name: str) -> Scene:
        played = scene(self.protocol, name)
        assert played is not None, name
        return played

    @property
    def body(self) -> Mapping[str, Any]:
        """What it was sent last."""
        return self.standin.last

    @property
    @abstractmethod
    def returned(self) -> Sequence[str]:
        """Signed thinking that came back, in order."""

    @abstractmethod
    def system(self) -> str:
        """The instructions that it was sent."""

    @abstractmethod
    def media(self) -> Iterator[tuple[str, str]]:
        """(base64 or link, name) of every image and file."""

    @abstractmethod
    def thinking(self) -> object:
        """What the body says about thinking; ``None`` if nothing."""

    @abstractmethod
    def shape(self) -> Mapping[str, Any]:
        """``schema``, and ``name`` and ``strict`` where the wire has them."""

    @abstractmethod
    def results(self) -> list[str]:
        """The texts of the tool results."""

    @abstractmethod
    def failure(self) -> tuple[str, bool]:
        """The text of the last tool result, and whether it is marked as an error."""

    @abstractmethod
    def chosen(self) -> str:
        """The tool that must be called, ``*`` for any of them."""

    @abstractmethod
    def serial(self) -> bool:
        """Whether it may make one call only."""

    @abstractmethod
    def setting(self, name: str) -> object:
        """A setting by its name in chat completions; ``None`` if it was not sent."""

    def field(self, path: str) -> object:
        """The value at a dotted path of the body; ``None`` if there is none."""
        value: Any = self.body
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


class ChatUpstream(Upstream):
    protocol = "openai_chat"

    @property
    def returned(self) -> Sequence[str]:
        assert isinstance(self.standin, OpenAIStandIn)
        return self.standin.returned

    def system(self) -> str:
        first = self.body["messages"][0]
        assert first["role"] in ("system", "developer")
        return _texts(first["content"])

    def media(self) -> Iterator[tuple[str, str]]:
        for part in self._parts():
            if part["type"] == "image_url":
                yield part["image_url"]["url"].rpartition(",")[2], ""
            if part["type"] == "file":
                yield part["file"]["file_data"].rpartition(",")[2], part["file"]["filename"]

    def _parts(self) -> Iterator[Mapping[str, Any]]:
        for message in self.body["messages"]:
            if isinstance(message.get("content"), list):
                yield from message["content"]

    def thinking(self) -> object:
        return self.field("reasoning_effort")

    def shape(self) -> Mapping[str, Any]:
        return self.body["response_format"]["json_schema"]

    def results(self) -> list[str]:
        return [_texts(message["content"]) for message in self.body["messages"] if message["role"] == "tool"]

    def failure(self) -> tuple[str, bool]:
        return self.results()[-1], False

    def chosen(self) -> str:
        choice = self.body.get("tool_choice", "auto")
        return "*" if choice == "required" else choice["function"]["name"]

    def serial(self) -> bool:
        return self.body.get("parallel_tool_calls") is False

    def setting(self, name: str) -> object:
        return self.body.get(name)


class ResponsesUpstream(ChatUpstream):
    protocol = "openai_responses"

    def system(self) -> str:
        return self.body.get("instructions") or _texts(self.body["input"][0]["content"])

    def media(self) -> Iterator[tuple[str, str]]:
        for item in self.body["input"]:
            for part in item["content"] if isinstance(item.get("content"), list) else ():
                if part["type"] == "input_image":
                    yield part["image_url"].rpartition(",")[2], ""
                if part["type"] == "input_file":
                    yield part["file_data"].rpartition(",")[2], part["filename"]

    def thinking(self) -> object:
        return self.field("reasoning.effort")

    def shape(self) -> Mapping[str, Any]:
        return self.body["text"]["format"]

    def results(self) -> list[str]:
        return [_texts(item["output"]) for item in self.body["input"] if item.get("type") == "function_call_output"]

    def chosen(self) -> str:
        choice = self.body.get("tool_choice", "auto")
        return "*" if choice == "required" else choice["name"]


class ClaudeUpstream(Upstream):
    protocol = "anthropic"

    @property
    def returned(self) -> Sequence[str]:
        assert isinstance(self.standin, AnthropicStandIn)
        return [signature for signature, _ in self.standin.returned]

    def system(self) -> str:
        return _texts(self.body["system"])

    def _blocks(self) -> Iterator[Mapping[str, Any]]:
        for message in self.body["messages"]:
            if isinstance(message["content"], list):
                yield from message["content"]

    def media(self) -> Iterator[tuple[str, str]]:
        for block in self._blocks():
            if block["type"] in ("image", "document"):
                yield block["source"].get("data") or block["source"]["url"], block.get("title", "")

    def thinking(self) -> object:
        return self.field("thinking")

    def shape(self) -> Mapping[str, Any]:
        return self.body["output_config"]["format"]

    def results(self) -> list[str]:
        return [_texts(block["content"]) for block in self._blocks() if block["type"] == "tool_result"]

    def failure(self) -> tuple[str, bool]:
        block = [block for block in self._blocks() if block["type"] == "tool_result"][-1]
        return _texts(block["content"]), block.get("is_error") is True

    def chosen(self) -> str:
        choice = self.body["tool_choice"]
        return "*" if choice["type"] == "any" else choice["name"]

    def serial(self) -> bool:
        return self.field("tool_choice.disable_parallel_tool_use") is True

    def setting(self, name: str) -> object:
        return self.body.get("stop_sequences" if name == "stop" else name)


class GeminiUpstream(Upstream):
    protocol = "gemini"

    @property
    def returned(self) -> Sequence[str]:
        assert isinstance(self.standin, GeminiStandIn)
        return [signature for signature in self.standin.returned if signature != FOREIGN]

    def system(self) -> str:
        return _texts(self.body["systemInstruction"]["parts"])

    def _parts(self) -> Iterator[Mapping[str, Any]]:
        for content in self.body["contents"]:
            yield from content["parts"]

    def media(self) -> Iterator[tuple[str, str]]:
        for part in self._parts():
            if "inlineData" in part:
                yield part["inlineData"]["data"], part["inlineData"].get("displayName", "")

    def thinking(self) -> object:
        return self.field("generationConfig.thinkingConfig")

    def shape(self) -> Mapping[str, Any]:
        return {"schema": self.field("generationConfig.responseJsonSchema")}

    def results(self) -> list[str]:
        answers = [part["functionResponse"]["response"] for part in self._parts() if "functionResponse" in part]
        return [answer["output"] for answer in answers]

    def failure(self) -> tuple[str, bool]:
        response = [part["functionResponse"] for part in self._parts() if "functionResponse" in part][-1]["response"]
        return next(iter(response.values())), "error" in response

    def chosen(self) -> str:
        calling = self.body["toolConfig"]["functionCallingConfig"]
        assert calling["mode"] == "ANY"
        [name] = calling.get("allowedFunctionNames") or ["*"]
        return str(name)

    def serial(self) -> bool:
        return False

    def setting(self, name: str) -> object:
        return self.field(f"generationConfig.{'stopSequences' if name == 'stop' else name}")


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


PLAIN: Mapping[Kind, str] = {
    Kind.COMPATIBLE: "chat-model",
    Kind.RESPONSES: "responses-model",
    Kind.CLAUDE: "claude-adaptive",
    Kind.GEMINI: "gemini-model",
}
"""The hub's name of the model for most things."""

THINKERS: Mapping[Kind, tuple[str, ...]] = {
    Kind.COMPATIBLE: ("chat-thinker",),
    Kind.RESPONSES: ("responses-model",),
    Kind.CLAUDE: ("claude-adaptive", "claude-budget"),
    Kind.GEMINI: ("gemini-model",),
}
"""Those that think where somebody can see it."""

BEHIND: Mapping[str, str] = {
    "chat-model": "gpt-5.4",
    "chat-thinker": "deepseek-v4",
    "responses-model": "gpt-5.4",
    "claude-adaptive": "claude-sonnet-4-6",
    "claude-budget": "claude-sonnet-4-5",
    "gemini-model": "gemini-3.5-flash",
}
"""Their names at the upstream."""


def upstream(kind: Kind, speaks: Speaks, standins: Mapping[Kind, StandIn]) -> Upstream:
    """The wire on which a client's question arrives there."""
    standin = standins[kind]
    match kind:
        case Kind.COMPATIBLE:
            return ChatUpstream(kind, standin)
        case Kind.RESPONSES:
            return ChatUpstream(kind, standin) if speaks is Speaks.CHAT else ResponsesUpstream(kind, standin)
        case Kind.CLAUDE:
            return ClaudeUpstream(kind, standin)
        case Kind.GEMINI:
            return GeminiUpstream(kind, standin)
