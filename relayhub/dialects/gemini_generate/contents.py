"""Contents of this dialect, both ways.

Calls and results need not have ids here: those without get one that only the hub knows, a result that of the first open
call of its function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import orjson

from relayhub.dialects.fields import Fields, missing, wrong_type
from relayhub.dialects.gemini_generate.names import NAME, ON_PART, SIGNATURE, keeping, kept, said_only
from relayhub.dialects.gemini_generate.parts import decode_plain_part, encode_parts, kind_of
from relayhub.dialects.gemini_generate.scalars import one_or_many
from relayhub.dialects.gemini_generate.signed import read_signature
from relayhub.dialects.openai_chat.reply import minted_id
from relayhub.types.chat import ChatRequest, Message, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from relayhub.types.errors import invalid_request
from relayhub.types.json import Json, JsonObject

_ROLES = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.TOOL}
_WORDS = {role: word for word, role in _ROLES.items()}


def decode_system(value: Json) -> tuple[Message, ...]:
    """The system instruction as the first message, if there is one. A bare string will do."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (Message(Role.SYSTEM, (TextPart(value),)),)
    fields = Fields(value, "systemInstruction")
    role = fields.optional_text("role")
    parts = [
        part
        for index, item in enumerate(_take_parts(fields))
        for part in decode_plain_part(item, f"systemInstruction.parts[{index}]")
    ]
    unsaid = None if role else True
    return (Message(Role.SYSTEM, tuple(parts), extras=keeping(fields.rest(), roleless=unsaid)),) if parts else ()


def _take_parts(fields: Fields) -> Sequence[Json]:
    return one_or_many(fields.take("parts"))


def decode_contents(value: Json) -> tuple[Message, ...]:
    """Raises ``ClientError`` naming the place."""
    values = one_or_many(value)
    if not values:
        raise invalid_request("contents must contain at least one item.", code="empty_array", param="contents")
    reader = _Reader()
    messages = [reader.read(item, f"contents[{index}]") for index, item in enumerate(values)]
    return _whole_turns(messages)


class _Reader:
    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        """Id and function of the calls that have no result yet."""
        self._names: dict[str, str] = {}
        self._calls = 0

    def read(self, value: Json, path: str) -> Message:
        if isinstance(value, str):
            return Message(Role.USER, (TextPart(value),))
        fields = Fields(value, path)
        word = fields.optional_text("role")
        role = _ROLES.get((word or "user").lower())
        if role is None:
            raise wrong_type(fields.at("role"), "user or model")
        parts: list[Part] = []
        for index, item in enumerate(_take_parts(fields)):
            parts += self._part(item, f"{path}.parts[{index}]")
        unsaid = None if word else True
        return Message(role, tuple(_without_empty(parts)), extras=keeping(fields.rest(), roleless=unsaid))

    def _part(self, value: Json, path: str) -> tuple[Part, ...]:
        match kind_of(value) if isinstance(value, dict) else "":
            case "functionCall":
                return (self._call(Fields(value, path)),)
            case "functionResponse":
                return (self._result(Fields(value, path)),)
            case _:
                return decode_plain_part(value, path)

    def _call(self, fields: Fields) -> ToolCallPart:
        inner = fields.inner("functionCall")
        name, given = inner.name("name"), inner.optional_text("id")
        arguments = inner.optional_object("args")
        text = "" if arguments is None else orjson.dumps(arguments).decode()
        self._calls += 1
        call_id = given or minted_id(f"call {self._calls} {name} {text}")
        self._open.append((call_id, name))
        self._names[call_id] = name
        read = read_signature(fields.optional_text(SIGNATURE))
        extras = keeping(fields.rest(inner), unnamed=None if given else True)
        return ToolCallPart(call_id, name, text, False, read.signature, read.signer, extras)

    def _result(self, fields: Fields) -> ToolResultPart:
        inner = fields.inner("functionResponse")
        given, name = inner.optional_text("id"), inner.optional_text("name")
        if not given and not name:
            raise missing(inner.at("name"))
        call_id = given or self._call_of(name or "")
        self._open = [call for call in self._open if call[0] != call_id]
        spelled = name if name != self._names.get(call_id) else None
        parts, is_error, plain = _decode_response(inner)
        media = [
            part
            for index, item in enumerate(one_or_many(inner.take("parts")))
            for part in decode_plain_part(item, f"{inner.at('parts')}[{index}]")
        ]
        extras = keeping(fields.rest(inner), unnamed=None if given else True, name=spelled)
        return ToolResultPart(call_id, (*parts, *media), is_error, plain, extras)

    def _call_of(self, name: str) -> str:
        found = next((call_id for call_id, called in self._open if called == name), None)
        return found or minted_id(f"result {len(self._names)} {name}")


