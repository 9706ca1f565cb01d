"""Which client reaches an upstream."""

from __future__ import annotations

from relayhub.sdk.transport import Transport
from relayhub.upstream.client import HttpTransport
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions


def open_transport(options: NetworkOptions, user_agent: str) -> Transport:
    """The lean client straight to the upstream; aiohttp's through a proxy, which is a protocol of its own."""
    if options.proxy is None:
        return LeanTransport(options, user_agent)
    return HttpTransport(options, user_agent)
