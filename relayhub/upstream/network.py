"""Which client reaches an upstream."""

from __future__ import annotations

from relayhub.upstream.client import HttpTransport
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from relayhub.upstream.retiring import RetirableTransport, Retiring


def open_transport(options: NetworkOptions, user_agent: str) -> RetirableTransport:
    """The lean client straight to the upstream; aiohttp's through a proxy, which is a protocol of its own."""
    if options.proxy is None:
        return LeanTransport(options, user_agent)
    return Retiring(HttpTransport(options, user_agent))
