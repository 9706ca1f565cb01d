"""The account at the upstream: what signs a request, and what its refusals mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from relayhub.sdk import Clock, Effect, HttpReply, HttpRequest, Steps, UpstreamError
from relayhub_kling.errors import STALE_TOKEN, json_of, read_error, said_in
from relayhub_kling.settings import KlingSettings

LIFETIME_S = 1800
NOT_BEFORE_S = 5
"""The upstream's clock may be this much behind."""
RENEWED_AFTER_S = 1500
"""Of the token's life: what is sent with it has time to arrive."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    made_at: float


class Account:
    """One for all wires of a provider, so that they share a token."""

    def __init__(self, settings: KlingSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._token: _Token | None = None
        self._ahead_s = 0.0

    def request(self, method: str, path: str, body: bytes = b"", effect: Effect = Effect.NONE) -> HttpRequest:
        """``path``: with its query, percent-encoded."""
        headers = {"authorization": f"Bearer {self._bearer()}", "accept": "application/json"}
        typed = {"content-type": "application/json"} if body else {}
        return HttpRequest(method, f"{self._settings.base_url}{path}", {**headers, **typed}, body, effect)

    def ask(self, method: str, path: str, body: bytes = b"") -> Steps[HttpReply]:
        """What costs nothing. A token that the upstream finds too old or too new is replaced, once."""
        reply = yield self.request(method, path, body)
        if self._is_stale(reply):
            self._renew(reply)
            reply = yield self.request(method, path, body)
        return reply

    def refusal(self, reply: HttpReply) -> UpstreamError:
        """A paid request is not sent again here, even if all it lacked was a good token: the next one has it."""
        if self._is_stale(reply):
            self._renew(reply)
        return read_error(reply, self.secrets())

    def secrets(self) -> list[str]:
        return [*self._settings.secrets(), *([self._token.text] if self._token is not None else [])]

    # --- the token ----------------------------------------------------------------------------------------------------

    def _bearer(self) -> str:
        settings = self._settings
        if settings.api_key is not None:
            return settings.api_key.get_secret_value()
        now = self._clock.now()
        if self._token is None or not self._token.made_at <= now < self._token.made_at + RENEWED_AFTER_S:
            self._token = _Token(self._signed(now + self._ahead_s), now)
        return self._token.text

    def _signed(self, now: float) -> str:
        access_key, secret_key = self._settings.access_key, self._settings.secret_key
        assert access_key is not None
        assert secret_key is not None
        claims = {"iss": access_key.get_secret_value(), "exp": int(now) + LIFETIME_S, "nbf": int(now) - NOT_BEFORE_S}
        import jwt  # 4 MB that only an account with two keys needs

        return jwt.encode(claims, secret_key.get_secret_value(), algorithm="HS256")

    def _is_stale(self, reply: HttpReply) -> bool:
        signs = self._settings.api_key is None
        return signs and reply.status == 401 and said_in(json_of(reply.body)).code in STALE_TOKEN

    def _renew(self, reply: HttpReply) -> None:
        """By the upstream's own clock, if it says what time it is: the same wrong time would be refused again."""
        self._token = None
        told = _moment(reply.headers.get("date", ""))
        if told is not None:
            self._ahead_s = told - self._clock.now()


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
