"""Rules for every request that costs money, whichever wire makes it."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from relayhub.sdk import Effect, HttpRequest
from relayhub.testing.registration import ProviderCase

CONNECTIONS_OWN = frozenset({"connection", "transfer-encoding", "te", "upgrade", "host", "content-length"})


def check_absolute(request: HttpRequest) -> None:
    parts = urlsplit(request.url)
    assert parts.scheme and parts.netloc, f"{request.url!r} is not an absolute URL"


def check_credential(request: HttpRequest, secrets: list[str]) -> None:
    for secret in secrets:
        assert secret not in request.url, "URLs end up in logs: send the key in a header"
        assert any(secret in value for value in request.headers.values()), "the key is sent nowhere"


class RequestSuite(ProviderCase):
    """Part of the suites for wires. ``signs``: the secrets sign what is sent instead of being sent themselves."""

    signs: ClassVar[bool] = False

    def check_credential(self, request: HttpRequest) -> None:
        if not self.signs:
            check_credential(request, self.secrets())
            return
        sent = [request.url, *request.headers.values()]
        for secret in self.secrets():
            assert not any(secret in text for text in sent), "a secret that signs is never sent itself"
        assert "authorization" in request.headers, "the signature is sent nowhere: it belongs into authorization"

    def paid_requests(self) -> list[HttpRequest]:
        """One of each kind. Suites add their own to what ``super()`` gives, so that a provider with several wires may
        be under several suites at once."""
        return []

    def test_requests_go_to_an_absolute_url(self) -> None:
        for request in self.paid_requests():
            check_absolute(request)

    def test_the_credential_is_in_a_header_and_not_in_the_url(self) -> None:
        for request in self.paid_requests():
            self.check_credential(request)

    def test_what_costs_money_is_marked_as_paid(self) -> None:
        for request in self.paid_requests():
            assert request.effect is Effect.PAID, "this costs money: effect=Effect.PAID, or it could be sent twice"

    def test_header_names_are_lower_case_and_end_to_end(self) -> None:
        for request in self.paid_requests():
            wrong = [name for name in request.headers if name != name.lower() or name in CONNECTIONS_OWN]
            assert not wrong, f"headers {wrong}: lower case please, and leave the connection's own to the hub"
