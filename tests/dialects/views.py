"""How a client in these tests wants to see its answer."""

from __future__ import annotations

from relayhub.dialects.codec import ChatDialect, ClientView, Envelope, Framing
from relayhub.types.chat import ChatReply, ChatRequest


def envelope(model: str = "m", *, stream: bool = True, include_usage: bool = False, **other: object) -> Envelope:
    known: dict[str, object] = {"output_cap": None, "choices": 1, "user": None, "framing": Framing.SSE, **other}
    return Envelope(model=model, stream=stream, include_usage=include_usage, **known)  # type: ignore[arg-type]


def view(
    *, model: str | None = None, rename_to: str | None = None, include_usage: bool = False, **other: object
) -> ClientView:
    """``model``: the public name in the translation lane; ``rename_to``: the byte lane's, ``None`` for the upstream's."""
    public = model or rename_to or "m"
    upstream = "m" if rename_to is None else "up"
    return ClientView(envelope(public, include_usage=include_usage), public, upstream, **other)  # type: ignore[arg-type]


def decoded(codec: ChatDialect, body: bytes) -> ChatRequest:
    return codec.decode_request(body, codec.envelope(body))


def encoded(codec: ChatDialect, reply: ChatReply) -> bytes:
    """For a client that knows the model under the upstream's name."""
    return codec.encode_reply(reply, view(model=reply.model))
