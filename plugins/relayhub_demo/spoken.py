"""What the demo answers: deterministic text, tool calls when a tool is spoken of, thinking aloud when told to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from relayhub_demo.asked import Asked
from relayhub_demo.sampling import Sampler
from relayhub_demo.wire import count_tokens

_CJK = re.compile(r"[\u3400-\u9fff]")
_PIECES = re.compile(r"\s*[^\s\u3400-\u9fff]+|\s*[\u3400-\u9fff]{1,2}|\s+")
_PLACE = re.compile(r"\b(?:in|for|at)\s+([A-Z][\w'-]+)")
_ANSWER_FIELDS = ("answer", "content", "message", "reply", "response", "summary", "text")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer. ``thoughts`` and ``pieces`` are the tokens as they would stream."""

    thoughts: Sequence[str]
    pieces: Sequence[str]
    calls: Sequence[Mapping[str, object]]
    finish: str

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_tokens(self) -> int:
        return count_tokens(self.thought)

    @property
    def output_tokens(self) -> int:
        return self.reasoning_tokens + count_tokens(self.text) + sum(_tokens_of_call(call) for call in self.calls)


def speak(asked: Asked) -> Spoken:
    """The same answer for the same question, however it is delivered. Never more than ``asked.cap`` tokens; where they
    do not suffice, it finishes with ``length``."""
    left = asked.cap
    wanted = _pieces(_thought(asked.said)) if asked.thinking else []
    thoughts, left = _within(wanted, left)
    if asked.called:
        return _calling(asked, thoughts, left)
    text = _reply(asked)
    for stop in asked.stops:
        text = text.partition(stop)[0] if stop else text
    pieces, _ = _within(_pieces(text), left)
    cut = "".join(pieces) != text or len(thoughts) < len(wanted)
    return Spoken(thoughts, pieces, (), "length" if cut else "stop")


def _calling(asked: Asked, thoughts: Sequence[str], left: int | None) -> Spoken:
    calls: list[Mapping[str, object]] = []
    for index, tool in enumerate(asked.called):
        call = _call(asked, index, tool)
        if left is not None and _tokens_of_call(call) > left:
            return Spoken(thoughts, (), calls, "length")
        left = None if left is None else left - _tokens_of_call(call)
        calls.append(call)
    return Spoken(thoughts, (), calls, "tool_calls")


def _pieces(text: str) -> list[str]:
    return _PIECES.findall(text)


def _within(pieces: Sequence[str], left: int | None) -> tuple[list[str], int | None]:
    """As many as fit, and how many tokens are left then."""
    if left is None:
        return list(pieces), None
    kept: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece.encode())
        if size > left * 4:
            break
        kept.append(piece)
    return kept, left - count_tokens("".join(kept))


# --- words ------------------------------------------------------------------------------------------------------------


def _reply(asked: Asked) -> str:
    text = _words(asked)
    if asked.shape is None:
        return text
    texts = dict.fromkeys(_ANSWER_FIELDS, text)
    value = Sampler(asked.shape, texts, all_properties=True).sample() if asked.shape else {"answer": text}
    return orjson.dumps(value).decode()


def _words(asked: Asked) -> str:
    chinese = _CJK.search(asked.said) is not None
    if asked.results:
        joined = ("；" if chinese else "; ").join(asked.results)
        return f"工具返回:{joined}" if chinese else f"The tools returned: {joined}"
    if chinese:
        return f"你好！这是演示模型的回答。你说的是:{asked.said}"
    return f"Hello! This is the demo model. You said: {asked.said}"


def _thought(said: str) -> str:
    if _CJK.search(said):
        return f"用户说了 {len(said)} 个字,我先想一想再回答。"
    return f"The user wrote {len(said)} characters. Let me think before I answer."


# --- tool calls -------------------------------------------------------------------------------------------------------


def _call(asked: Asked, index: int, tool: Mapping[str, object]) -> Mapping[str, object]:
    schema = tool.get("parameters")
    place = _PLACE.search(asked.said)
    texts = dict.fromkeys(("city", "location", "place"), place[1]) if place else {}
    arguments = Sampler(schema, texts, all_properties=False).sample() if isinstance(schema, dict) and schema else {}
    function = {"name": tool["name"], "arguments": orjson.dumps(arguments).decode()}
    return {"id": f"call_{asked.identity[:16]}{index}", "type": "function", "function": function}


def _tokens_of_call(call: Mapping[str, object]) -> int:
    return count_tokens(orjson.dumps(call).decode())
