"""What an answer's thinking needs when the conversation comes back: opaque signatures, and who made them.

A client's dialect may have no place for them. Then they wait in the store under the ids of the answer's tool calls, which
every client sends back, and are put where they stood before the next request is encoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from relayhub.types.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Role,
    ToolCallPart,
    ToolCallStarted,
)
from relayhub.types.json import Json, JsonObject

_REASONING_FIELDS = ("text", "signature", "redacted", "signer", "wire_field")


@dataclass(slots=True)
class TurnState:
    """The thinking and the signed calls of one answer's first choice, as they come."""

    reasoning: list[ReasoningPart] = field(default_factory=list)
    signed_calls: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Call id → signature, signer."""
    call_ids: list[str] = field(default_factory=list)
    _open: ReasoningPart | None = None
    _texts: list[str] = field(default_factory=list)
    """Of the open part."""

    def note(self, event: ChatEvent) -> None:
        """One event of a streamed answer."""
        match event:
            case ReasoningDelta(0):
                self._note_reasoning(event)
            case ToolCallStarted(0):
                self._note_call(event.id, event.signature, event.signer)
            case _:
                pass

    def note_more(self, text: str) -> None:
        """Of the thinking that was noted last, whose signature has not come."""
        self._texts.append(text)

    def _note_reasoning(self, delta: ReasoningDelta) -> None:
        part = self._open
        self._texts.append(delta.text)
        if part is None or delta.signature or delta.redacted or (delta.signer, delta.wire_field) != _source(part):
            part = part or ReasoningPart("")
            self._open = replace(
                part,
                signature=delta.signature or part.signature,
                redacted=delta.redacted or part.redacted,
                signer=delta.signer or part.signer,
                wire_field=delta.wire_field or part.wire_field,
            )
        if delta.signature or delta.redacted:  # they come whole, with the end of their block
            self._close()

    def _note_call(self, call_id: str, signature: str | None, signer: str | None) -> None:
        self._close()
        self.call_ids.append(call_id)
        if signature is not None:
            self.signed_calls[call_id] = (signature, signer)

    def _close(self) -> None:
        if self._open is not None:
            self.reasoning.append(replace(self._open, text="".join(self._texts)))
            self._texts.clear()
            self._open = None

    @classmethod
    def of_reply(cls, reply: ChatReply) -> TurnState:
        state = cls()
        for part in reply.choices[0].message.parts if reply.choices else ():
            if isinstance(part, ReasoningPart):
                state.reasoning.append(part)
            elif isinstance(part, ToolCallPart):
                state._note_call(part.id, part.signature, part.signer)
        return state

    @property
    def refs(self) -> tuple[str, ...]:
        """Under what the state is found again; empty if there is nothing to keep."""
        self._close()
        signatures = [part.signature or part.redacted for part in self.reasoning]
        signed = [signature_ref(value) for value in signatures if value]
        if not (self.reasoning or self.signed_calls):
            return ()
        return (*(call_ref(call_id) for call_id in self.call_ids), *signed)

    def dump(self) -> bytes:
        """Inverse of :func:`load_state`."""
        self._close()
        reasoning: list[Json] = [{name: getattr(part, name) for name in _REASONING_FIELDS} for part in self.reasoning]
        calls: JsonObject = {call_id: list(signed) for call_id, signed in self.signed_calls.items()}
        return orjson.dumps({"reasoning": reasoning, "calls": calls})


def _source(part: ReasoningPart) -> tuple[str | None, str | None]:
    return part.signer, part.wire_field


def load_state(dumped: bytes) -> TurnState:
    """Inverse of :meth:`TurnState.dump`."""
    value = orjson.loads(dumped)
    state = TurnState()
    state.reasoning = [ReasoningPart(**part) for part in value["reasoning"]]
    state.signed_calls = {call_id: (signed[0], signed[1]) for call_id, signed in value["calls"].items()}
    return state


def call_ref(call_id: str) -> str:
    return f"call:{_short_hash(call_id)}"


def signature_ref(signature: str) -> str:
    return f"signature:{_short_hash(signature)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def refs_of(messages: Iterable[Message]) -> tuple[str, ...]:
    """Every reference that a conversation carries, in its order; the last ones are the current turn's."""
    return tuple(ref for message in messages if message.role is Role.ASSISTANT for ref in _refs_of_turn(message.parts))


def _refs_of_turn(parts: Iterable[Part]) -> Iterable[str]:
    for part in parts:
        match part:
            case ToolCallPart():
                yield call_ref(part.id)
            case ReasoningPart() if value := part.signature or part.redacted:
                yield signature_ref(value)
            case _:
                pass


def restored(request: ChatRequest, kept: Mapping[str, bytes]) -> ChatRequest:
    """``request`` with the kept state of its assistant turns where the client's dialect could not carry it. ``kept``:
    reference → dumped state."""
    if not kept:
        return request
    return replace(request, messages=tuple(_restored_turn(message, kept) for message in request.messages))


def _restored_turn(message: Message, kept: Mapping[str, bytes]) -> Message:
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    found = next((kept[ref] for call in calls if (ref := call_ref(call.id)) in kept), None)
    if message.role is not Role.ASSISTANT or found is None:
        return message
    state = load_state(found)
    parts = [_with_signature(part, state) for part in message.parts]
    return replace(message, parts=_with_reasoning(parts, state.reasoning))


def _with_signature(part: Part, state: TurnState) -> Part:
    if not isinstance(part, ToolCallPart) or part.signature is not None or part.id not in state.signed_calls:
        return part
    signature, signer = state.signed_calls[part.id]
    return replace(part, signature=signature, signer=signer)


def _with_reasoning(parts: Sequence[Part], reasoning: Sequence[ReasoningPart]) -> tuple[Part, ...]:
    """What the client sent is kept where it is signed already; otherwise the kept thinking takes its place, in front."""
    own = [part for part in parts if isinstance(part, ReasoningPart)]
    if not reasoning or any(part.signature or part.redacted for part in own):
        return tuple(parts)
    return (*reasoning, *(part for part in parts if not isinstance(part, ReasoningPart)))
