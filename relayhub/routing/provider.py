"""A configured provider: a built plugin object with everything the config says about reaching its upstream."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import orjson

from relayhub.dialects.jsontext import members, splice
from relayhub.routing.capabilities import Capabilities
from relayhub.sdk.transport import Transport, UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.json import Json


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of the config's ``providers``, ready to be sent to."""

    name: str
    type: str
    capabilities: Capabilities
    transport: Transport
    deadlines: Deadlines
    headers: Mapping[str, str]
    body_defaults: Mapping[str, Json]

    def send(self, request: HttpRequest) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send with the configured extra headers and body defaults. Errors as :meth:`Transport.send`."""
        if self.headers:
            request = replace(request, headers={**request.headers, **self.headers})
        if self.body_defaults and request.body and isinstance(request.body, bytes):
            request = replace(request, body=self._with_defaults(request.body))
        return self.transport.send(request, self.deadlines)

    def _with_defaults(self, body: bytes) -> bytes:
        present = members(body)
        missing = {name: orjson.dumps(value) for name, value in self.body_defaults.items() if name not in present}
        return splice(body, missing) if missing else body
