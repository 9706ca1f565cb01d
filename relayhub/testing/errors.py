"""Rules for reading an upstream's error answers: what may be tried again, what was paid, and nothing secret."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError
from relayhub.testing.registration import ProviderCase


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """An error answer of the upstream. ``message`` stands in ``body`` and is put where the upstream puts its texts."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self) -> HttpReply:
        return HttpReply(self.status, {"content-type": "application/json", **self.headers}, self.body)


class ErrorSuite(ProviderCase):
    """``error_body``: an error answer in the upstream's own shape with ``{message}`` for its text; ``read_error``: the
    wire's ``error`` method."""

    error_body: ClassVar[str] = '{"error": {"message": "{message}", "type": "error"}}'

    @abstractmethod
    def read_error(self, reply: HttpReply) -> UpstreamError: ...

    def _read(self, status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> UpstreamError:
        text = orjson.dumps(message).decode()[1:-1]
        return self.read_error(
            ErrorCase(status, self.error_body.replace("{message}", text).encode(), headers or {}).reply()
        )

    def test_a_refused_content_is_the_clients_to_mend(self) -> None:
        error = self._read(400, "the prompt is too long")
        assert error.kind is ErrorKind.UPSTREAM_REJECTED, "a 400 is UPSTREAM_REJECTED: the client can mend it"
        assert not error.retryable, "another route would refuse it too"
        assert "the prompt is too long" in error.message, "pass on what the upstream says of the content"

    def test_the_upstreams_own_refusal_of_its_key_is_not_the_clients(self) -> None:
        for status in (401, 403):
            error = self._read(status)
            assert error.kind is ErrorKind.UPSTREAM_FAILED, f"a {status} concerns the hub's key: UPSTREAM_FAILED"
            assert not error.delivered, f"nothing was executed after a {status}"

    def test_a_rate_limit_may_be_tried_elsewhere_and_says_when(self) -> None:
        error = self._read(429, headers={"retry-after": "7"})
        assert error.kind is ErrorKind.UPSTREAM_RATE_LIMITED, "a 429 is UPSTREAM_RATE_LIMITED"
        assert error.retryable and not error.delivered, "a 429 was not executed: another route may try"
        assert error.retry_after_s == 7, "read retry-after into retry_after_s"

    def test_an_overload_may_be_tried_elsewhere(self) -> None:
        error = self._read(503)
        assert error.retryable and not error.delivered, "a 503 was not executed: another route may try"

    def test_a_crash_of_the_upstream_is_ambiguous(self) -> None:
        error = self._read(500)
        assert error.kind is ErrorKind.UPSTREAM_FAILED, "a 500 is UPSTREAM_FAILED"
        assert error.delivered, "after a 500 nobody knows what was executed: never send it again"

    def test_the_upstreams_status_is_kept(self) -> None:
        assert self._read(500).status == 500, "set status: it stands in the operator's log"

    def test_an_error_that_is_no_error_object_is_read_too(self) -> None:
        for body in (b"", b"<html>", b"[1]", b'"text"', b"\xff\xfe", b'{"error": null}'):
            error = self.read_error(ErrorCase(502, body).reply())
            assert error.kind is ErrorKind.UPSTREAM_FAILED, f"any 502 is UPSTREAM_FAILED, also with the body {body!r}"

    def test_messages_never_show_the_key(self) -> None:
        for status in (400, 401, 429, 500):
            for secret in self.secrets():
                error = self._read(status, f"Incorrect API key provided: {secret}")
                assert secret not in error.message, "clients see message: take the key out of the upstream's text"
