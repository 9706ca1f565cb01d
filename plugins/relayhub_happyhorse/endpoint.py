"""Requests to DashScope."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import orjson

from relayhub.sdk import Effect, HttpReply, HttpRequest
from relayhub_happyhorse.answers import object_of
from relayhub_happyhorse.errors import read_error
from relayhub_happyhorse.links import is_private
from relayhub_happyhorse.settings import HappyHorseSettings

OSS = b'"oss://'


class Endpoint:
    """``beside_us``: the API is in the hub's own network, so links into that network may work there."""

    def __init__(self, settings: HappyHorseSettings) -> None:
        self._settings = settings
        self._url = settings.api_url
        self.beside_us = is_private(urlsplit(self._url).hostname or "")

    def create(self, path: str, body: object, *, task: bool) -> HttpRequest:
        """What costs. ``task``: the answer is a task's id; without the header these routes refuse the call."""
        content = orjson.dumps(body)
        named = self._settings.account_references and OSS in content
        headers = {
            **self._headers(),
            "content-type": "application/json",
            **({"x-dashscope-async": "enable"} if task else {}),
            **({"x-dashscope-ossresourceresolve": "enable"} if named else {}),
        }
        return HttpRequest("POST", f"{self._url}/services/aigc/{path}", headers, content, Effect.PAID)

    def task(self, id_: str) -> HttpRequest:
        return self._free("GET", f"/tasks/{quote(id_, safe='')}")

    def cancel(self, id_: str) -> HttpRequest:
        return self._free("POST", f"/tasks/{quote(id_, safe='')}/cancel")

    def listing(self, page: int, size: int) -> HttpRequest:
        """Of the last 24 hours."""
        return self._free("GET", f"/tasks/?page_no={page}&page_size={size}")

    def read(self, reply: HttpReply) -> dict[str, object]:
        """The object in a 2xx answer. Raises ``UpstreamError``."""
        if not 200 <= reply.status < 300:
            raise read_error(reply, [self._settings.api_key.get_secret_value()])
        return object_of(reply.body)

    def _free(self, method: str, path: str) -> HttpRequest:
        return HttpRequest(method, f"{self._url}{path}", self._headers(), effect=Effect.NONE)

    def _headers(self) -> dict[str, str]:
        workspace = self._settings.workspace
        return {
            "authorization": f"Bearer {self._settings.api_key.get_secret_value()}",
            "accept": "application/json",
            **({"x-dashscope-workspace": workspace} if workspace is not None else {}),
        }