def _decode_response(inner: Fields) -> tuple[tuple[Part, ...], bool, bool]:
    """Parts, whether it is an error, whether it stood as a text."""
    response = inner.optional_object("response")
    match response:
        case None:
            return (), False, False
        case {"output": str(text)} if len(response) == 1:
            return (TextPart(text),), False, True
        case {"error": str(text)} if len(response) == 1:
            return (TextPart(text),), True, True
        case _:
            text = orjson.dumps(response).decode()
            return (TextPart(text),), list(response) == ["error"], False


def _without_empty(parts: Sequence[Part]) -> Sequence[Part]:
    """A text that says nothing, which streams end with, is nobody's loss beside other parts."""
    return [part for part in parts if part != TextPart("")] or parts


def _whole_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Clients keep a streamed answer chunk by chunk, as one content each. Here it is one turn again, its texts joined;
    and so is thinking, which another upstream has signed as a whole."""
    out: list[Message] = []
    for role, run in groupby(messages, key=lambda message: message.role):
        turn = list(run)
        if role is Role.ASSISTANT:
            turn = [replace(turn[0], parts=tuple(_joined([message.parts for message in turn])))]
        out += turn
    return tuple(out)


def _joined(chunks: Sequence[Sequence[Part]]) -> list[Part]:
    out: list[Part] = []
    for chunk in chunks:
        for index, part in enumerate(chunk):
            before = out[-1] if out else None
            first = index == 0
            if isinstance(part, ReasoningPart) and _continues(part, before, first=first):
                assert isinstance(before, ReasoningPart)
                out[-1] = replace(part, text=before.text + part.text)
            elif first and isinstance(part, TextPart) and isinstance(before, TextPart) and not _stands_alone(chunk):
                out[-1] = replace(before, text=before.text + part.text)
            else:
                out.append(part)
    return [*_without_empty(out)]


def _continues(part: ReasoningPart, before: Part | None, *, first: bool) -> bool:
    """What this dialect's own upstream has signed is never mixed with what it has not."""
    if not isinstance(before, ReasoningPart) or before.signer is not None or part.signer == NAME:
        return False
    return first or part.signer is not None


def _stands_alone(chunk: Sequence[Part]) -> bool:
    """Whether the first part is signed, or has more to it than text."""
    signed = len(chunk) > 1 and isinstance(chunk[1], ReasoningPart) and chunk[1].wire_field == ON_PART
    return signed or bool(isinstance(chunk[0], TextPart) and chunk[0].extras)


def encode_own(request: ChatRequest) -> JsonObject:
    """``systemInstruction`` and ``contents``. A system message in front is the instruction."""
    messages = request.messages
    out: JsonObject = {}
    if messages and messages[0].role is Role.SYSTEM:
        out["systemInstruction"] = _encode(messages[0], "user", {}, "systemInstruction")
        messages = messages[1:]
    names: dict[str, str] = {}
    out["contents"] = [
        _encode(message, _WORDS[message.role], names, f"contents[{index}]") for index, message in enumerate(messages)
    ]
    return out


def _encode(message: Message, role: str, names: dict[str, str], path: str) -> JsonObject:
    said: JsonObject = {} if kept(message.extras).get("roleless") else {"role": role}
    return {**said, "parts": encode_parts(message.parts, names, f"{path}.parts"), **said_only(message.extras)}
