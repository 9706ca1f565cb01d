"""Turns of another dialect in the order that this one demands.

User and model take turns, the user first and last. All results of a turn's calls come in the one content after it, in
the order of the calls, before anything else."""

from __future__ import annotations

from collections.abc import Iterator

from relayhub.dialects.fields import invalid_value
from relayhub.dialects.foreign import Dropped, not_expressible
from relayhub.dialects.gemini_generate.inputs import media_part
from relayhub.dialects.gemini_generate.names import ALONE, ON_PART, PLACEHOLDER, SIGNATURE
from relayhub.dialects.gemini_generate.parts import encode_response, encode_thought, parse_arguments
from relayhub.dialects.gemini_generate.signed import own_signature
from relayhub.dialects.gemini_generate.target import GeminiTarget
from relayhub.dialects.openai_chat.places import message_path
from relayhub.types.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject

_SYSTEM_ROLES = frozenset({Role.SYSTEM, Role.DEVELOPER})


def translate_messages(request: ChatRequest, target: GeminiTarget, dropped: Dropped) -> JsonObject:
    """``systemInstruction`` and ``contents``. Raises ``ClientError`` for what cannot be said."""
    messages = request.messages
    leading = next((i for i, message in enumerate(messages) if message.role not in _SYSTEM_ROLES), len(messages))
    system = [_system_text(message, message_path(request, i)) for i, message in enumerate(messages[:leading])]
    text = "\n\n".join(text for text in system if text)
    turns = _Turns(target, dropped)
    for index in range(leading, len(messages)):
        turns.add(messages[index], message_path(request, index))
    contents = turns.close()
    return {**({"systemInstruction": {"parts": [{"text": text}]}} if text else {}), "contents": [*contents]}


def _system_text(message: Message, path: str) -> str:
    texts = []
    for part in message.parts:
        if not isinstance(part, TextPart):
            raise not_expressible(path, "a system message that is not text")
        texts.append(part.text)
    return "\n\n".join(text for text in texts if text.strip())


