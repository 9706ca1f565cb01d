"""What is the same for every call that goes one way: worked out once, so that most calls only fill in their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from relayhub.dialects.codec import ChatDialect, ClientView, Framing
from relayhub.gateway.call import Call
from relayhub.gateway.lanes import Codecs, NativeChat
from relayhub.routing.catalog import Route
from relayhub.sdk.provider import NativeCall, NativeWire
from relayhub.types.call import Operation
from relayhub.upstream.lean.transport import LeanTransport, Prepared

KEPT_WAYS = 1024
"""Ways that are remembered: of models, dialects, streamed or not, and the versions that clients name in headers."""


@dataclass(frozen=True, slots=True)
class SteadyWay:
    """A byte lane to one upstream, whose requests differ in nothing but their body. ``dropped``: what the upstream is not
    told."""

    codec: ChatDialect
    wire: NativeWire
    transport: LeanTransport
    prepared: Prepared
    dropped: tuple[str, ...]

    def view(self, call: Call, model: str, route: Route) -> ClientView:
        """``model``: the public name. It says no time and no estimate: bytes that pass through have their own."""
        return ClientView(call.envelope, model, route.upstream_model, call.id, 0, 0, route.image_form)

    def lane(self, call: Call, model: str, route: Route) -> NativeChat:
        """One call's, with its :meth:`view`. ``model``: the public name."""
        view = ClientView(call.envelope, model, route.upstream_model, call.id, 0, 0, route.image_form)  # as there
        return NativeChat(self.codec, self.wire, call, view)


_Key: TypeAlias = "tuple[int, str, Framing | None, tuple[tuple[str, str], ...]]"


class SteadyWays:
    """Those that were taken before. Use on one loop."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._known: dict[_Key, tuple[Route, SteadyWay | None]] = {}
        """By the route's identity, which is its own for as long as it is kept here."""

    def of(self, call: Call, route: Route) -> SteadyWay | None:
        """``None``: it must be worked out for each call. Raises what the wire raises."""
        envelope = call.envelope
        framing = envelope.framing if envelope.stream else None
        key = (id(route), call.dialect, framing, tuple(call.headers.items()) if call.headers else ())
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KEPT_WAYS:
                self._known.clear()
            known = self._known[key] = (route, self._found(call, route, framing))
        return known[1]

    def _found(self, call: Call, route: Route, framing: Framing | None) -> SteadyWay | None:
        provider = route.provider
        wire, transport = provider.capabilities.native.get(call.dialect), provider.transport
        if call.operation is not Operation.CHAT or not getattr(wire, "steady", False) or wire is None:
            return None
        if provider.body_defaults or not isinstance(transport, LeanTransport):
            return None
        request = wire.request(NativeCall(call.operation, route.upstream_model, b"", framing, call.headers))
        headers = {**request.headers, **provider.headers}
        prepared = transport.prepare(request.method, request.url, headers, request.effect)
        return SteadyWay(self._codecs.chat[call.dialect], wire, transport, prepared, request.dropped)
