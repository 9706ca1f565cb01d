"""A client of the management side, as small as it can be: it keeps the cookie and the CSRF token of its session."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from tests.support.server import Server


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def data(self) -> Any:
        assert self.body.get("success") is True, self.body
        return self.body["data"]

    @property
    def refused(self) -> tuple[int, str]:
        return self.status, str(self.body.get("code"))


@dataclass
class Api:
    """``credential``: a key to send; ``cookie`` and ``csrf`` come with signing in."""

    url: str
    credential: str | None = None
    cookie: str | None = None
    csrf: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """``body``: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, self._headers(data, headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return self._answer(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return self._answer(error.code, error.read(), error.headers)

    def _headers(self, data: bytes | None, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"content-type": "application/json"} if data is not None else {}
        if self.credential is not None:
            headers["authorization"] = f"Bearer {self.credential}"
        if self.cookie is not None:
            headers["cookie"] = f"relayhub_session={self.cookie}"
        if self.csrf is not None:
            headers["x-csrf-token"] = self.csrf
        return {**headers, **self.headers, **more}

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> Answer:
        set_cookie = SimpleCookie(headers.get("set-cookie", "")).get("relayhub_session")
        if set_cookie is not None:
            self.cookie = set_cookie.value or None
        answer = Answer(status, json.loads(content) if content else {}, headers)
        data = answer.body.get("data")
        if set_cookie is not None and isinstance(data, dict):
            self.csrf = data.get("csrf")
        return answer

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        return self.call("POST", path, {} if body is None else body)

    def patch(self, path: str, body: object) -> Answer:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)


def admin_key(server: Server, role: str = "admin", name: str | None = None) -> Api:
    """A program with a fresh admin key."""
    made = server.cli_json("admin-keys", "create", name or f"test-{role}", "--role", role)
    assert isinstance(made, dict)
    return Api(server.url, str(made["key"]))


def setup_token(server: Server) -> str:
    return next(line.rpartition(" ")[2] for line in server.greeting if "/api/admin/setup" in line)
