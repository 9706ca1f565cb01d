"""A configured provider: a built plugin object with everything the config says about reaching its upstream."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

import orjson

from relayhub.dialects.jsontext import members, splice
from relayhub.routing.capabilities import Capabilities
from relayhub.sdk.transport import Transport, UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.json import Json
from relayhub.upstream.memory import BodyMemory


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
    proxied: bool = False
    """Its upstream is reached through a proxy, or not over a network at all."""
    credential: str | None = None
    """Which one, for an entry that lists several: there is one provider for each of them."""
    weight: int = 1
    """Of the credential, among those of its entry."""
    max_in_flight: int | None = None
    """Calls under way at a time, with all credentials together."""
    own_transport: bool = False
    """Its plugin made it."""
    since: int = 0
    """The how manieth config of this process brought it as it is."""
    memory: BodyMemory = field(default_factory=BodyMemory, compare=False)
    """Counts the answers of it that are held whole, with those of all others."""

    @property
    def label(self) -> str:
        """The entry, and the credential if it has several: whatever is bound to an upstream's account is bound to this."""
        return self.name if self.credential is None else label(self.name, self.credential)

    @property
    def known_as(self) -> str:
        """Whatever is learnt of it is kept under this: what its settings before a reload did says nothing of it now."""
        return self.label if not self.since else f"{self.label}@{self.since}"

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


def label(name: str, credential: str | None) -> str:
    """``name#credential``, or the name alone."""
    return name if credential is None else f"{name}#{credential}"
