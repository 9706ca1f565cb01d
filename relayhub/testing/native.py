"""Rules for wires that pass a client's own bytes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from relayhub.sdk import Dialect, HttpRequest, NativeProvider, NativeWire, Operation
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite

BODY = b'{"model": "m", "messages": [], "an_unknown_field": {"kept":  [1, 2.50]}}'


class NativeSuite(RequestSuite, ErrorSuite):
    """``served``: operation → the dialect in which the upstream serves it."""

    served: ClassVar[Mapping[Operation, Dialect]] = {Operation.CHAT: Dialect.OPENAI_CHAT}

    def native_wire(self, operation: Operation) -> NativeWire:
        built = self.build()
        assert isinstance(built, NativeProvider), "implement native(dialect)"
        wire = built.native(self.served[operation])
        assert wire is not None, f"native({self.served[operation]}) returned None, but `served` names it"
        return wire

    def native_requests(self) -> list[HttpRequest]:
        return [
            self.native_wire(operation).request(operation, BODY, stream=stream)
            for operation in self.served
            for stream in (False, True)
        ]

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), *self.native_requests()]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), *(self.native_wire(operation).error for operation in self.served)]

    def test_the_clients_bytes_are_posted_untouched(self) -> None:
        for request in self.native_requests():
            assert request.method == "POST", "native requests carry a body: POST"
            assert request.body == BODY, "a native wire must not change the body: fields the hub does not know would go"

    def test_a_dialect_that_is_not_spoken_is_none(self) -> None:
        built = self.build()
        assert isinstance(built, NativeProvider), "implement native(dialect)"
        for dialect in set(Dialect) - set(self.served.values()):
            assert built.native(dialect) is None, f"native({dialect}) must return None, or `served` must name it"
