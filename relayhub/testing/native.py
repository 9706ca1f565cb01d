"""Rules for wires that pass a client's own bytes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from relayhub.sdk import Dialect, Effect, HttpReply, HttpRequest, NativeProvider, NativeWire, Operation, UpstreamError
from relayhub.testing.errors import ErrorSuite

BODY = b'{"model": "m", "messages": [], "an_unknown_field": {"kept":  [1, 2.50]}}'
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "te", "upgrade", "host", "content-length"})


class NativeSuite(ErrorSuite):
    """``served``: operation → the dialect in which the upstream serves it."""

    served: ClassVar[Mapping[Operation, Dialect]] = {Operation.CHAT: Dialect.OPENAI_CHAT}

    def wire(self, operation: Operation) -> NativeWire:
        built = self.build()
        assert isinstance(built, NativeProvider), "implement native(dialect)"
        wire = built.native(self.served[operation])
        assert wire is not None, f"native({self.served[operation]}) returned None, but `served` names it"
        return wire

    def read_error(self, reply: HttpReply) -> UpstreamError:
        return self.wire(next(iter(self.served))).error(reply)

    def requests(self) -> list[HttpRequest]:
        return [
            self.wire(operation).request(operation, BODY, stream=stream)
            for operation in self.served
            for stream in (False, True)
        ]

    def test_requests_are_posted_to_an_absolute_url(self) -> None:
        for request in self.requests():
            parts = urlsplit(request.url)
            assert request.method == "POST", "native requests carry a body: POST"
            assert parts.scheme and parts.netloc, f"{request.url!r} is not an absolute URL"

    def test_the_clients_bytes_pass_untouched(self) -> None:
        for request in self.requests():
            assert request.body == BODY, "a native wire must not change the body: fields the hub does not know would go"

    def test_the_credential_is_in_a_header_and_not_in_the_url(self) -> None:
        for request in self.requests():
            for secret in self.secrets():
                assert secret not in request.url, "URLs end up in logs: send the key in a header"
                assert any(secret in value for value in request.headers.values()), "the key is sent nowhere"

    def test_generations_are_marked_as_paid(self) -> None:
        for request in self.requests():
            assert request.effect is Effect.PAID, (
                "a generation costs money: effect=Effect.PAID, or it could be repeated"
            )

    def test_header_names_are_lower_case_and_end_to_end(self) -> None:
        for request in self.requests():
            wrong = [name for name in request.headers if name != name.lower() or name in HOP_BY_HOP]
            assert not wrong, f"headers {wrong}: lower case please, and leave the connection's own to the hub"
