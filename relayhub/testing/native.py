"""Rules for wires that pass a client's own bytes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from relayhub.sdk import Dialect, Effect, Framing, HttpRequest, NativeCall, NativeProvider, NativeWire, Operation
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite

BODY = b'{"model": "m", "messages": [], "an_unknown_field": {"kept":  [1, 2.50]}}'


FREE = frozenset({Operation.COUNT_TOKENS})


class NativeSuite(RequestSuite, ErrorSuite):
    """``served``: the dialects that the upstream speaks, with the operations that it serves in each."""

    served: ClassVar[Mapping[Dialect, tuple[Operation, ...]]] = {Dialect.OPENAI_CHAT: (Operation.CHAT,)}

    def native_wire(self, dialect: Dialect) -> NativeWire:
        built = self.build()
        assert isinstance(built, NativeProvider), "implement native(dialect)"
        wire = built.native(dialect)
        assert wire is not None, f"native({dialect}) returned None, but `served` names it"
        return wire

    def native_requests(self, *, free: bool = False) -> list[HttpRequest]:
        return [
            self.native_wire(dialect).request(NativeCall(operation, "m", BODY, framing))
            for dialect, operations in self.served.items()
            for operation in operations
            for framing in ((None,) if free else (None, Framing.SSE))
            if (operation in FREE) is free
        ]

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), *self.native_requests()]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), *(self.native_wire(dialect).error for dialect in self.served)]

    def test_counting_is_free(self) -> None:
        for request in self.native_requests(free=True):
            assert request.effect is Effect.NONE, "counting costs nothing: effect=Effect.NONE, or the hub will not ask"

    def test_the_clients_bytes_are_posted_untouched(self) -> None:
        for request in self.native_requests():
            assert request.method == "POST", "native requests carry a body: POST"
            assert request.body == BODY, "a native wire must not change the body: fields the hub does not know would go"

    def test_a_dialect_that_is_not_spoken_is_none(self) -> None:
        built = self.build()
        assert isinstance(built, NativeProvider), "implement native(dialect)"
        for dialect in set(Dialect) - set(self.served):
            assert built.native(dialect) is None, f"native({dialect}) must return None, or `served` must name it"
