"""What the host demands of a client dialect, and the fence around its codec."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from relayhub.dialects.codec import ClientView, Envelope, Framing, StreamEncoder
from relayhub.dialects.error_rules import RenderedError
from relayhub.dialects.openai_chat import errors as openai_errors
from relayhub.dialects.openai_chat.errors import ErrorProfile
from relayhub.plugins.isolation import is_own
from relayhub.sdk.ingress import ClientCodec, IngressType
from relayhub.sdk.provider import SDK_VERSION
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatEvent, ChatReply, ChatRequest
from relayhub.types.errors import ErrorKind, HubError, RelayhubError

T = TypeVar("T")

log = structlog.get_logger("relayhub.plugins")

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)+")
PATH = re.compile(r"(/(?:[A-Za-z0-9._~:-]+|\{model\}(?::[A-Za-z]+)?))+")
MODEL = "{model}"

_NEEDED = ("envelope", "decode_request", "encode_reply", "stream_encoder", "encode_error", "encode_error_event")


def check_ingress_type(kind: object) -> None:
    """Raises ``TypeError`` or ``ValueError`` saying what is wrong with the descriptor and what to do."""
    if not isinstance(kind, IngressType):
        raise TypeError(f"relayhub_register_ingresses returned {kind!r}, which is not an IngressType")
    if kind.sdk != SDK_VERSION:
        raise ValueError(
            f"its ingress {kind.name!r} is made for plugin contract {kind.sdk}, this relayhub speaks {SDK_VERSION}; "
            "install a release of the plugin that fits"
        )
    if not NAME.fullmatch(kind.name) or len(kind.name) > 64:
        raise ValueError(f"{kind.name!r} is not a dialect's name: small letters and digits in two parts, as acme.chat")
    if kind.name in list(Dialect):
        raise ValueError(f"the dialect {kind.name!r} is the hub's own; give yours another name")
    if isinstance(kind.paths, str) or not kind.paths:
        raise TypeError(f"the ingress {kind.name!r} needs a list of paths")
    for path in kind.paths:
        _check_path(kind.name, path)
    missing = [name for name in _NEEDED if not callable(getattr(kind.codec, name, None))]
    if missing or not hasattr(kind.codec, "keep_alive"):
        raise TypeError(f"the codec of the ingress {kind.name!r} lacks {', '.join(missing) or 'keep_alive'}")


def _check_path(name: str, path: object) -> None:
    if not isinstance(path, str) or not PATH.fullmatch(path) or path.count(MODEL) > 1:
        raise ValueError(f"{path!r}, a path of the ingress {name!r}, is none: write /acme/chat or /acme/{MODEL}/chat")


@dataclass(frozen=True, slots=True)
class Ingress:
    """A plugin's client dialect, fenced: whatever its codec raises that is no error of relayhub's becomes one, so that
    nobody else is blamed for it. ``plugin``: who brought it."""

    plugin: str
    kind: IngressType

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def keep_alive(self) -> bytes | None:
        said: object = self.kind.codec.keep_alive
        return said if isinstance(said, bytes) else None

    @property
    def _codec(self) -> ClientCodec:
        return self.kind.codec

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        return self._fenced(lambda: self._codec.envelope(body, model=model, framing=framing), Envelope)

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        return self._fenced(lambda: self._codec.decode_request(body, envelope), ChatRequest)

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes:
        return self._fenced(lambda: self._codec.encode_reply(reply, view), bytes)

    def stream_encoder(self, view: ClientView) -> StreamEncoder:
        return _FencedEncoder(self, self._fenced(lambda: self._codec.stream_encoder(view), object))

    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        try:
            return self._fenced(lambda: self._codec.encode_error_event(error, request_id, envelope), bytes)
        except RelayhubError:
            return openai_errors.encode_error_event(error, request_id)

    def render_error(self, error: RelayhubError, request_id: str) -> RenderedError:
        """The answer to an error before anything else was sent."""
        usual = openai_errors.render_error(error, request_id, ErrorProfile.OPENAI)
        try:
            body = self._fenced(lambda: self._codec.encode_error(error, request_id), bytes)
        except RelayhubError:
            return usual
        return RenderedError(usual.status, usual.headers, body)

    def fenced_bytes(self, work: Callable[[], object]) -> bytes:
        return self._fenced(work, bytes)

    def _fenced(self, work: Callable[[], object], kind: type[T]) -> T:
        try:
            made = work()
        except RelayhubError:
            raise
        except BaseException as error:
            # Plugin isolation: a codec's own bug is nobody's failure but its own.
            if not is_own(error):
                raise
            log.exception("plugin.failed", plugin=self.plugin, ingress=self.name)
            raise _broken() from error
        if isinstance(made, kind):
            return made
        log.error("plugin.failed", plugin=self.plugin, ingress=self.name, returned=type(made).__name__)
        raise _broken()


@dataclass(slots=True)
class _FencedEncoder:
    ingress: Ingress
    encoder: object

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        return self.ingress.fenced_bytes(lambda: self._inner().encode(events))

    def finish(self) -> bytes:
        return self.ingress.fenced_bytes(lambda: self._inner().finish())

    def _inner(self) -> StreamEncoder:
        encoder: StreamEncoder = self.encoder  # type: ignore[assignment]  # what it is not shows when it is called
        return encoder


def _broken() -> HubError:
    return HubError(
        ErrorKind.INTERNAL,
        "The plugin that speaks this API failed; the operator's log has the reason.",
        code="ingress_failed",
    )
