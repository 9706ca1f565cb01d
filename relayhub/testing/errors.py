"""Rules for reading an upstream's error answers: what may be tried again, what was paid, and nothing secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import orjson

from relayhub.sdk import ErrorKind, HttpReply, UpstreamError
from relayhub.testing.registration import ProviderCase

ErrorReader: TypeAlias = Callable[[HttpReply], UpstreamError]

WAITS = ("soon", "", "-1", "nan", "inf", "1e9", "Fri, 20 Nov 2026 00:00:00 GMT")
"""What stands in ``retry-after`` beside plain seconds."""


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """An error answer of the upstream."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self) -> HttpReply:
        return HttpReply(self.status, {"content-type": "application/json", **self.headers}, self.body)


class ErrorSuite(ProviderCase):
    """Part of the suites for wires. ``error_body``: an error answer in the upstream's own shape with ``{message}`` for
    its text."""

    error_body: ClassVar[str] = '{"error": {"message": "{message}", "type": "error"}}'

    def error_readers(self) -> list[ErrorReader]:
        """The ``error`` method of each wire. Suites add their own to what ``super()`` gives."""
        return []

    def _read(
        self, status: int, message: str = "no", headers: Mapping[str, str] | None = None
    ) -> Iterator[UpstreamError]:
        text = orjson.dumps(message).decode()[1:-1]
        case = ErrorCase(status, self.error_body.replace("{message}", text).encode(), headers or {})
        return (read(case.reply()) for read in self.error_readers())

    def test_a_refused_content_is_the_clients_to_mend(self) -> None:
        for error in self._read(400, "the prompt is too long"):
            assert error.kind is ErrorKind.UPSTREAM_REJECTED, "a 400 is UPSTREAM_REJECTED: the client can mend it"
            assert not error.retryable, "another route would refuse it too"
            assert not error.delivered, "nothing was executed after a 400"
            assert "the prompt is too long" in error.message, "pass on what the upstream says of the content"

    def test_the_upstreams_own_refusal_of_its_key_is_not_the_clients(self) -> None:
        for status in (401, 403):
            for error in self._read(status):
                assert error.kind is ErrorKind.UPSTREAM_FAILED, f"a {status} concerns the hub's key: UPSTREAM_FAILED"
                assert not error.delivered, f"nothing was executed after a {status}"

    def test_an_unknown_model_was_not_executed(self) -> None:
        for error in self._read(404):
            assert not error.delivered, "nothing was executed after a 404"

    def test_a_rate_limit_may_be_tried_elsewhere_and_says_when(self) -> None:
        for error in self._read(429, headers={"retry-after": "7"}):
            assert error.kind is ErrorKind.UPSTREAM_RATE_LIMITED, "a 429 is UPSTREAM_RATE_LIMITED"
            assert error.retryable and not error.delivered, "a 429 was not executed: another route may try"
            assert error.retry_after_s == 7, "read retry-after into retry_after_s"

    def test_a_wait_in_any_form_is_survived(self) -> None:
        for wait in WAITS:
            try:
                found = [error.retry_after_s for error in self._read(429, headers={"retry-after": wait})]
            except (ValueError, OverflowError) as error:
                raise AssertionError(f"error() trips over `retry-after: {wait}`: see retry_after_s") from error
            sane = all(seconds is None or 0 <= seconds <= 86_400 for seconds in found)
            assert sane, f"`retry-after: {wait}` became {found}: believe a number from 0 to a day, else None"

    def test_an_overload_may_be_tried_elsewhere(self) -> None:
        for error in self._read(503):
            assert error.retryable and not error.delivered, "a 503 was not executed: another route may try"

    def test_a_crash_of_the_upstream_is_ambiguous(self) -> None:
        for error in self._read(500):
            assert error.kind is ErrorKind.UPSTREAM_FAILED, "a 500 is UPSTREAM_FAILED"
            assert error.delivered, "after a 500 nobody knows what was executed: never send it again"

    def test_the_upstreams_status_is_kept(self) -> None:
        for error in self._read(500):
            assert error.status == 500, "set status: it stands in the operator's log"

    def test_an_error_that_is_no_error_object_is_read_too(self) -> None:
        for body in (b"", b"<html>", b"[1]", b'"text"', b"\xff\xfe", b'{"error": null}'):
            for read in self.error_readers():
                error = read(ErrorCase(502, body).reply())
                assert error.kind is ErrorKind.UPSTREAM_FAILED, f"any 502 is UPSTREAM_FAILED, also with {body!r}"

    def test_messages_never_show_the_key(self) -> None:
        for status in (400, 401, 429, 500):
            for secret in self.secrets():
                for error in self._read(status, f"Incorrect API key provided: {secret}"):
                    shown = f"{error.message} {error.code} {error.param}"
                    assert secret not in shown, "clients see message: take the key out of the upstream's text"