class _Turns:
    """Collects messages turn by turn."""

    def __init__(self, target: GeminiTarget, dropped: Dropped) -> None:
        self._target = target
        self._dropped = dropped
        self._out: list[JsonObject] = []
        self._model: list[JsonObject] = []
        self._model_path = ""
        self._user: list[JsonObject] = []
        self._waiting: dict[str, str] = {}
        """Calls of the last turn: id → function; in their order."""
        self._results: dict[str, list[JsonObject]] = {}
        """Call id → its result, and behind it media that have no place inside."""

    def add(self, message: Message, path: str) -> None:
        self._dropped.note_if("name", message.name)
        if message.role in _SYSTEM_ROLES:
            text = _system_text(message, path)
            self._add_user([{"text": f"<system>\n{text}\n</system>"}] if text else [])
        elif message.role is Role.ASSISTANT:
            self._add_model(message, path)
        else:
            self._add_user_message(message, path)

    def close(self) -> list[JsonObject]:
        """Every turn is in."""
        if self._model and not self._waiting:
            raise not_expressible(self._model_path, "an assistant message at the end")
        self._close_model()
        self._close_user()
        if not self._out:
            raise invalid_request(
                "messages must have a user message with content.", code="invalid_value", param="messages"
            )
        return self._out

    def _add_model(self, message: Message, path: str) -> None:
        if not self._model:
            self._close_user()
            self._model_path = path
        for index, part in enumerate(message.parts):
            self._add_model_part(part, f"{path}.content[{index}]")

    def _add_model_part(self, part: Part, path: str) -> None:
        match part:
            case TextPart(text) | RefusalPart(text):
                if text:
                    self._model.append({"text": text})
            case ReasoningPart():
                self._add_thought(part)
            case ToolCallPart(custom=False):
                self._model.append(self._call(part, path))
            case ImagePart() | AudioPart() | FilePart():
                self._model += self._media(part, path)
            case _:
                raise not_expressible(path, _kind(part))

    def _add_thought(self, part: ReasoningPart) -> None:
        """Only what this upstream's own model has signed is of use to it."""
        signature = own_signature(part)
        if signature is None:
            return
        if part.text and part.wire_field not in (ALONE, ON_PART):
            thought = encode_thought(part)
            assert thought is not None
            thought = {key: thought[key] for key in ("text", "thought", SIGNATURE)}
            self._model.append(thought)
        elif self._model and self._model[-1].keys() == {"text"}:
            self._model[-1][SIGNATURE] = signature
        else:
            self._model.append({"text": "", SIGNATURE: signature})

    def _call(self, part: ToolCallPart, path: str) -> JsonObject:
        if part.id in self._waiting:
            raise invalid_value(path, f"has the id {part.id!r} of another call of its turn")
        first = not self._waiting
        self._waiting[part.id] = part.name
        call: JsonObject = {"id": part.id, "name": part.name, "args": parse_arguments(part.arguments, path)}
        signature = own_signature(part) or (PLACEHOLDER if first and self._target.signatures else None)
        return {"functionCall": call, SIGNATURE: signature} if signature else {"functionCall": call}

    def _add_user_message(self, message: Message, path: str) -> None:
        others: list[JsonObject] = []
        for index, part in enumerate(message.parts):
            place = f"{path}.content[{index}]"
            if isinstance(part, ToolResultPart):
                self._add_result(part, place)
            else:
                others += self._user_part(part, place)
        self._add_user(others)

    def _add_user(self, parts: list[JsonObject]) -> None:
        if parts:
            self._close_model()
        self._user += parts

    def _user_part(self, part: Part, path: str) -> Iterator[JsonObject]:
        match part:
            case TextPart(text) | RefusalPart(text):
                if text:
                    yield {"text": text}
            case ReasoningPart():
                pass
            case ImagePart() | AudioPart() | FilePart():
                yield from self._media(part, path)
            case _:
                raise not_expressible(path, _kind(part))

    def _media(self, part: ImagePart | AudioPart | FilePart, path: str) -> Iterator[JsonObject]:
        yield media_part(part, path, self._target, self._dropped)

    def _add_result(self, part: ToolResultPart, path: str) -> None:
        name = self._waiting.get(part.call_id)
        if name is None or part.call_id in self._results:
            raise invalid_value(path, f"is a result of {part.call_id!r}, which is no open tool call of the turn before")
        self._close_model()
        texts = [inner.text for inner in part.parts if isinstance(inner, TextPart | RefusalPart)]
        media = [
            item
            for inner in part.parts
            if not isinstance(inner, TextPart | RefusalPart)
            for item in self._user_part(inner, path)
        ]
        response = encode_response("\n".join(texts), is_error=part.is_error, plain=part.is_error)
        result: JsonObject = {"id": part.call_id, "name": name, "response": response}
        if media and self._target.result_media:
            result["parts"] = [*media]
            media = []
        self._results[part.call_id] = [{"functionResponse": result}, *media]

    def _close_model(self) -> None:
        """A user turn begins."""
        if not self._model:
            return
        if not self._out:
            raise invalid_request(
                f"{self._model_path}: the first turn must be the user's for this model's upstream.",
                code="invalid_value",
                param=self._model_path,
            )
        # Calls last: nothing may stand between them and their results.
        parts = sorted(self._model, key=lambda part: "functionCall" in part)
        self._out.append({"role": "model", "parts": [*parts]})
        self._model = []

    def _close_user(self) -> None:
        """A model turn begins, or nothing more comes."""
        missing = [repr(call_id) for call_id in self._waiting if call_id not in self._results]
        if missing:
            raise invalid_request(
                f"{self._model_path}: the results of its tool calls {', '.join(missing)} must come right after it.",
                code="invalid_value",
                param=self._model_path,
            )
        answers = [self._results[call_id] for call_id in self._waiting]
        parts = [answer[0] for answer in answers] + [item for answer in answers for item in answer[1:]] + self._user
        if parts:
            self._out.append({"role": "user", "parts": [*parts]})
        self._waiting, self._results, self._user = {}, {}, []


def _kind(part: Part) -> str:
    match part:
        case OpaquePart(_, kind, _):
            return kind
        case ToolCallPart():
            return "a call of a custom tool"
        case _:
            return type(part).__name__
